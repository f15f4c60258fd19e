//! How a server's gRPC interface is reached: without encryption over a link of ours, with it over
//! tonic's channel.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::{Request, Response, Uri};
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::address::GrpcAddress;
use crate::link::Link;

/// The longest that a connection may take to be made.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent before the system asks whether its peer lives.
pub(crate) const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// How long the system waits for an answer to that, and how often it asks before the connection is
/// lost.
pub(crate) const TCP_PROBE: Duration = Duration::from_secs(10);
pub(crate) const TCP_PROBES: u32 = 3;
/// How often a connection with calls in flight is pinged over HTTP/2, which also finds a peer whose
/// system lives and who does not. Servers on gRPC's own library, RoutIR's among them, count pings
/// that come within five minutes of each other without data from them in between, and close the
/// connection with `too_many_pings` at the third.
pub(crate) const PING: Duration = Duration::from_secs(310);
/// How long the answer to a ping may take.
pub(crate) const PONG: Duration = Duration::from_secs(10);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

/// The way to a server.
#[derive(Clone)]
pub(crate) enum Way {
    Plain(Link),
    Encrypted(Channel),
}

impl Way {
    /// The way to `address`, and what requests name it by. Opens no connection yet. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the address, or with encryption.
    pub(crate) fn to(address: &GrpcAddress) -> Result<(Self, Uri), String> {
        let GrpcAddress { authority, tls } = address;
        let scheme = if *tls { "https" } else { "http" };
        let wrong =
            |why: &dyn std::fmt::Display| format!("`{authority}` is no gRPC address: {why}");
        let origin = format!("{scheme}://{authority}").parse::<Uri>();
        let origin = origin.map_err(|why| wrong(&why))?;
        if !tls {
            return Ok((Self::Plain(Link::new(origin.clone())), origin));
        }
        let endpoint = Endpoint::new(origin.clone()).map_err(|why| wrong(&why))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .tcp_keepalive_interval(Some(TCP_PROBE))
            .tcp_keepalive_retries(Some(TCP_PROBES))
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(false)
            .tls_config(ClientTlsConfig::new().with_native_roots())
            .map_err(|why| format!("TLS cannot be set up: {why}"))?;
        Ok((Self::Encrypted(endpoint.connect_lazy()), origin))
    }
}

impl GrpcService<Body> for Way {
    type ResponseBody = Body;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Encrypted(channel) => {
                let ready = GrpcService::poll_ready(channel, cx);
                ready.map_err(|why| Status::from_error(why.into()))
            }
        }
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        match self {
            Self::Plain(link) => Box::pin(link.clone().ask(request)),
            Self::Encrypted(channel) => {
                let answer = GrpcService::call(channel, request);
                Box::pin(async { answer.await.map_err(|why| Status::from_error(why.into())) })
            }
        }
    }
}
