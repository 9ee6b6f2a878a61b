//! A stack's PostgreSQL and RabbitMQ, and its databases, vhost and users in them.

use std::{collections::BTreeMap, path::Path};

use jaego_contracts::topology;
use jaego_contracts::topology::User;
use testkit::{
    Lab, TestDatabase, TestVhost,
    provision::{Broker, DatabaseUrls, amqp_url, create_database, url_of, without_tls},
    servers::{PostgresOptions, PostgresServer, RabbitOptions, RabbitServer},
};

use super::{ServerChoice, kept::Secrets, server_dirs, service::Service};

const VHOST: &str = "jaego";

/// Running servers, and the URLs of what was provisioned for the services.
#[derive(Debug)]
pub(super) struct Servers {
    kind: Kind,
    databases: BTreeMap<Service, DatabaseUrls>,
    /// URLs by user name.
    brokers: BTreeMap<&'static str, String>,
}

#[derive(Debug)]
enum Kind {
    Private(Box<Private>),
    Shared(Box<Shared>),
}

#[derive(Debug)]
struct Private {
    rabbit: RabbitServer,
    postgres: PostgresServer,
    postgres_major: u32,
}

#[derive(Debug)]
struct Shared {
    databases: BTreeMap<Service, TestDatabase>,
    vhost: TestVhost,
    lab: Lab,
}

impl Servers {
    /// Starts the servers with their existing data.
    pub(super) async fn start(choice: &ServerChoice, dir: &Path) -> anyhow::Result<Self> {
        let kind = match choice {
            ServerChoice::Private(programs, settings) => {
                let [rabbit_dir, postgres_dir] = server_dirs(dir);
                let postgres_options = PostgresOptions { settings, ..PostgresOptions::default() };
                let rabbit_options = RabbitOptions::default();
                let (postgres, rabbit) = tokio::try_join!(
                    PostgresServer::start(&programs.postgres, &postgres_dir, &postgres_options),
                    RabbitServer::start(&programs.rabbitmq, &rabbit_dir, &rabbit_options),
                )?;
                Kind::Private(Box::new(Private { rabbit, postgres, postgres_major: programs.postgres.major }))
            }
            ServerChoice::Shared => {
                let lab = Lab::try_acquire().await?;
                let vhost = lab.vhost().await;
                Kind::Shared(Box::new(Shared { databases: BTreeMap::new(), vhost, lab }))
            }
        };
        Ok(Self { kind, databases: BTreeMap::new(), brokers: BTreeMap::new() })
    }

    /// Creates the databases with their roles, the vhost with its queues, and the users with their permissions. Can
    /// be repeated.
    pub(super) async fn provision(&mut self, secrets: &Secrets) -> anyhow::Result<()> {
        match &mut self.kind {
            Kind::Private(private) => {
                let admin_url = private.postgres.admin_url();
                for service in Service::ALL {
                    let name = service.database();
                    let [password, owner_password] = secrets.database_passwords(service);
                    let urls = create_database(&admin_url, &name, &name, password, owner_password).await?;
                    self.databases.insert(service, urls);
                }
                let (broker, (admin, _)) = (private.rabbit.broker(), private.rabbit.admin());
                broker.create_vhost(VHOST).await?;
                broker.set_permissions(VHOST, admin, ".*", ".*", ".*").await?;
                broker.import_definitions(VHOST, &topology::definitions()).await?;
                for user in User::ALL {
                    let (name, password) = (user.name(), secrets.broker_password(user.name()));
                    broker.put_service(VHOST, name, password, &user.permissions()).await?;
                    self.brokers.insert(name, amqp_url(private.rabbit.amqp_port(), name, password, VHOST));
                }
            }
            Kind::Shared(shared) => {
                let vhost = &shared.vhost;
                vhost.import(&topology::definitions()).await?;
                for user in User::ALL {
                    self.brokers.insert(user.name(), vhost.user(user.name(), &user.permissions()).await?);
                }
                for service in Service::ALL {
                    let database = shared.lab.database(service.name()).await;
                    self.databases.insert(service, DatabaseUrls::clone(&database));
                    shared.databases.insert(service, database);
                }
            }
        }
        Ok(())
    }

    /// Description for the user who waits.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Private(private) => format!(
                "Private PostgreSQL {} on port {} and RabbitMQ on port {}",
                private.postgres_major,
                private.postgres.port(),
                private.rabbit.amqp_port()
            ),
            Kind::Shared(shared) => format!("The shared servers of tests, vhost {}", shared.vhost.name),
        }
    }

    /// URL of a service's database.
    pub(super) fn database_url(&self, service: Service) -> String {
        without_tls(self.databases.get(&service).map_or("", |urls| urls.url.as_str()))
    }

    /// The same as the role that owns it.
    pub(super) fn database_owner_url(&self, service: Service) -> String {
        without_tls(self.databases.get(&service).map_or("", |urls| urls.owner_url.as_str()))
    }

    /// Broker URL with the user of that name.
    pub(super) fn broker_url(&self, user: &str) -> String {
        self.brokers.get(user).cloned().unwrap_or_default()
    }

    /// PostgreSQL URL with the administrator and the database `postgres`.
    pub(super) fn postgres_admin_url(&self) -> anyhow::Result<String> {
        let url = match &self.kind {
            Kind::Private(private) => private.postgres.admin_url(),
            Kind::Shared(shared) => shared.lab.postgres_admin_url().to_owned(),
        };
        Ok(without_tls(&url_of(&url, "postgres", None)?))
    }

    /// RabbitMQ URL with the administrator and the services' vhost.
    pub(super) fn amqp_admin_url(&self) -> String {
        match &self.kind {
            Kind::Private(private) => {
                let (user, password) = private.rabbit.admin();
                amqp_url(private.rabbit.amqp_port(), user, password, VHOST)
            }
            Kind::Shared(shared) => shared.vhost.admin_url.clone(),
        }
    }

    /// RabbitMQ's management API and the services' vhost.
    pub(super) fn broker(&self) -> (Broker, &str) {
        match &self.kind {
            Kind::Private(private) => (private.rabbit.broker(), VHOST),
            Kind::Shared(shared) => (shared.vhost.broker().clone(), &shared.vhost.name),
        }
    }

    /// The RabbitMQ server, if no other stack uses it.
    pub(super) fn private_rabbit(&mut self) -> Option<&mut RabbitServer> {
        match &mut self.kind {
            Kind::Private(private) => Some(&mut private.rabbit),
            Kind::Shared(_) => None,
        }
    }

    /// URL of RabbitMQ's management pages, and the administrator's name and password. Only for private servers.
    pub(super) fn management(&self) -> Option<(String, String, String)> {
        let Kind::Private(private) = &self.kind else { return None };
        let (user, password) = private.rabbit.admin();
        Some((private.rabbit.management_url(), user.to_owned(), password.to_owned()))
    }

    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Kind::Private(private) = &mut self.kind {
            private.postgres.process().check_alive()?;
            private.rabbit.process().check_alive()?;
        }
        Ok(())
    }

    /// Stops private servers, or removes what was created on shared ones.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        if let Kind::Private(private) = self.kind {
            private.rabbit.stop().await?;
            private.postgres.stop().await?;
        }
        Ok(())
    }

    pub(super) fn detach(self) {
        if let Kind::Private(private) = self.kind {
            private.rabbit.detach();
            private.postgres.detach();
        }
    }
}
