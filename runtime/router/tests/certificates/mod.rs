//! An authority of tests, what it signs, and an end of TLS before a server that has none.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part, and outside a test function clippy does not see that this is a test"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// One that nobody else knows.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    dir: TempDir,
}

impl Authority {
    pub fn made() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let dir = TempDir::new().unwrap();
        let name = dir.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            dir,
        }
    }

    /// The file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn sign(&self, name: &str, until: i32) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A file with a certificate for clients and its key.
    pub fn client(&self) -> PathBuf {
        let (certificate, key) = self.sign("router", 4000);
        let file = self.dir.path().join("client.pem");
        std::fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
        file
    }

    /// A server of that name, until the year `until`, that speaks those protocols, and lets in those
    /// with a certificate of `clients` alone, if that is given.
    pub fn server(
        &self,
        name: &str,
        until: i32,
        protocols: &[&str],
        clients: Option<&Self>,
    ) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name, until);
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.certificate.der().clone()).unwrap();
                let check = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(check.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_single_cert(vec![certificate.der().clone()], key);
        let mut config = config.unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// Ends TLS before a server, until it is dropped.
pub struct Ending {
    pub address: SocketAddr,
    stalls: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Ending {
    pub async fn before(server: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(config);
        let stalls = Arc::new(AtomicBool::new(false));
        let stalling = Arc::clone(&stalls);
        let serving = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                let stalls = stalling.load(Ordering::SeqCst);
                connections.spawn(async move {
                    if stalls {
                        std::future::pending::<()>().await;
                    }
                    let Ok(mut outside) = acceptor.accept(stream).await else {
                        return;
                    };
                    let Ok(mut inside) = TcpStream::connect(server).await else {
                        return;
                    };
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        };
        Self {
            address,
            stalls,
            serving: tokio::spawn(serving),
        }
    }

    /// From now on connections are taken and nothing is said.
    pub fn stall(&self) {
        self.stalls.store(true, Ordering::SeqCst);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
