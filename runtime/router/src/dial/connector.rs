//! For a client that keeps its connections itself, as that of gRPC does.

use std::io;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use routir_core::BoxFuture;
use tower_service::Service;

use super::{Dialer, Speech, Stream};

/// Opens connections for HTTP/2 to where the URIs of requests lead.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Dialer);

impl Connector {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self(dialer)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
            let host = uri.host().unwrap_or_default();
            // An IPv6 address stands in brackets.
            let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            let port = uri
                .port_u16()
                .ok_or_else(|| io::Error::other("the URI names no port"))?;
            let host = bare.unwrap_or(host);
            let stream = dialer.open(host, port, encrypted, Speech::Http2).await;
            stream.map(TokioIo::new).map_err(io::Error::other)
        })
    }
}
