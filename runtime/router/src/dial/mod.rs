//! Opening a connection to a worker: plain, or encrypted where its URL is `https://`.

mod connector;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use routir_core::Result;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use connector::Connector;
pub(crate) use stream::Stream;
use tls::Tls;

use crate::RouterOptions;
use crate::worker::Worker;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1, which web sockets begin with too.
    Http1,
    /// HTTP/2, for gRPC.
    Http2,
}

/// Opens connections to workers. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    patience: Duration,
    /// How to encrypt; `None` where no worker wants it.
    tls: Option<Arc<Tls>>,
}

impl Dialer {
    /// As the options say. Reads certificates, if there is a worker that wants encryption.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for certificates that cannot be used.
    pub(crate) fn new(options: &RouterOptions) -> Result<Self> {
        let encrypted = |url: &String| url.trim().to_ascii_lowercase().starts_with("https:");
        let cluster = options.kubernetes.as_ref();
        let wanted = options.workers.iter().any(encrypted)
            || cluster.is_some_and(|cluster| cluster.https)
            || options.worker_tls != crate::WorkerTls::default();
        let tls = wanted.then(|| Tls::new(&options.worker_tls)).transpose()?;
        Ok(Self {
            patience: options.connect_timeout,
            tls: tls.map(Arc::new),
        })
    }

    /// One that cannot encrypt.
    #[cfg(test)]
    pub(crate) fn plain(patience: Duration) -> Self {
        Self {
            patience,
            tls: None,
        }
    }

    /// A connection to the worker.
    ///
    /// # Errors
    /// Why there is none within the time that opening one may take.
    pub(crate) async fn dial(&self, worker: &Worker) -> Result<Stream, String> {
        let (host, port) = worker.socket();
        self.open(host, port, worker.is_encrypted(), Speech::Http1)
            .await
    }

    /// The same to any port.
    pub(crate) async fn open(
        &self,
        host: &str,
        port: u16,
        encrypted: bool,
        speech: Speech,
    ) -> Result<Stream, String> {
        let opened = async {
            let stream = TcpStream::connect((host, port)).await;
            let stream = stream.map_err(|why| format!("no connection: {why}"))?;
            // Failing means that the peer is gone already.
            let _ = stream.set_nodelay(true);
            if !encrypted {
                return Ok(Stream::Plain(stream));
            }
            let none = || "no connection: no certificates were read at the start".to_owned();
            let tls = self.tls.as_ref().ok_or_else(none)?;
            tls.encrypt(stream, host, speech).await
        };
        match timeout(self.patience, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no connection within {:?}", self.patience)),
        }
    }
}
