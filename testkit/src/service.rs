//! The environment of a service under test: its own database, a vhost with the real topology and the real
//! rights, tokens and keys. The settings are returned as environment variables.

use jaego_contracts::topology;
use jaego_contracts::topology::User;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::keys::CallbackKeys;
use crate::lab::{TestDatabase, TestVhost};
use crate::provision::without_tls;
use crate::servers::shared::Lab;

/// Bearer token with role operator, of the operator `kim`.
pub const OPERATOR_TOKEN: &str = "operator-token-of-the-tests";
/// Bearer token with role viewer, of the viewer `lee`.
pub const VIEWER_TOKEN: &str = "viewer-token-of-the-tests";

/// Credential by which access-service knows the other programs.
pub const PROGRAM_CREDENTIAL: &str = "credential-of-programs-in-the-tests";

/// Resources that the services of one test share.
pub struct Surroundings {
    pub lab: Lab,
    pub vhost: TestVhost,
    /// Keys of callback tokens.
    pub keys: CallbackKeys,
}

/// Resources of one service under test.
pub struct ServiceSurroundings {
    /// The service's database, not migrated yet.
    pub database: TestDatabase,
    /// Settings as environment variables; ports are 0 (any free one).
    pub env: Vec<(String, String)>,
    prefix: String,
}

impl ServiceSurroundings {
    /// Prefix of the service's variables, such as `JAEGO_SALES`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The environment of `migrate`, which alone gets the login of the schema's owner.
    pub fn migrate_env(&self) -> Vec<(String, String)> {
        self.with(&[("DATABASE__OWNER_URL", &without_tls(&self.database.owner_url))])
    }

    /// The value of a setting by its name without the prefix.
    pub fn setting(&self, key: &str) -> Option<&str> {
        let name = format!("{}__{key}", self.prefix);
        self.env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The environment with some settings changed, each by its name without the prefix; the last of a name counts.
    pub fn with(&self, changed: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut env = self.env.clone();
        for (key, value) in changed {
            let name = format!("{}__{key}", self.prefix);
            env.retain(|(known, _)| *known != name);
            env.push((name, (*value).to_owned()));
        }
        env
    }
}

impl Surroundings {
    /// Creates a vhost with the topology.
    ///
    /// # Panics
    /// When the servers refuse.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn new() -> Self {
        Self::try_new().await.unwrap_or_else(|error| panic!("no surroundings: {error}"))
    }

    async fn try_new() -> Result<Self> {
        let lab = Lab::try_acquire().await?;
        let vhost = lab.vhost().await;
        vhost.import(&topology::definitions()).await?;
        Ok(Self { lab, vhost, keys: CallbackKeys::generate()? })
    }

    /// Creates a database and a broker user for one service.
    ///
    /// # Panics
    /// When the servers refuse.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn service(&self, user: User) -> ServiceSurroundings {
        self.try_service(user).await.unwrap_or_else(|error| panic!("no surroundings for {}: {error}", user.name()))
    }

    /// The settings of a frontend with its own broker user; the services' URLs are not among them.
    ///
    /// # Panics
    /// When the broker refuses.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn frontend(&self) -> Vec<(String, String)> {
        self.env(User::Frontend).await.unwrap_or_else(|error| panic!("no surroundings for the frontend: {error}"))
    }

    /// Creates a database for access-service.
    pub async fn access(&self) -> ServiceSurroundings {
        let database = self.lab.database("access").await;
        let prefix = "JAEGO_ACCESS".to_owned();
        let mut env = basic_env(&prefix);
        let mut set = |key: &str, value: String| env.push((format!("{prefix}__{key}"), value));
        set("AUTH__TOKENS", token_entries(OPERATOR_TOKEN, VIEWER_TOKEN));
        set("DATABASE__URL", without_tls(&database.url));
        set("DATABASE__WAIT_TIMEOUT_MS", "15000".to_owned());
        set("PROGRAMS__CREDENTIALS", PROGRAM_CREDENTIAL.to_owned());
        ServiceSurroundings { database, env, prefix }
    }

    /// Settings that every program with messages needs.
    async fn env(&self, user: User) -> Result<Vec<(String, String)>> {
        let amqp_url = self.vhost.user(user.name(), &user.permissions()).await?;
        let prefix = prefix_of(user);
        let mut env = basic_env(&prefix);
        let mut set = |key: &str, value: String| env.push((format!("{prefix}__{key}"), value));
        set("AMQP__URL", amqp_url);
        set("ACCESS__CREDENTIAL", PROGRAM_CREDENTIAL.to_owned());
        Ok(env)
    }

    async fn try_service(&self, user: User) -> Result<ServiceSurroundings> {
        let database = self.lab.database(user.name()).await;
        let prefix = prefix_of(user);
        let mut env = self.env(user).await?;
        let mut set = |key: &str, value: String| env.push((format!("{prefix}__{key}"), value));
        set("AUTH__TOKENS", token_entries(OPERATOR_TOKEN, VIEWER_TOKEN));
        set("DATABASE__URL", without_tls(&database.url));
        // A machine that also compiles may take long to open a connection, which is not what the tests check.
        set("DATABASE__WAIT_TIMEOUT_MS", "15000".to_owned());
        set("OUTBOX__POLL_MS", "50".to_owned());
        match user {
            // The frontend is no service: it has no database.
            User::Sales | User::Frontend => {}
            User::Production => {
                set("CALLBACK__SIGNING_KEY", self.keys.private_pem.clone());
                // The simulated factories run on this machine.
                set("DELIVERY__ALLOWED_NETWORKS", "127.0.0.0/8,::1/128".to_owned());
            }
            User::Restock => set("CALLBACK__PUBLIC_KEYS", self.keys.public_pem.clone()),
        }
        Ok(ServiceSurroundings { database, env, prefix })
    }
}

/// Settings that every program needs.
fn basic_env(prefix: &str) -> Vec<(String, String)> {
    let mut env = Vec::new();
    let mut set = |key: &str, value: String| env.push((format!("{prefix}__{key}"), value));
    set("HTTP__HOST", "127.0.0.1".to_owned());
    for port in ["HTTP__PORT", "HTTP__PUBLIC_PORT", "HTTP__ADMIN_PORT"] {
        set(port, "0".to_owned());
    }
    set("TELEMETRY__LOG", std::env::var("JAEGO_TEST_LOG").unwrap_or_else(|_| "warn".to_owned()));
    set("TELEMETRY__LOG_FORMAT", "text".to_owned());
    set("SHUTDOWN__DRAIN_MS", "10000".to_owned());
    env
}

fn prefix_of(user: User) -> String {
    format!("JAEGO_{}", user.name().to_uppercase())
}

/// `auth.tokens` with the operator `kim` and the viewer `lee`.
pub fn token_entries(operator: &str, viewer: &str) -> String {
    let entry = |name: &str, role: &str, token: &str| format!("{name}:{role}:{}", hex::encode(Sha256::digest(token)));
    [entry("kim", "operator", operator), entry("lee", "viewer", viewer)].join(",")
}
