//! TLS to a Redis: whose certificates are believed, and which one is shown.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::kwargs::{CertReqs, Kwargs};
use super::settings::RedisProblem;

/// How to encrypt, and the name on the certificate.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// As redis-py's arguments say: `ssl_ca_certs` or else the system's authorities,
    /// `ssl_cert_reqs`, `ssl_check_hostname`, and `ssl_certfile` with `ssl_keyfile`.
    pub(super) fn new(host: &str, kwargs: &Kwargs) -> Result<Self, RedisProblem> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| RedisProblem {
            kwarg: None,
            message: format!("`{host}` is no name that a certificate can have"),
        })?;
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(&provider, kwargs)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| RedisProblem::of("ssl", format!("TLS cannot be used: {why}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &kwargs.certfile {
            None if kwargs.keyfile.is_some() => {
                let message = "`ssl_keyfile` needs its certificate in `ssl_certfile`";
                return Err(RedisProblem::of("ssl_keyfile", message));
            }
            None => config.with_no_client_auth(),
            Some(file) => {
                let chain = certificates(file, "ssl_certfile")?;
                // As in Python, the key may stand behind its certificate.
                let key = kwargs.keyfile.as_deref().unwrap_or(file);
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|why| unreadable("ssl_keyfile", key, &why))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|why| RedisProblem::of("ssl_certfile", why.to_string()))?
            }
        };
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }
}

fn verifier(
    provider: &Arc<CryptoProvider>,
    kwargs: &Kwargs,
) -> Result<Arc<dyn ServerCertVerifier>, RedisProblem> {
    if kwargs.cert_reqs == CertReqs::None {
        return Ok(Arc::new(Lenient {
            believed: None,
            provider: Arc::clone(provider),
        }));
    }
    let mut roots = RootCertStore::empty();
    let key = "ssl_ca_certs";
    match &kwargs.ca_certs {
        Some(file) => {
            for certificate in certificates(file, key)? {
                let added = roots.add(certificate);
                added.map_err(|why| unreadable(key, file, &why))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    if roots.is_empty() {
        let message = "there is no authority whose certificates could be believed; name a file of \
                       certificates in `ssl_ca_certs`";
        return Err(RedisProblem::of(key, message));
    }
    let strict = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|why| RedisProblem::of(key, why.to_string()))?;
    Ok(if kwargs.check_hostname {
        strict
    } else {
        Arc::new(Lenient {
            believed: Some(strict),
            provider: Arc::clone(provider),
        })
    })
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, RedisProblem> {
    let found =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|why| unreadable(key, file, &why))?;
    if found.is_empty() {
        return Err(unreadable(key, file, &"it holds no certificate"));
    }
    Ok(found)
}

fn unreadable(key: &str, file: &Path, why: &dyn std::fmt::Display) -> RedisProblem {
    let file = file.display();
    RedisProblem::of(key, format!("`{file}` cannot be used: {why}"))
}

/// Checks less, because the configuration says so: not the name on a certificate, or nothing.
#[derive(Debug)]
struct Lenient {
    believed: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(strict) = &self.believed else {
            return Ok(ServerCertVerified::assertion());
        };
        match strict.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
