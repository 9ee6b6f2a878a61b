//! One way to make an HTTP client: no proxy from the environment, bounded in time, and with the
//! crypto provider that reqwest demands even for plain http.

use std::time::Duration;

/// A client for servers on this machine.
///
/// # Panics
/// When the machine has no certificate bundle: reqwest refuses to build any client then.
#[expect(clippy::expect_used, reason = "test support: without a client nothing can be said to anybody")]
pub fn client(timeout: Duration) -> reqwest::Client {
    // A second installation is refused: another part of the process has done it.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(timeout)
        .build()
        .expect("reqwest builds a client: is the package ca-certificates installed?")
}
