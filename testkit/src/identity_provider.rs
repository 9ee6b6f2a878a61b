//! An OpenID Connect provider whose people, keys and tokens a test decides about. A certified provider gives no wrong
//! tokens; this one does.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Client id of the console.
pub const CONSOLE: &str = "console";
/// Client id of `jaegoctl login`.
pub const CLI: &str = "cli";
/// Secret of the console's client.
pub const CLIENT_SECRET: &str = "client secret: with / and +";

/// How ID tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// With the provider's key.
    Own,
    /// With another key under the name of the provider's.
    Forged,
    /// Not at all.
    None,
}

/// A person of the provider.
#[derive(Debug, Clone)]
pub struct Account {
    pub subject: String,
    pub name: String,
    pub groups: Vec<String>,
}

struct State {
    issuer: String,
    key: SigningKey,
    generation: u32,
    accounts: HashMap<String, Account>,
    /// Sign-ins that wait for their code to be redeemed.
    codes: HashMap<String, SignIn>,
    /// Refresh tokens and access tokens with their subject and client.
    grants: HashMap<String, (String, String)>,
    /// Refresh tokens that were used.
    used: HashSet<String>,
    signature: Signature,
    /// Merged into the claims of ID tokens.
    patch: Value,
    gives_refresh_tokens: bool,
    groups_in_userinfo: bool,
    is_away: bool,
    refreshes: u32,
}

struct SignIn {
    subject: String,
    client: String,
    nonce: String,
    challenge: String,
    redirect_url: String,
}

/// The provider, which answers until it is dropped with its runtime.
#[derive(Clone)]
pub struct IdentityProvider(Arc<Mutex<State>>);

impl IdentityProvider {
    /// Starts a provider without people.
    ///
    /// # Panics
    /// When there is no port.
    #[expect(clippy::expect_used, reason = "test support")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}/realm", listener.local_addr().expect("an address"));
        let provider = Self(Arc::new(Mutex::new(State {
            issuer,
            key: SigningKey::from_bytes(&rand::random()),
            generation: 1,
            accounts: HashMap::new(),
            codes: HashMap::new(),
            grants: HashMap::new(),
            used: HashSet::new(),
            signature: Signature::Own,
            patch: json!({}),
            gives_refresh_tokens: true,
            groups_in_userinfo: false,
            is_away: false,
            refreshes: 0,
        })));
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        provider
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    /// Settings of access-service, by their names without the prefix: the groups `operators` and `viewers` give roles.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OIDC__ISSUER", self.issuer()),
            ("OIDC__CLIENT_ID", CONSOLE.to_owned()),
            ("OIDC__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("OIDC__CLI_CLIENT_ID", CLI.to_owned()),
            ("OIDC__REDIRECT_URL", "http://127.0.0.1/session/provider/return".to_owned()),
            ("OIDC__OPERATOR_GROUPS", "operators".to_owned()),
            ("OIDC__VIEWER_GROUPS", "viewers".to_owned()),
            ("OIDC__SEALING_KEY", "sealing-key-of-the-tests-with-32-characters".to_owned()),
        ]
    }

    /// Adds a person, or changes what is said of them.
    pub fn put(&self, subject: &str, name: &str, groups: &[&str]) {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        let account = Account { subject: subject.to_owned(), name: name.to_owned(), groups };
        self.state().accounts.insert(subject.to_owned(), account);
    }

    /// Deletes a person.
    pub fn delete(&self, subject: &str) {
        self.state().accounts.remove(subject);
    }

    pub fn sign_as(&self, signature: Signature) {
        self.state().signature = signature;
    }

    /// Claims that replace those of the next ID tokens; null takes one away.
    pub fn patch(&self, claims: Value) {
        self.state().patch = claims;
    }

    /// Signs with a new key from now on; the old one is not published any more.
    pub fn rotate_key(&self) {
        let mut state = self.state();
        state.key = SigningKey::from_bytes(&rand::random());
        state.generation += 1;
    }

    /// Without refresh tokens, only access tokens are given.
    pub fn give_refresh_tokens(&self, gives: bool) {
        self.state().gives_refresh_tokens = gives;
    }

    /// Tells groups in the userinfo only.
    pub fn tell_groups_in_userinfo(&self) {
        self.state().groups_in_userinfo = true;
    }

    /// While it is away, it answers every request with 503.
    pub fn be_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// Number of refreshes that it has answered.
    pub fn refreshes(&self) -> u32 {
        self.state().refreshes
    }

    /// A person signs in at the address that a browser was sent to; returns state and code.
    ///
    /// # Panics
    /// When the address is not as a provider wants it.
    #[expect(clippy::expect_used, reason = "test support")]
    pub fn sign_in(&self, subject: &str, address: &str) -> (String, String) {
        let url = Url::parse(address).expect("a URL");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let value = |name: &str| query.get(name).cloned().unwrap_or_default();
        assert_eq!((value("response_type"), value("code_challenge_method")), ("code".to_owned(), "S256".to_owned()));
        assert!(value("scope").split(' ').any(|scope| scope == "openid"), "{address}");
        let code = random();
        let sign_in = SignIn {
            subject: subject.to_owned(),
            client: value("client_id"),
            nonce: value("nonce"),
            challenge: value("code_challenge"),
            redirect_url: value("redirect_uri"),
        };
        self.state().codes.insert(code.clone(), sign_in);
        (value("state"), code)
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut reader = BufReader::new(&mut stream);
        let Some((line, headers)) = head(&mut reader).await else { return };
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).await.is_err() {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
        let (status, answer) = self.state().answer(path, &headers, &form);
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        // A client that has gone needs no answer.
        stream.write_all(format!("{head}{text}").as_bytes()).await.ok();
    }
}

