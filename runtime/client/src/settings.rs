//! What a client is told about the server and about its own bounds.

use std::fmt;
use std::time::{Duration, Instant};

/// How to speak to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// By gRPC where it answers, else by REST.
    #[default]
    Auto,
    /// By gRPC alone.
    Grpc,
    /// By REST alone.
    Rest,
}

/// Where a server is and how much patience it deserves. The defaults are RoutIR's.
#[derive(Clone)]
pub struct Settings {
    /// Its address: `http(s)://…` for REST, `grpc(s)://…` for gRPC; without a scheme, REST.
    pub endpoint: Option<String>,
    /// Its gRPC address, `host:port`, if it has one besides.
    pub grpc_endpoint: Option<String>,
    /// The key that requests bear.
    pub api_key: Option<String>,
    /// What is spoken.
    pub transport: Transport,
    /// The longest that one attempt at a call may take.
    pub timeout: Duration,
    /// How often a call is tried again after failures that may pass.
    pub retries: u32,
    /// Whether gRPC is encrypted; `None` goes by the address (`grpcs://`).
    pub tls: Option<bool>,
    /// The largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            grpc_endpoint: None,
            api_key: None,
            transport: Transport::Auto,
            timeout: Duration::from_secs(600),
            retries: 3,
            tls: None,
            max_answer_bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// For the server at `endpoint`, with every default.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Some(endpoint.into()),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Settings {
    /// All but the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("grpc_endpoint", &self.grpc_endpoint)
            .field("api_key", &self.api_key.as_ref().map(|_| "set"))
            .field("transport", &self.transport)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("tls", &self.tls)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish()
    }
}

/// What holds for one call. The default is an id of the server's making and the client's patience.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallOptions<'a> {
    /// Names the request in the server's log: 1 to 128 visible ASCII characters, else left out.
    pub request_id: Option<&'a str>,
    /// The servers that hand this request on, outermost first, separated by commas: how servers of
    /// this project notice that a request goes in a circle.
    pub via: Option<&'a str>,
    /// When the answer is worth nothing any more. The server is told how much time is left.
    pub deadline: Option<Instant>,
    /// How often to try again, instead of what the client's settings say.
    pub retries: Option<u32>,
}
