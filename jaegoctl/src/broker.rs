//! RabbitMQ's management API, for what no service can report or do.

use std::path::PathBuf;

use clap::Args;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    connection::{Connection, base_url, secret_of_file},
    failure::{Exit, Failure, Result},
    http::{Ask, Exchange, Http, Login, segment},
    output::one_line,
};

const URL_VARIABLE: &str = "RABBITMQ_MANAGEMENT_URL";
const PASSWORD_VARIABLE: &str = "RABBITMQ_ADMIN_PASSWORD";

/// URL and credentials of the broker's management API.
#[derive(Debug, Args)]
#[command(next_help_heading = "Broker")]
pub(crate) struct BrokerArgs {
    /// RabbitMQ's management API, such as http://127.0.0.1:15672
    #[arg(long, value_name = "URL", env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true)]
    broker_url: Option<String>,
    /// The user of the management API
    #[arg(long, value_name = "NAME", env = "RABBITMQ_ADMIN_USER", hide_env_values = true)]
    broker_user: Option<String>,
    /// A file with the user's password; default: the environment variable RABBITMQ_ADMIN_PASSWORD
    #[arg(long, value_name = "FILE", env = "RABBITMQ_ADMIN_PASSWORD_FILE", hide_env_values = true)]
    broker_password_file: Option<PathBuf>,
    /// A PEM file with certificate authorities to trust, in addition to those of the system
    #[arg(long, value_name = "FILE", env = "RABBITMQ_CA_FILE", hide_env_values = true)]
    broker_ca_file: Option<PathBuf>,
    /// The virtual host
    #[arg(long, value_name = "NAME", env = "RABBITMQ_VHOST", hide_env_values = true, default_value = "jaego")]
    pub(crate) vhost: String,
}

/// Client of the management API for one virtual host.
pub(crate) struct Broker {
    http: Http,
    vhost: String,
}

impl BrokerArgs {
    /// True when no URL is configured.
    pub(crate) fn is_unknown(&self) -> bool {
        self.broker_url.as_deref().is_none_or(str::is_empty)
    }

    pub(crate) fn broker(&self, connection: &Connection) -> Result<Broker> {
        let missing = |what: &str, variable: &str, flag: &str| {
            Failure::usage(format!(
                "{what} is not known: set {variable} or give {flag} (for a local stack: source target/dev/env)"
            ))
        };
        let url = self.broker_url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| missing("the URL of the broker's management API", URL_VARIABLE, "--broker-url"))?;
        let user = self.broker_user.as_deref().filter(|user| !user.is_empty());
        let user = user.ok_or_else(|| missing("the user of the broker", "RABBITMQ_ADMIN_USER", "--broker-user"))?;
        let password = match &self.broker_password_file {
            Some(path) => secret_of_file(path)?,
            None => std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        };
        if password.is_empty() {
            return Err(missing("the password of the broker's user", PASSWORD_VARIABLE, "--broker-password-file"));
        }
        let hint = format!("Is its management plugin enabled? Its URL is set by {URL_VARIABLE} or --broker-url.");
        let login = Login::Basic(user.to_owned(), SecretString::from(password));
        let ca_file = self.broker_ca_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        let base = base_url(url, URL_VARIABLE)?;
        let http = Http::trusting(ca_file, "the broker", hint, base, login, connection.timeout())?;
        Ok(Broker { http, vhost: self.vhost.clone() })
    }
}

impl Broker {
    /// URL and virtual host, for display.
    pub(crate) fn source(&self) -> String {
        format!("{}, virtual host {}", self.http.source(), self.vhost)
    }

    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Path of the virtual host itself.
    pub(crate) fn vhost_path(&self) -> String {
        format!("/api/vhosts/{}", segment(&self.vhost))
    }

    /// Path to which definitions of the virtual host are posted.
    pub(crate) fn definitions_path(&self) -> String {
        format!("/api/definitions/{}", segment(&self.vhost))
    }

    /// GET `/api/<what>/<vhost>`.
    pub(crate) async fn get(&self, what: &str, query: &[(&str, &str)]) -> Result<Value> {
        let path = format!("/api/{what}/{}", segment(&self.vhost));
        let exchange = self.http.ask(Ask { query, ..Ask::new(Method::GET, &path) }).await?;
        if exchange.status == StatusCode::NOT_FOUND {
            let message = format!("the broker at {} has no virtual host {}", self.http.source(), self.vhost);
            return Err(Failure::new(Exit::Refused, message).with_status(404));
        }
        self.success(&exchange, &path)?;
        exchange.json("the broker")
    }

    /// GET of a resource of the whole broker: `/api/<what>`.
    pub(crate) async fn get_global(&self, what: &str) -> Result<Value> {
        let path = format!("/api/{what}");
        let exchange = self.http.ask(Ask::new(Method::GET, &path)).await?;
        self.success(&exchange, &path)?;
        exchange.json("the broker")
    }

    /// PUT or POST; `path` begins with `/api/`.
    pub(crate) async fn write(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let exchange = self.http.ask(Ask { body: Some(body), ..Ask::new(method, path) }).await?;
        self.success(&exchange, path)
    }

    fn success(&self, exchange: &Exchange, path: &str) -> Result<()> {
        let status = exchange.status;
        if status.is_success() {
            return Ok(());
        }
        let todo = match status {
            StatusCode::UNAUTHORIZED => "\nCheck RABBITMQ_ADMIN_USER and RABBITMQ_ADMIN_PASSWORD.",
            StatusCode::FORBIDDEN => {
                "\nThis needs a user with the tag `administrator` (`monitoring` for read-only access)."
            }
            _ => "",
        };
        let exit = if status.is_server_error() { Exit::NoAnswer } else { Exit::Refused };
        let answer: String = one_line(exchange.text.trim()).chars().take(300).collect();
        let message = format!("the broker at {} answered {status} to {path}: {answer}{todo}", self.http.source());
        Err(Failure::new(exit, message).with_status(status.as_u16()))
    }
}
