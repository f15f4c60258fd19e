//! Which Redis, as whom, and how long it may take: from a URL and RoutIR's arguments.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use serde_json::{Map, Value};

use super::kwargs::Kwargs;
use super::tls::Tls;

/// How long an operation may take unless told otherwise.
const OPERATION: Duration = Duration::from_millis(100);
/// How long an operation may take whatever is told: a cache that is slower is no cache.
const LONGEST_OPERATION: Duration = Duration::from_secs(1);
/// How long connecting may take, greeting and login included, unless told otherwise.
const CONNECT: Duration = Duration::from_secs(2);
/// How long connecting may take whatever is told. Nobody waits for it.
const LONGEST_CONNECT: Duration = Duration::from_secs(30);
/// What keys begin with unless told otherwise.
const PREFIX: &str = "routir-rt:";
/// How long the beginning of keys may be, in bytes.
const LONGEST_PREFIX: usize = 256;

/// Which Redis, as whom, and how long it may take.
#[derive(Clone)]
pub struct RedisSettings {
    pub(super) address: Address,
    pub(super) login: RedisConnectionInfo,
    pub(super) tls: Option<Tls>,
    pub(super) prefix: String,
    pub(super) operation: Duration,
    pub(super) connect: Duration,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// What is wrong with the settings of a Redis; never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisProblem {
    /// The argument; `None` is the URL.
    pub kwarg: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl RedisProblem {
    pub(super) fn of(kwarg: &str, message: impl Into<String>) -> Self {
        Self {
            kwarg: Some(kwarg.to_owned()),
            message: message.into(),
        }
    }

    fn url(message: impl Into<String>) -> Self {
        Self {
            kwarg: None,
            message: message.into(),
        }
    }
}

impl RedisSettings {
    /// The Redis at `url`: `redis://[[user]:password@]host[:port][/db]`, `rediss://` with TLS, or
    /// `unix://path`. `kwargs` are RoutIR's arguments for redis-py, which parameters of the URL may
    /// also be; where both say something, the URL counts, as there. `resolve_path` says where
    /// relative paths of certificates lead. Reads certificates and connects to nothing.
    ///
    /// # Errors
    /// What is wrong, by argument.
    pub fn new(
        url: &str,
        kwargs: &Map<String, Value>,
        resolve_path: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Self, RedisProblem> {
        const FORM: &str = "it is `redis://host:port/db`, `rediss://…` for TLS, or `unix://path`";
        let parsed = redis::parse_redis_url(url)
            .ok_or_else(|| RedisProblem::url(format!("this is no URL of a Redis; {FORM}")))?;
        let encrypted = matches!(parsed.scheme(), "rediss" | "valkeys");
        if parsed.fragment().is_some() {
            let message = "a `#` has no meaning here; `ssl_cert_reqs` says how a certificate is \
                           checked, and a `#` in a password is written `%23`";
            return Err(RedisProblem::url(message));
        }
        // The library refuses the scheme unless it does TLS itself.
        let plain = match url.split_once(':') {
            Some((_, rest)) if encrypted => format!("redis:{rest}"),
            _ => url.to_owned(),
        };
        let info = plain
            .as_str()
            .into_connection_info()
            .map_err(|why| RedisProblem::url(format!("{}; {FORM}", detail(&why))))?;
        let mut arguments = kwargs.clone();
        let unix = matches!(info.addr(), ConnectionAddr::Unix(_));
        for (name, value) in parsed.query_pairs() {
            // The library has read these.
            if !(unix && ["db", "user", "pass"].contains(&&*name)) {
                arguments.insert(name.into_owned(), Value::from(value.into_owned()));
            }
        }
        let kwargs = Kwargs::read(&arguments, resolve_path)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err(RedisProblem::url(FORM)),
        };
        let tls = match &address {
            Address::Tcp(host, _) if encrypted || kwargs.ssl => Some(Tls::new(host, &kwargs)?),
            _ => None,
        };
        let prefix = kwargs.key_prefix.clone();
        let prefix = prefix.unwrap_or_else(|| PREFIX.to_owned());
        if prefix.len() > LONGEST_PREFIX {
            let message = format!("`key_prefix` is longer than {LONGEST_PREFIX} bytes");
            return Err(RedisProblem::of("key_prefix", message));
        }
        let operation = kwargs.timeout.unwrap_or(OPERATION).min(LONGEST_OPERATION);
        let connect = kwargs.connect_timeout.unwrap_or(CONNECT);
        Ok(Self {
            address,
            login: login(info.redis_settings(), &kwargs),
            tls,
            prefix,
            operation,
            connect: connect.min(LONGEST_CONNECT),
        })
    }
}

/// Who asks: what the URL says counts.
fn login(url: &RedisConnectionInfo, kwargs: &Kwargs) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_db(match url.db() {
            0 => kwargs.db.unwrap_or(0),
            db => db,
        });
    login = match &kwargs.client_name {
        Some(name) => login.set_lib_name(name, env!("CARGO_PKG_VERSION")),
        None => login.set_lib_name("routir-rt", env!("CARGO_PKG_VERSION")),
    };
    if let Some(password) = url.password().or(kwargs.password.as_deref()) {
        login = login.set_password(password);
    }
    if let Some(username) = url.username().or(kwargs.username.as_deref()) {
        login = login.set_username(username);
    }
    login
}

