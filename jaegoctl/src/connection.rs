//! The services' URLs and the operator's token, from arguments, the environment or a file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use secrecy::SecretString;
use url::Url;

use crate::{
    api::Api,
    args::duration,
    failure::{Failure, Result},
    kept_session::KeptSession,
    service::Service,
};

const TOKEN_VARIABLE: &str = "OPERATOR_TOKEN";
/// Appended to messages about missing settings.
const LOCAL_HINT: &str = "(for a local stack: source target/dev/env)";

/// URLs and token of the services, common to all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The API of sales-service, such as http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL", env = "SALES_URL", hide_env_values = true)]
    sales_url: Option<String>,
    /// The API of production-service
    #[arg(long, global = true, value_name = "URL", env = "PRODUCTION_URL", hide_env_values = true)]
    production_url: Option<String>,
    /// The API of restock-service
    #[arg(long, global = true, value_name = "URL", env = "RESTOCK_URL", hide_env_values = true)]
    restock_url: Option<String>,
    /// The API of access-service
    #[arg(long, global = true, value_name = "URL", env = "ACCESS_URL", hide_env_values = true)]
    access_url: Option<String>,
    /// A file with the bearer token; default: the environment variable OPERATOR_TOKEN. A viewer's token is enough
    /// for commands that change nothing
    #[arg(long, global = true, value_name = "FILE", env = "OPERATOR_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// Maximum wait for one response
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

impl Connection {
    pub(crate) fn api(&self, service: Service) -> Result<Api> {
        Api::new(service, self.url(service)?, self.token()?, self.timeout)
    }

    /// The URL of a service.
    pub(crate) fn url(&self, service: Service) -> Result<Url> {
        let url = match service {
            Service::Sales => &self.sales_url,
            Service::Production => &self.production_url,
            Service::Restock => &self.restock_url,
            Service::Access => &self.access_url,
        };
        let (variable, flag) = (service.url_variable(), service.url_flag());
        let url = url.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| {
            Failure::usage(format!("the URL of {service} is not known: set {variable} or give {flag} {LOCAL_HINT}"))
        })?;
        base_url(url, variable)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The bearer token. Never an argument, which `ps` would show.
    fn token(&self) -> Result<SecretString> {
        let (token, source) = match &self.token_file {
            Some(path) => (secret_of_file(path)?, path.display().to_string()),
            None => (std::env::var(TOKEN_VARIABLE).unwrap_or_default(), TOKEN_VARIABLE.to_owned()),
        };
        let token = token.trim();
        if token.is_empty() {
            // A session is sent only to the installation that it is for.
            let own = if self.token_file.is_none() { KeptSession::read()? } else { None };
            let access_url = self.url(Service::Access).ok();
            return match own.filter(|own| access_url.is_some_and(|url| url == own.access_url)) {
                Some(own) => Ok(SecretString::from(own.session)),
                None => Err(Failure::usage(format!(
                    "no token is known: log in with `jaegoctl login` (for this ACCESS_URL), set {TOKEN_VARIABLE} or give \
                     --token-file with an operator's bearer token {LOCAL_HINT}"
                ))),
            };
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(format!("{source}: contains no bearer token (one line of visible ASCII)")));
        }
        Ok(SecretString::from(token.to_owned()))
    }
}

/// Content of a file with a secret, without the trailing newline.
pub(crate) fn secret_of_file(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the secret in {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Parses an http(s) URL. Errors do not repeat its text, which may hold a password.
pub(crate) fn base_url(text: &str, variable: &str) -> Result<Url> {
    let bad = |why: &str| Failure::usage(format!("{variable}: {why}"));
    let url = Url::parse(text.trim()).map_err(|error| bad(&format!("not a URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("must begin with http:// or https:// and name a host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must have neither query nor fragment"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_bad_url_is_reported_without_its_text() {
        for bad in
            ["", "127.0.0.1:8080", "ftp://u:secret@h", "http://", "http://u:secret@h/?x=1", "http://u:secret@h:x"]
        {
            let error = base_url(bad, "SALES_URL").expect_err(bad);
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.starts_with("SALES_URL: ") && !error.message.contains("secret"), "{error}");
        }
        assert!(base_url(" http://127.0.0.1:8080/ ", "SALES_URL").is_ok());
    }
}
