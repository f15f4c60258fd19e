//! A minimal HTTP/1.1 client that sends exactly what a test says.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_str(&self.body).unwrap()
    }

    /// The text of an error, which must come with `status`.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// What came back, where that is no text.
#[derive(Debug)]
pub(crate) struct Bytes {
    response: Response,
    pub(crate) bytes: Vec<u8>,
}

impl std::ops::Deref for Bytes {
    type Target = Response;

    fn deref(&self) -> &Response {
        &self.response
    }
}

/// An open connection.
pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request with a body (or without one, when it is empty).
    pub(crate) async fn request(&mut self, method_and_path: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "{method_and_path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.send([head.as_bytes(), body].concat()).await;
    }

    /// Reads one response whose body is no text.
    pub(crate) async fn read_bytes(&mut self) -> Bytes {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
        };
        let body = bytes.split_off(end);
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let response = Response {
            status,
            head,
            body: String::new(),
        };
        let length = response.header("content-length").unwrap().parse().unwrap();
        let mut bytes = body;
        while bytes.len() < length {
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
        }
        Bytes { response, bytes }
    }

    /// Reads one response; `None` when the server closes instead.
    pub(crate) async fn read(&mut self) -> Option<Response> {
        let mut response = self.read_head().await?;
        let length = response
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut bytes = std::mem::take(&mut response.body).into_bytes();
        while bytes.len() < length {
            let read = self.0.read_buf(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "cut off: {response:?}");
        }
        response.body = String::from_utf8(bytes).unwrap();
        Some(response)
    }

    /// Reads a response's head, and what of its body comes along.
    pub(crate) async fn read_head(&mut self) -> Option<Response> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.0.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = String::from_utf8(bytes[end..].to_vec()).unwrap();
        Some(Response { status, head, body })
    }
}