/// What the library says of a URL, without the URL.
fn detail(why: &redis::RedisError) -> String {
    why.detail()
        .map_or_else(|| why.category().to_owned(), str::to_owned)
}

impl fmt::Display for RedisSettings {
    /// Where it is, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(host, port) => write!(f, "{host}:{port}")?,
            Address::Unix(path) => write!(f, "{}", path.display())?,
        }
        write!(f, "/{}", self.login.db())
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisSettings({self})")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(url: &str, kwargs: Value) -> Result<RedisSettings, RedisProblem> {
        let Value::Object(kwargs) = kwargs else {
            panic!("arguments are an object");
        };
        RedisSettings::new(url, &kwargs, &|path| PathBuf::from(path))
    }

    #[test]
    fn routirs_arguments_are_understood() {
        let kwargs = json!({"password": "pw", "username": "me", "db": 3, "socket_timeout": 0.05,
            "max_connections": 20, "key_prefix": "mine:"});
        let found = settings("redis://cache:7000", kwargs).unwrap();
        assert_eq!(found.to_string(), "cache:7000/3");
        assert_eq!(found.login.password(), Some("pw"));
        assert_eq!(found.login.username(), Some("me"));
        assert_eq!(found.operation, Duration::from_millis(50));
        assert_eq!(found.prefix, "mine:");
        assert!(found.tls.is_none());
    }

    #[test]
    fn what_the_url_says_counts() {
        let kwargs = json!({"password": "other", "db": 3});
        let found = settings("redis://:p%40ss@cache/5?socket_timeout=60", kwargs).unwrap();
        assert_eq!(found.to_string(), "cache:6379/5");
        assert_eq!(found.login.password(), Some("p@ss"));
        assert_eq!(found.operation, LONGEST_OPERATION);
        let socket = settings("unix:///run/redis.sock?db=2", json!({})).unwrap();
        assert_eq!(socket.to_string(), "/run/redis.sock/2");
    }

    #[test]
    fn what_is_not_understood_is_named_and_secrets_are_not() {
        let wrong = settings("redis://c", json!({"pasword": "hunter2"})).unwrap_err();
        assert_eq!(wrong.kwarg.as_deref(), Some("pasword"));
        assert!(
            wrong.message.contains("did you mean `password`?"),
            "{wrong:?}"
        );
        assert!(wrong.message.contains("ssl_ca_certs"), "{wrong:?}");
        let wrong = settings("redis://c", json!({"password": 17_171_717})).unwrap_err();
        assert!(!wrong.message.contains("1717"), "{wrong:?}");
        for url in [
            "http://c",
            "cache:6379",
            "redis://c/x",
            "redis://u:hunter2@",
            "redis://c#x",
        ] {
            let wrong = settings(url, json!({})).unwrap_err();
            assert!(
                wrong.kwarg.is_none() && !wrong.message.contains("hunter2"),
                "{wrong:?}"
            );
        }
        let found = settings("redis://u:hunter2@c", json!({})).unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn tls_is_by_scheme_or_argument() {
        assert!(settings("rediss://c:1", json!({})).unwrap().tls.is_some());
        assert!(
            settings("redis://c:1", json!({"ssl": true}))
                .unwrap()
                .tls
                .is_some()
        );
        let wrong = settings("rediss://c", json!({"ssl_ca_certs": "/nowhere.pem"})).unwrap_err();
        assert_eq!(wrong.kwarg.as_deref(), Some("ssl_ca_certs"));
        let wrong = settings("rediss://c", json!({"ssl_cert_reqs": "maybe"})).unwrap_err();
        assert_eq!(wrong.kwarg.as_deref(), Some("ssl_cert_reqs"));
    }
}
