//! `jaegoctl login` and `logout`: a sign-in at the identity provider, whose answer a browser brings to this machine.

use std::{collections::HashMap, process::Stdio, time::Duration};

use clap::Args;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    time::timeout,
};
use url::Url;

use crate::{
    api::refusal,
    connection::Connection,
    failure::{Exit, Failure, Result},
    http::{Ask, Http, Login as Credentials},
    kept_session::KeptSession,
    output::{Output, say},
    service::Service,
};

/// Time within which a person signs in.
const SIGN_IN_MAX: Duration = Duration::from_secs(300);
/// Maximum time for a browser to send its request.
const READ_MAX: Duration = Duration::from_secs(10);
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Sign in at the identity provider, in a browser on this machine
///
/// The session is kept in a file that only you can read ($XDG_CONFIG_HOME/jaego/session.json), and is used by all
/// commands that are given no token, for the same ACCESS_URL. It ends by itself, with `jaegoctl logout`, or when you
/// lose your access at the provider.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Only print the address, and open no browser
    #[arg(long)]
    no_browser: bool,
}

/// End the session of `jaegoctl login`
#[derive(Debug, Args)]
pub(crate) struct Logout {}

impl Login {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let access_url = connection.url(Service::Access)?;
        let http = access(&access_url, Credentials::Nobody, connection.timeout())?;
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot listen: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let begun = post(&http, "/login/begin", &json!({ "port": port })).await?;
        let address = begun["url"].as_str().and_then(|url| Url::parse(url).ok());
        let address = address.filter(|url| matches!(url.scheme(), "http" | "https"));
        let address = address.ok_or_else(|| Failure::not_understood(Service::Access, "no address to sign in at"))?;
        let state = parameters(&address).remove("state").unwrap_or_default();
        say(&format!("Sign in at this address in a browser on this machine:\n{address}"));
        if !self.no_browser {
            open_browser(&address);
        }
        let returned = timeout(SIGN_IN_MAX, returned(listener, &state)).await;
        let (mut parameters, stream) =
            returned.ok().flatten().ok_or_else(|| Failure::new(Exit::Failed, "nobody has signed in"))?;
        let mut body = json!({ "port": port, "attempt": begun["attempt"], "state": state });
        for name in ["code", "error", "iss"] {
            body[name] = parameters.remove(name).into();
        }
        let end = post(&http, "/login/finish", &body).await.and_then(|end| signed_in(&access_url, &end));
        let said = if end.is_ok() { "You are signed in." } else { "You are not signed in: see the terminal." };
        answer(stream, "200 OK", &format!("{said} You can close this page.")).await;
        let session = end?;
        let path = session.keep()?;
        output.line(format!("signed in as {}; the session is in {}", session.person, path.display()));
        output.document(&json!({ "person": session.person, "file": path.display().to_string() }));
        Ok(Exit::Ok)
    }
}

impl Logout {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<Exit> {
        let Some(kept) = KeptSession::read()? else {
            output.line("nobody was signed in");
            output.document(&json!({ "ended": false }));
            return Ok(Exit::Ok);
        };
        let credentials = Credentials::Bearer(SecretString::from(kept.session));
        // The file stays until the session has ended, so that this can be repeated.
        post(&access(&kept.access_url, credentials, connection.timeout())?, "/login/end", &Value::Null).await?;
        KeptSession::forget()?;
        output.line(format!("the session of {} has ended", kept.person));
        output.document(&json!({ "ended": true }));
        Ok(Exit::Ok)
    }
}

fn access(url: &Url, credentials: Credentials, wait: Duration) -> Result<Http> {
    let service = Service::Access;
    let hint = format!("Its URL is set by {} or {}.", service.url_variable(), service.url_flag());
    Http::new(service.name(), hint, url.clone(), credentials, wait)
}

async fn post(http: &Http, path: &str, body: &Value) -> Result<Value> {
    let exchange = http.ask(Ask { body: Some(body), ..Ask::new(Method::POST, path) }).await?;
    if exchange.status.is_success() { exchange.json(&http.name) } else { Err(refusal(http, &exchange)) }
}

fn signed_in(access_url: &Url, end: &Value) -> Result<KeptSession> {
    let begun = &end["begun"];
    if let (Some(person), Some(session)) = (begun["principal"]["name"].as_str(), begun["session"].as_str()) {
        let (person, session) = (person.to_owned(), session.to_owned());
        return Ok(KeptSession { access_url: access_url.clone(), person, session });
    }
    let why = match end["refused"].as_str().unwrap_or_default() {
        "denied" => "the identity provider did not confirm the sign-in",
        "no-role" => "none of your groups has access",
        "name-taken" => "your name belongs to someone else here",
        "not-begun" => "it was begun elsewhere or used before; log in again",
        _ => "the identity provider's answer could not be verified; the log of access-service says why",
    };
    Err(Failure::new(Exit::Refused, format!("not signed in: {why}")))
}

/// Waits for the browser that comes back with this state. Other requests, such as those of pages that guess the port,
/// get 404.
async fn returned(listener: TcpListener, state: &str) -> Option<(HashMap<String, String>, TcpStream)> {
    let (found, mut next) = mpsc::channel(1);
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            let found = found.clone();
            tokio::spawn(async move {
                if let Ok(Some(request)) = timeout(READ_MAX, read(stream)).await {
                    // Nobody waits any more when the right one has come.
                    found.send(request).await.ok();
                }
            });
        }
    };
    let finding = async {
        while let Some((url, stream)) = next.recv().await {
            let parameters = parameters(&url);
            if url.path() == "/return" && parameters.get("state").is_some_and(|given| given == state) {
                return Some((parameters, stream));
            }
            answer(stream, "404 Not Found", "There is nothing at this path.").await;
        }
        None
    };
    tokio::select! {
        found = finding => found,
        () = accepting => None,
    }
}

/// The address of a request, once its head is complete.
async fn read(mut stream: TcpStream) -> Option<(Url, TcpStream)> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.ok()?;
        if length == 0 || head.len() + length > REQUEST_BYTES_MAX {
            return None;
        }
        head.extend_from_slice(&piece[..length]);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.strip_prefix("GET ")?.split(' ').next()?;
    let url = Url::parse("http://127.0.0.1").ok()?.join(path).ok()?;
    Some((url, stream))
}

async fn answer(mut stream: TcpStream, status: &str, text: &str) {
    let head = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
                X-Content-Type-Options: nosniff\r\nConnection: close";
    let answer = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    // The page is a courtesy: its reader may have gone.
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

fn parameters(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// Opens the address in the user's browser, if there is one; the address is on the terminal anyway.
fn open_browser(address: &Url) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = Stdio::null;
    drop(Command::new(program).arg(address.as_str()).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn());
}
