//! restock-service through its listeners, against real PostgreSQL and RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod by_hand;
mod callback_refusals;
mod callback_table;
mod concurrency;
mod consumers;
mod events;
mod harness;
mod held;
mod imports;
mod intake;
mod lists;
mod lost_answers;
mod outage;
mod schema;
mod secrets;
mod timeline;
mod ugly_bodies;
mod ugly_urls;
