//! The services' own URLs, which hold passwords: from files or the environment, never from arguments.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::{
    connection::secret_of_file,
    failure::{Failure, Result},
    service::Service,
};

/// Files with the services' own URLs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Services' own URLs")]
#[expect(clippy::struct_field_names, reason = "they are called like their flags")]
pub(crate) struct ServiceUrls {
    /// A file with the URL of sales-service
    #[arg(long, value_name = "FILE")]
    sales_url_file: Option<PathBuf>,
    /// A file with the URL of production-service
    #[arg(long, value_name = "FILE")]
    production_url_file: Option<PathBuf>,
    /// A file with the URL of restock-service
    #[arg(long, value_name = "FILE")]
    restock_url_file: Option<PathBuf>,
    /// A file with the URL of access-service
    #[arg(long, value_name = "FILE")]
    access_url_file: Option<PathBuf>,
}

pub(crate) struct ServiceUrl {
    pub(crate) service: Service,
    /// File or variable that it was read from.
    pub(crate) source: String,
    /// With user and password.
    pub(crate) url: SecretString,
}

impl ServiceUrl {
    /// Reads a URL from a file, otherwise from a variable, which may be absent.
    pub(crate) fn read(service: Service, file: Option<&PathBuf>, variable: &str) -> Result<Option<Self>> {
        let (url, source) = match file {
            Some(path) => (secret_of_file(path)?, path.display().to_string()),
            None => (std::env::var(variable).unwrap_or_default(), variable.to_owned()),
        };
        match (url.trim(), file) {
            ("", Some(_)) => Err(Failure::usage(format!("{source}: contains no URL"))),
            ("", None) => Ok(None),
            (url, _) => Ok(Some(Self { service, source, url: SecretString::from(url.to_owned()) })),
        }
    }
}

impl ServiceUrls {
    /// Reads the URLs of `services` that are given by file or in the variable that `variable` names. Fails when there
    /// is none.
    pub(crate) fn read(&self, services: &[Service], variable: fn(Service) -> &'static str) -> Result<Vec<ServiceUrl>> {
        let mut given = Vec::new();
        for service in services.iter().copied() {
            given.extend(ServiceUrl::read(service, self.file(service), variable(service))?);
        }
        if given.is_empty() {
            let list = |of: fn(Service) -> String| services.iter().copied().map(of).collect::<Vec<_>>().join(", ");
            let variables: Vec<&str> = services.iter().copied().map(variable).collect();
            let message = format!(
                "no service is selected: set at least one of {} or give one of {}",
                variables.join(", "),
                list(|service| format!("{}-file", service.url_flag()))
            );
            return Err(Failure::usage(message));
        }
        Ok(given)
    }

    fn file(&self, service: Service) -> Option<&PathBuf> {
        match service {
            Service::Sales => self.sales_url_file.as_ref(),
            Service::Production => self.production_url_file.as_ref(),
            Service::Restock => self.restock_url_file.as_ref(),
            Service::Access => self.access_url_file.as_ref(),
        }
    }
}
