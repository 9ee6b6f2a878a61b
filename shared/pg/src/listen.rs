//! Signals between the processes that share a database (`LISTEN`, `NOTIFY`).

use std::future::poll_fn;
use std::time::Duration;

use tokio_postgres::AsyncMessage;

use super::connect::{ConnectError, open};
use crate::settings::Database;

/// How long it takes until somebody who waits for signals is told that there will be none.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// Calls `ring` for each signal on `channel`, which must be a plain word; answers when the connection has ended, and
/// why. A signal that was sent while nobody listened is lost.
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
