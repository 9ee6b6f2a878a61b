//! Requests to RabbitMQ's management API that create services' users and permissions. They need an administrator's
//! login, and each may be repeated.

use jaego_contracts::topology::Permissions;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

/// A PUT request.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// Begins with `/api/`, percent-encoded.
    pub path: String,
    /// JSON; for a user it contains the password.
    pub body: Value,
}

/// User, password and virtual host of a service's own URL.
#[derive(Debug, Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password of the user.
    pub password: SecretString,
    /// The virtual host.
    pub vhost: String,
}

impl Login {
    /// None when the URL is not `amqp(s)://user:password@host:port/vhost` with each of these parts.
    pub fn of_url(url: &str) -> Option<Self> {
        // Without a user or a password the AMQP parser assumes `guest`, which is never intended.
        let parts = Url::parse(url).ok()?;
        let is_whole = !parts.username().is_empty() && parts.password().is_some_and(|password| !password.is_empty());
        let uri: AMQPUri = url.parse().ok()?;
        let (user, password) = (uri.authority.userinfo.username, uri.authority.userinfo.password);
        (is_whole && !uri.vhost.is_empty()).then(|| Self { user, password: password.into(), vhost: uri.vhost })
    }
}

/// Creates a user without any tag, or sets its password.
pub fn user(name: &str, password: &SecretString) -> Put {
    Put {
        path: format!("/api/users/{}", segment(name)),
        body: json!({ "password": password.expose_secret(), "tags": "" }),
    }
}

/// Grants an existing user its permissions in an existing virtual host.
pub fn rights(vhost: &str, user: &str, rights: &Permissions) -> Vec<Put> {
    let (vhost, user) = (segment(vhost), segment(user));
    // Restrictions come first: without topic permissions every routing key is allowed.
    let mut puts: Vec<Put> = rights
        .topics
        .iter()
        .map(|topic| Put {
            path: format!("/api/topic-permissions/{vhost}/{user}"),
            body: json!({ "exchange": topic.exchange, "write": topic.write, "read": topic.read }),
        })
        .collect();
    puts.push(Put {
        path: format!("/api/permissions/{vhost}/{user}"),
        body: json!({ "configure": rights.configure, "write": rights.write, "read": rights.read }),
    });
    puts
}

/// Encodes a name as one path segment: everything but letters, digits, `-`, `.`, `_` and `~` is escaped.
pub fn segment(name: &str) -> String {
    use std::fmt::Write as _;

    name.bytes().fold(String::with_capacity(name.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use jaego_contracts::topology::User;

    use super::*;

    #[test]
    fn a_login_is_read_with_its_escapes_and_only_whole() {
        let login = Login::of_url("amqps://sales:p%40ss@mq:5671/jaego?heartbeat=5").expect("read");
        assert_eq!(
            (login.user.as_str(), login.password.expose_secret(), login.vhost.as_str()),
            ("sales", "p@ss", "jaego")
        );
        for bad in
            ["amqp://mq/jaego", "amqp://sales@mq/jaego", "http://sales:x@mq/jaego", "amqp://:x@mq/jaego", "sales"]
        {
            assert!(Login::of_url(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn rights_narrow_before_they_allow() {
        let puts = rights("a/b", "t sales", &User::Sales.permissions());
        let paths: Vec<&str> = puts.iter().map(|put| put.path.as_str()).collect();
        let topics = "/api/topic-permissions/a%2Fb/t%20sales";
        assert_eq!(paths, [topics, topics, topics, "/api/permissions/a%2Fb/t%20sales"]);
    }
}
