//! One connection to a Redis, greeted and logged in.

use std::io;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::meter::Meter;
use super::settings::{Address, RedisSettings};

/// The answer to one request is its value and a few bytes around it.
const AROUND: usize = 1024;

/// A connection, and the task that drives it. Dropped, it is closed.
pub(super) struct Connection {
    pub(super) asks: MultiplexedConnection,
    pub(super) meter: Meter,
    pub(super) driver: Driver,
}

/// Ends with the connection, or ends it.
pub(super) struct Driver(pub(super) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects, logs in, and asks whether anybody is there. Answers are of at most `answer` bytes.
///
/// # Errors
/// What stood in the way; no secret.
pub(super) async fn connect(settings: &RedisSettings, answer: usize) -> RedisResult<Connection> {
    let meter = Meter::new(answer + AROUND);
    let stream = meter.around(stream(settings).await?);
    // The client bounds the time of every operation itself.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let login = &settings.login;
    let (mut asks, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
    let driver = Driver(tokio::spawn(driver));
    redis::cmd("PING").query_async::<()>(&mut asks).await?;
    Ok(Connection {
        asks,
        meter,
        driver,
    })
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn stream(settings: &RedisSettings) -> io::Result<Box<dyn Stream>> {
    let stream = match &settings.address {
        Address::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await?,
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
    };
    stream.set_nodelay(true)?;
    match &settings.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let stream = tls.connector.connect(tls.name.clone(), stream).await?;
            Ok(Box::new(stream))
        }
    }
}
