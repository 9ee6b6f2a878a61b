//! production-service against real servers and the simulated factory.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod answers;
mod breaker;
mod crashes;
mod delivery;
mod factories;
mod harness;
mod imports;
mod keeping;
mod lead_time;
mod letters;
mod messages;
mod outbound;
mod overdue;
mod production_requests;
mod recording;
mod schema;
mod timeline;
mod withdrawals;
