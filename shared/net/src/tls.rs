//! Certificate authorities that are accepted for servers: the system's, and those of a file.

use std::fs::File;
use std::io::{self, Read as _};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Maximum size of a file of authorities, bytes; a system's complete set is a quarter of it.
const BYTES_MAX: u64 = 1024 * 1024;

/// A file of certificate authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authorities in {path}: {reason}")]
pub struct InvalidAuthorities {
    path: String,
    reason: String,
}

/// Reads a file of certificate authorities, and returns it as PEM text in which each certificate can be used. None
/// when `path` is empty.
pub fn authorities(path: &str) -> Result<Option<String>, InvalidAuthorities> {
    if path.is_empty() {
        return Ok(None);
    }
    let invalid = |reason: String| InvalidAuthorities { path: path.to_owned(), reason };
    let text = read(path).map_err(|error| invalid(error.to_string()))?;
    add(&mut RootCertStore::empty(), &text).map_err(invalid)?;
    Ok(Some(text))
}

/// Verifies servers by the system's authorities and those in the file at `ca_file`, if any. The file is read on every
/// call, so that authorities can be replaced while the process runs.
pub fn client_config(ca_file: &str) -> Result<ClientConfig, InvalidAuthorities> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(text) = authorities(ca_file)? {
        add(&mut roots, &text).map_err(|reason| InvalidAuthorities { path: ca_file.to_owned(), reason })?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(io::Error::other(format!("more than {BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// A single unusable certificate invalidates the whole file, so that a typing error is noticed at once, not years
/// later.
fn add(roots: &mut RootCertStore, text: &str) -> Result<(), String> {
    let before = roots.len();
    for (index, certificate) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|error| format!("certificate {} cannot be used ({error})", index + 1))?;
    }
    if roots.len() == before { Err("no certificate in PEM form".to_owned()) } else { Ok(()) }
}
