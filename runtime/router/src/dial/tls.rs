//! TLS to workers: whose certificates are believed, and which one is shown.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error as TlsError, InvalidMessage, RootCertStore,
};

use super::{Speech, Stream};
use crate::WorkerTls;

/// How connections are encrypted.
pub(super) struct Tls {
    http1: TlsConnector,
    http2: TlsConnector,
    /// The name on all workers' certificates, if it is not that of their URLs.
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// As the operator says: an authority's file, or else those of the system.
    ///
    /// # Errors
    /// For files that cannot be used.
    pub(super) fn new(options: &WorkerTls) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| Error::internal(format!("TLS cannot be used: {why}")))?
            .with_root_certificates(roots(options.ca.as_deref())?);
        let config = match (&options.certificate, &options.key) {
            (None, None) => config.with_no_client_auth(),
            (None, Some(_)) => {
                return Err(wrong("key", "it needs its certificate in `certificate`"));
            }
            (Some(file), key) => {
                let chain = certificates(file, "certificate")?;
                // The key may stand behind its certificate.
                let key = key.as_ref().unwrap_or(file);
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|why| unreadable("key", key, &why))?;
                let with = config.with_client_auth_cert(chain, key);
                with.map_err(|why| wrong("certificate", &why.to_string()))?
            }
        };
        let name = options.server_name.clone().map(|name| {
            let read = ServerName::try_from(name.clone());
            read.map_err(|_| {
                let why = format!("`{name}` is no name that a certificate can have");
                wrong("server_name", &why)
            })
        });
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self {
            http1: speaking(b"http/1.1"),
            http2: speaking(b"h2"),
            name: name.transpose()?,
        })
    }

    /// `stream`, which leads to `host`, encrypted.
    ///
    /// # Errors
    /// Why it cannot be, in an operator's words.
    pub(super) async fn encrypt(
        &self,
        stream: TcpStream,
        host: &str,
        speech: Speech,
    ) -> Result<Stream, String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| format!("no TLS: `{host}` is no name that a certificate can have"))?,
        };
        let connector = match speech {
            Speech::Http1 => &self.http1,
            Speech::Http2 => &self.http2,
        };
        let shown = name.to_str().into_owned();
        let encrypted = connector.connect(name, stream).await;
        let encrypted = encrypted.map_err(|why| format!("no TLS: {}", cause(&why, &shown)))?;
        Ok(Stream::Encrypted(Box::new(encrypted)))
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file, "ca")? {
                let added = roots.add(certificate);
                added.map_err(|why| unreadable("ca", file, &why))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    if roots.is_empty() {
        let why =
            "this system knows no authority whose certificates could be believed; name a file";
        return Err(wrong("ca", why));
    }
    Ok(roots)
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|why| unreadable(key, file, &why))?;
    if found.is_empty() {
        return Err(unreadable(key, file, &"it holds no certificate"));
    }
    Ok(found)
}

fn unreadable(key: &str, file: &Path, why: &dyn Display) -> Error {
    wrong(key, &format!("`{}` cannot be used: {why}", file.display()))
}

fn wrong(key: &str, why: &str) -> Error {
    Error::invalid(format!("`worker_tls.{key}`: {why}"))
}

/// Why there is no TLS with who was to have the certificate `name`, and what to do.
fn cause(why: &io::Error, name: &str) -> String {
    let inner = why.get_ref().and_then(|why| why.downcast_ref::<TlsError>());
    let Some(error) = inner else {
        return why.to_string();
    };
    match error {
        TlsError::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            // An authority of the same name with another key has signed it.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "nobody who is believed has signed its certificate; name the authority's file in \
                 `worker_tls.ca`"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "its certificate is not for `{name}`; use a name that is on it in the URL, or \
                     give it as `worker_tls.server_name`"
                )
            }
            other => format!("its certificate cannot be believed: {other}"),
        },
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS at that port".to_owned()
        }
        other => other.to_string(),
    }
}