impl State {
    fn answer(
        &mut self,
        path: &str,
        headers: &HashMap<String, String>,
        form: &HashMap<String, String>,
    ) -> (u16, Value) {
        if self.is_away {
            return (503, json!({}));
        }
        match path.strip_prefix("/realm/").unwrap_or_default() {
            ".well-known/openid-configuration" => (200, self.metadata()),
            "keys" => (200, json!({ "keys": [self.public_key(), { "kty": "unheard of", "kid": "other" }] })),
            "token" => self
                .token(headers, form)
                .map_or_else(|(status, error)| (status, json!({ "error": error })), |answer| (200, answer)),
            "userinfo" => {
                let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
                let grant = token.and_then(|token| self.grants.get(token));
                match grant.and_then(|(subject, _)| self.accounts.get(subject)) {
                    Some(account) => (200, json!({ "sub": account.subject, "groups": account.groups })),
                    None => (401, json!({ "error": "invalid_token" })),
                }
            }
            _ => (404, json!({})),
        }
    }

    fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/keys"),
        })
    }

    fn kid(&self) -> String {
        format!("key {}", self.generation)
    }

    fn public_key(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid(), "use": "sig", "alg": "EdDSA", "x": x })
    }

    fn token(
        &mut self,
        headers: &HashMap<String, String>,
        form: &HashMap<String, String>,
    ) -> Result<Value, (u16, &'static str)> {
        let value = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let client = client_of(headers, form).ok_or((401, "invalid_client"))?;
        let invalid = (400, "invalid_grant");
        let (subject, nonce) = if value("grant_type") == "refresh_token" {
            let refresh = value("refresh_token").to_owned();
            let (subject, owner) = self.grants.get(&refresh).cloned().ok_or(invalid)?;
            if owner != client || !self.used.insert(refresh) {
                // A refresh token that is used twice was stolen: everything of this person ends.
                self.grants.retain(|_, (owner, _)| *owner != subject);
                return Err(invalid);
            }
            self.refreshes += 1;
            (subject, None)
        } else {
            let sign_in = self.codes.remove(value("code")).ok_or(invalid)?;
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(value("code_verifier")));
            let is_own = sign_in.client == client && sign_in.redirect_url == value("redirect_uri");
            if challenge != sign_in.challenge || !is_own {
                return Err(invalid);
            }
            (sign_in.subject, Some(sign_in.nonce))
        };
        let account = self.accounts.get(&subject).cloned().ok_or(invalid)?;
        let (access, refresh) = (random(), random());
        for token in [&access, &refresh] {
            self.grants.insert(token.clone(), (subject.clone(), client.clone()));
        }
        let mut answer = json!({ "token_type": "Bearer", "access_token": access, "expires_in": 3600 });
        answer["id_token"] = self.id_token(&account, &client, nonce).into();
        if self.gives_refresh_tokens {
            answer["refresh_token"] = refresh.into();
        }
        Ok(answer)
    }

    fn id_token(&self, account: &Account, client: &str, nonce: Option<String>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut claims = json!({
            "iss": self.issuer, "sub": account.subject, "aud": client, "iat": now, "exp": now + 300,
            "preferred_username": account.name,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        if !self.groups_in_userinfo {
            claims["groups"] = json!(account.groups);
        }
        if let (Some(claims), Some(patch)) = (claims.as_object_mut(), self.patch.as_object()) {
            claims.extend(patch.clone());
            claims.retain(|_, value| !value.is_null());
        }
        let algorithm = if self.signature == Signature::None { "none" } else { "EdDSA" };
        let header = json!({ "alg": algorithm, "kid": self.kid(), "typ": "JWT" });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let key = match self.signature {
            Signature::Own => self.key.clone(),
            Signature::Forged => SigningKey::from_bytes(&rand::random()),
            Signature::None => return format!("{message}."),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes()))
    }
}

/// The client that a request authenticates as.
fn client_of(headers: &HashMap<String, String>, form: &HashMap<String, String>) -> Option<String> {
    let Some(basic) = headers.get("authorization").and_then(|value| value.strip_prefix("Basic ")) else {
        return form.get("client_id").filter(|id| *id == CLI).cloned();
    };
    let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let expected: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
    (id == CONSOLE && secret == expected).then(|| id.to_owned())
}

async fn head(reader: &mut BufReader<&mut TcpStream>) -> Option<(String, HashMap<String, String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some((lines.first()?.clone(), headers))
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}
