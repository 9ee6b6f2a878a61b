//! Connections: accepted certificates, retries, networks, and the addresses of clients.

#![warn(missing_docs)]

pub mod client_address;
pub mod networks;
pub mod patience;
pub mod proxies;
pub mod tls;

/// Installs one TLS provider for the whole process; a second call does nothing.
pub fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
