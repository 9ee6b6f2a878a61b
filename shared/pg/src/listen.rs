//! Notifications between the processes that share a database (`LISTEN`, `NOTIFY`).

use std::future::poll_fn;
use std::time::Duration;

use tokio_postgres::AsyncMessage;

use super::connect::{ConnectError, open};
use crate::settings::Database;

/// Longest wait for the answer to `LISTEN`; after it the caller learns that no notifications will arrive.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// Calls `ring` for each notification on `channel`, which must be a plain identifier. Returns the reason when the
/// connection has ended. A notification that is sent while the process is not listening is lost.
pub async fn listen(settings: &Database, application: &str, channel: &str, ring: impl Fn()) -> ConnectError {
    let (client, mut driver) = match open(settings, application, 0).await {
        Ok(opened) => opened,
        Err(error) => return error,
    };
    let lost = |error: &dyn std::fmt::Display| ConnectError::Unreachable(error.to_string());
    let driving = async {
        loop {
            match poll_fn(|context| driver.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => ring(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return lost(&error),
                None => return lost(&"the database has closed the connection"),
            }
        }
    };
    let asking = async {
        let asked = tokio::time::timeout(LISTEN_LIMIT, client.batch_execute(&format!("LISTEN {channel}"))).await;
        match asked {
            Ok(Ok(())) => std::future::pending().await,
            Ok(Err(error)) => lost(&error),
            Err(_) => lost(&"the database does not answer"),
        }
    };
    tokio::select! {
        ended = driving => ended,
        refused = asking => refused,
    }
}
