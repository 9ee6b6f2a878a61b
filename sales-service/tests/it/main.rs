//! sales-service through its listeners, against real PostgreSQL and RabbitMQ.

#![expect(clippy::expect_used, reason = "a broken surrounding must stop the test with a sentence")]

mod admission;
mod audit;
mod bad_input;
mod bursts;
mod dead_letters;
mod dead_letters_kept;
mod faults;
mod harness;
mod held;
mod histories;
mod imports;
mod intake;
mod keys;
mod known;
mod lanes;
mod lost;
mod messages;
mod migrate;
mod operators;
mod outbox;
mod pipeline;
mod replicas;
mod retries;
mod rights;
mod schema;
mod stalls;
mod stock_keeping;
mod timeline;
