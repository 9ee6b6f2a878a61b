//! What the services of Jaego have in common. It knows no service's rules.
//!
//! | module | holds |
//! | --- | --- |
//! | [`ids`] | identifiers and quantities that cannot be wrong |
//! | [`contracts`] | events on the broker, the callback token |
//! | [`amqp`] | the topology's table, connections, consumers |
//! | [`outbox`], [`relay`] | events from a transaction to the broker |
//! | [`db`] | pool, migrations, prepared statements |
//! | [`http`], [`problem`] | listeners, strict bodies, tokens, pages, errors |
//! | [`patience`] | trying again, within bounds |
//! | [`tls`] | whose signature on a server's certificate counts |
//! | [`idempotency`], [`audit_log`], [`audit`] | the first answer again; who did what; whether the books agree |
//! | [`timeline`] | what is on record of one order or production request |
//! | [`settings`], [`telemetry`], [`trace`], [`readiness`], [`service`] | how a process is configured, seen, started and stopped |

pub mod amqp;
pub mod audit;
pub mod audit_log;
pub mod contracts;
pub mod db;
pub mod dead_letters;
pub mod http;
pub mod idempotency;
pub mod ids;
pub mod installation;
pub mod operation;
pub mod outbox;
pub mod patience;
pub mod problem;
pub mod readiness;
pub mod rebuild;
pub mod relay;
pub mod service;
pub mod settings;
pub mod telemetry;
pub mod timeline;
pub mod tls;
pub mod trace;
