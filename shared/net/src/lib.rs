//! Reaching other programs: whose certificates count, and when to try again.

#![warn(missing_docs)]

pub mod patience;
pub mod tls;

/// One TLS provider for the whole process; a second call does nothing.
pub fn install_tls() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
