//! Connections to other programs: accepted certificates, and retries.

#![warn(missing_docs)]

pub mod patience;
pub mod tls;

/// Installs one TLS provider for the whole process; a second call does nothing.
pub fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
