//! HTTP clients without a proxy from the environment, with a timeout, and with the crypto provider that reqwest needs
//! even for plain http.

use std::{error::Error as _, time::Duration};

/// Our servers close a connection that was idle for five seconds. One that was idle for this long is not
/// reused, so that no request races with the close.
const IDLE: Duration = Duration::from_secs(1);

/// A client for servers on this machine.
///
/// # Panics
/// When the machine has no certificate bundle: reqwest then refuses to build any client.
pub fn client(timeout: Duration) -> reqwest::Client {
    build(builder(timeout))
}

/// Like [`client`], but with a new connection for each request: a server that closes an idle connection (some
/// with a 408) cannot hit a request that is just being sent on it.
///
/// # Panics
/// As [`client`].
pub fn client_of_fresh_connections(timeout: Duration) -> reqwest::Client {
    build(builder(timeout).pool_max_idle_per_host(0))
}

#[expect(clippy::expect_used, reason = "test support: no test can run without a client")]
fn build(builder: reqwest::ClientBuilder) -> reqwest::Client {
    builder.build().expect("reqwest builds a client: is the package ca-certificates installed?")
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    jaego_net::install_tls();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(IDLE)
        .timeout(timeout)
}

/// The reason of a failed request, down to the last cause. Without the URL: a callback's is a capability.
pub fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
