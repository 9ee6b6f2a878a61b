//! Language of the server's messages. diesel-async maps a few SQLSTATEs to kinds of error and drops the others
//! (timeouts, deadlocks, a full disk), which can then be recognized only by their text. A session in another language
//! is therefore switched to the server's own. Only a superuser, or a role that was granted it, may do that.

use std::sync::Once;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::Text;
use diesel::{ConnectionError, ConnectionResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[derive(QueryableByName)]
struct Language {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Makes sure that the session's messages can be understood, or logs once what is missing.
pub(super) async fn settle(mut connection: AsyncPgConnection) -> ConnectionResult<AsyncPgConnection> {
    static TOLD: Once = Once::new();
    let language: Language = sql_query("SELECT current_setting('lc_messages') AS name")
        .get_result(&mut connection)
        .await
        .map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
    // After a refusal the setting is not requested again: each refusal is an error in the server's log.
    if is_understood(&language.name) || TOLD.is_completed() {
        return Ok(connection);
    }
    if let Err(error) = sql_query("SET lc_messages TO 'C'").execute(&mut connection).await {
        if matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) {
            return Err(ConnectionError::BadConnection(error.to_string()));
        }
        TOLD.call_once(|| {
            tracing::warn!(
                %error,
                lc_messages = language.name,
                "the database's messages are in a language in which passing errors are not known from lasting ones; \
                 as its administrator: ALTER ROLE <role of this service> SET lc_messages TO 'C'"
            );
        });
    }
    Ok(connection)
}

/// True for untranslated and English messages. An empty name stands for the server's environment, which is unknown
/// here.
fn is_understood(name: &str) -> bool {
    let language = name.split(['_', '.', '@', '-']).next().unwrap_or_default();
    ["C", "POSIX", "en", "English"].iter().any(|known| language.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untranslated_and_english_messages_are_understood() {
        for name in ["C", "C.UTF-8", "POSIX", "en_US.utf8", "en_GB", "English_United States.1252"] {
            assert!(is_understood(name), "{name}");
        }
        for name in ["", "ko_KR.UTF-8", "de_DE@euro", "es-ES", "Korean_Korea.949", "cs_CZ"] {
            assert!(!is_understood(name), "{name}");
        }
    }
}
