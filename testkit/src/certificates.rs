//! Certificates for TLS servers.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::error::{Error, Result};

/// A server's certificate and the authority that signed it, made for one test. All fields are PEM text.
#[derive(Clone)]
pub struct Certificates {
    /// Certificate of the authority that a client must accept.
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

impl Certificates {
    /// A certificate that is valid for `host` only.
    pub fn for_host(host: &str) -> Result<Self> {
        Self::try_for_host(host).map_err(|error| Error::Invalid(format!("no certificate for {host}: {error}")))
    }

    fn try_for_host(host: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "An authority of Jaego's tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.signed_by(&key, &authority)?;
        Ok(Self { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}
