//! Headers with which this service authenticates to factories. They come from files or the environment, never from
//! the database, and are sent only to their factory.

use std::collections::HashMap;
use std::sync::Arc;

use jaego_contracts::ids::FactoryId;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// A secret that cannot be used; the error does not contain it.
#[derive(Debug, thiserror::Error)]
#[error("delivery.factory_headers, {factory}: {problem}")]
pub struct UnusableSecret {
    factory: FactoryId,
    problem: String,
}

/// At most one header per factory.
#[derive(Clone, Default)]
pub(super) struct FactoryHeaders(Arc<HashMap<FactoryId, Header>>);

pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    secret: SecretString,
}

impl FactoryHeaders {
    /// Reads each secret from its source: `env:NAME` or `file:/path`.
    pub(super) fn read(places: Vec<(FactoryId, String)>) -> Result<Self, UnusableSecret> {
        let read = |(factory, place): (FactoryId, String)| match header(&place) {
            Ok(header) => Ok((factory, header)),
            Err(problem) => Err(UnusableSecret { factory, problem }),
        };
        Ok(Self(Arc::new(places.into_iter().map(read).collect::<Result<_, _>>()?)))
    }

    pub(super) fn of(&self, factory: &FactoryId) -> Option<&Header> {
        self.0.get(factory)
    }
}

impl Header {
    /// Removes the secret from `text`, because the factory may have echoed it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(self.secret.expose_secret(), "<secret>")
    }
}

fn header(place: &str) -> Result<Header, String> {
    let line = if let Some(name) = place.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("the environment variable {name} is not set, or is not valid text"))?
    } else if let Some(path) = place.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
    } else {
        return Err("must be env:NAME or file:/path".to_owned());
    };
    let wrong = || format!("{place} must contain one header such as `Authorization: Bearer abc`");
    let (name, value) = line.trim().split_once(':').ok_or_else(wrong)?;
    let value = value.trim();
    let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
    let mut header = HeaderValue::from_str(value).map_err(|_| wrong())?;
    if value.is_empty() {
        return Err(wrong());
    }
    header.set_sensitive(true);
    // The part after the scheme is secret: `Bearer abc` may be echoed as `abc`.
    let secret = value.split_whitespace().last().unwrap_or(value);
    Ok(Header { name, value: header, secret: SecretString::from(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_errors_do_not_show_its_value() {
        let dir = std::env::temp_dir().join(format!("jaego-headers-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let path = dir.join("secret");
        let place = format!("file:{}", path.display());
        std::fs::write(&path, "X-Api-Key: very-secret\n").expect("written");
        let header = header(&place).expect("a header");
        assert_eq!((header.name.as_str(), header.value.to_str().ok()), ("x-api-key", Some("very-secret")));
        assert!(!format!("{:?}", header.value).contains("very-secret"));
        assert_eq!(header.redact("you sent very-secret"), "you sent <secret>");
        for (content, place) in [
            ("very-secret", place.as_str()),
            (": very-secret", &place),
            ("X-Api-Key:", &place),
            ("X: very-secret", "very-secret"),
            ("X: very-secret", "env:JAEGO_NO_SUCH_VARIABLE"),
            ("X: very-secret", "file:/no/such/file"),
        ] {
            std::fs::write(&path, content).expect("written");
            let problem = super::header(place).map(|_| ()).expect_err("wrong");
            assert!(place == "very-secret" || !problem.contains("very-secret"), "{problem}");
        }
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
