//! Connections under TLS, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::{Dialer, Speech, Stream};
use crate::certificates::Authority;
use crate::{RouterOptions, WorkerTls};

const BOTH: [&str; 2] = ["http/1.1", "h2"];

/// Answers every connection with the protocol that was agreed on.
struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(config);
        let serving = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let agreed = stream.get_ref().1.alpn_protocol().unwrap_or(b"?").to_vec();
                let _ = stream.write_all(&agreed).await;
                let _ = stream.shutdown().await;
            }
        };
        Self {
            address,
            serving: tokio::spawn(serving),
        }
    }

    async fn dial(&self, tls: WorkerTls, speech: Speech) -> Result<String, String> {
        let port = self.address.port();
        let mut stream = dialer(tls)?.open("localhost", port, true, speech).await?;
        let mut said = String::new();
        let read = stream.read_to_string(&mut said).await;
        read.map(|_| said).map_err(|why| why.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn dialer(worker_tls: WorkerTls) -> Result<Dialer, String> {
    let options = RouterOptions {
        workers: vec!["https://localhost".to_owned()],
        worker_tls,
        ..RouterOptions::default()
    };
    Dialer::new(&options).map_err(|why| why.message().to_owned())
}

fn believing(authority: &Authority) -> WorkerTls {
    WorkerTls {
        ca: Some(authority.file()),
        ..WorkerTls::default()
    }
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_under_tls() {
    let authority = Authority::made();
    let server = Server::start(authority.server("localhost", 4000, &BOTH, None)).await;
    for (speech, agreed) in [(Speech::Http1, "http/1.1"), (Speech::Http2, "h2")] {
        let said = server.dial(believing(&authority), speech).await;
        assert_eq!(said.unwrap(), agreed);
    }
}

#[tokio::test]
async fn why_a_certificate_is_not_believed_is_told() {
    let authority = Authority::made();
    let other = Authority::made();
    let wrong = [
        ("localhost", 2020, &authority, "has expired"),
        ("localhost", 4000, &other, "`worker_tls.ca`"),
        ("worker.example", 4000, &authority, "not for `localhost`"),
    ];
    for (name, until, signed, told) in wrong {
        let server = Server::start(signed.server(name, until, &BOTH, None)).await;
        let why = server.dial(believing(&authority), Speech::Http1).await;
        let why = why.unwrap_err();
        assert!(why.contains(told), "{told}: {why}");
    }
    // A name of the operator's is looked for in place of the URL's.
    let server = Server::start(authority.server("worker.example", 4000, &BOTH, None)).await;
    let named = WorkerTls {
        server_name: Some("worker.example".to_owned()),
        ..believing(&authority)
    };
    assert!(server.dial(named, Speech::Http1).await.is_ok());
}

#[tokio::test]
async fn a_certificate_is_shown_to_who_asks_for_one() {
    let authority = Authority::made();
    let config = authority.server("localhost", 4000, &BOTH, Some(&authority));
    let server = Server::start(config).await;
    let why = server.dial(believing(&authority), Speech::Http1).await;
    assert!(why.unwrap_err().contains("CertificateRequired"));
    let shown = WorkerTls {
        certificate: Some(authority.client()),
        ..believing(&authority)
    };
    assert!(server.dial(shown, Speech::Http1).await.is_ok());
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_apart_and_one_who_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
        let (silent, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(silent);
    });
    let authority = Authority::made();
    let dialer = Dialer {
        patience: Duration::from_millis(300),
        ..dialer(believing(&authority)).unwrap()
    };
    let dial = || dialer.open("localhost", port, true, Speech::Http1);
    let why = |opened: Result<Stream, String>| opened.map(|_| ()).unwrap_err();
    let told = why(dial().await);
    assert!(told.contains("does not speak TLS"), "{told}");
    let told = why(dial().await);
    assert!(told.contains("no connection within"), "{told}");
    plain.abort();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::made();
    let missing = || Some("/nowhere.pem".into());
    let ca = authority.file();
    let of = |change: fn(&mut WorkerTls)| {
        let mut tls = WorkerTls::default();
        change(&mut tls);
        dialer(tls).unwrap_err()
    };
    assert!(of(|tls| tls.ca = Some("/nowhere.pem".into())).contains("/nowhere.pem"));
    assert!(of(|tls| tls.key = Some("/k".into())).contains("`worker_tls.key`"));
    assert!(of(|tls| tls.server_name = Some("a b".into())).contains("`a b`"));
    let keyless = WorkerTls {
        certificate: Some(ca.clone()),
        ..WorkerTls::default()
    };
    assert!(dialer(keyless).unwrap_err().contains("worker_tls.key"));
    let half = WorkerTls {
        certificate: Some(ca),
        key: missing(),
        ..WorkerTls::default()
    };
    assert!(dialer(half).unwrap_err().contains("/nowhere.pem"));
}
