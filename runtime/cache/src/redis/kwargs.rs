//! The arguments that RoutIR hands to redis-py: which are understood, and what they mean here.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::settings::RedisProblem;

/// Arguments that say something to this client.
const USED: [&str; 13] = [
    "client_name",
    "db",
    "key_prefix",
    "password",
    "socket_connect_timeout",
    "socket_timeout",
    "ssl",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "username",
];

/// Arguments of redis-py for what this client does anyway, its own way.
const NEEDLESS: [&str; 5] = [
    "health_check_interval",
    "max_connections",
    "protocol",
    "retry_on_timeout",
    "socket_keepalive",
];

/// How a server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CertReqs {
    /// It must be good.
    #[default]
    Required,
    /// It is not looked at.
    None,
}

/// What the arguments say.
#[derive(Clone, Debug, Default)]
pub(super) struct Kwargs {
    pub(super) client_name: Option<String>,
    pub(super) db: Option<i64>,
    pub(super) key_prefix: Option<String>,
    pub(super) password: Option<String>,
    pub(super) username: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) ssl: bool,
    pub(super) ca_certs: Option<PathBuf>,
    pub(super) certfile: Option<PathBuf>,
    pub(super) keyfile: Option<PathBuf>,
    pub(super) cert_reqs: CertReqs,
    pub(super) check_hostname: bool,
}

impl Kwargs {
    /// Reads `kwargs`; `resolve_path` says where relative paths lead.
    pub(super) fn read(
        kwargs: &Map<String, Value>,
        resolve_path: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Self, RedisProblem> {
        let mut read = Self {
            check_hostname: true,
            ..Self::default()
        };
        for (name, value) in kwargs {
            let argument = Argument { name, value };
            if value.is_null() || NEEDLESS.contains(&name.as_str()) {
                continue;
            }
            match name.as_str() {
                "client_name" => read.client_name = Some(argument.text()?),
                "db" => read.db = Some(argument.database()?),
                "key_prefix" => read.key_prefix = Some(argument.text()?),
                "password" => read.password = Some(argument.text()?),
                "username" => read.username = Some(argument.text()?),
                "socket_connect_timeout" => read.connect_timeout = Some(argument.seconds()?),
                "socket_timeout" => read.timeout = Some(argument.seconds()?),
                "ssl" => read.ssl = argument.flag()?,
                "ssl_ca_certs" => read.ca_certs = Some(resolve_path(&argument.text()?)),
                "ssl_certfile" => read.certfile = Some(resolve_path(&argument.text()?)),
                "ssl_keyfile" => read.keyfile = Some(resolve_path(&argument.text()?)),
                "ssl_cert_reqs" => read.cert_reqs = argument.cert_reqs()?,
                "ssl_check_hostname" => read.check_hostname = argument.flag()?,
                _ => return Err(unknown(name)),
            }
        }
        Ok(read)
    }
}

fn unknown(name: &str) -> RedisProblem {
    let known = USED.iter().chain(&NEEDLESS).copied();
    let hint = routir_core::nearest(name, known.clone())
        .map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    let known: Vec<_> = known.collect();
    RedisProblem::of(
        name,
        format!(
            "`{name}` is not understood{hint}; known are {}",
            known.join(", ")
        ),
    )
}

/// One argument, as JSON or as a parameter of a URL.
struct Argument<'a> {
    name: &'a str,
    value: &'a Value,
}

impl Argument<'_> {
    /// Never the value itself, which may be a secret.
    fn wrong(&self, wanted: &str) -> RedisProblem {
        RedisProblem::of(self.name, format!("`{}` is {wanted}", self.name))
    }

    fn text(&self) -> Result<String, RedisProblem> {
        let text = self.value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.wrong("a text"))
    }

    fn flag(&self) -> Result<bool, RedisProblem> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "0" | "false" | "no" | "off" => Ok(false),
                _ => Err(self.wrong("true or false")),
            },
            _ => Err(self.wrong("true or false")),
        }
    }

    fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn database(&self) -> Result<i64, RedisProblem> {
        let number = match self.value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (0..=i64::from(i32::MAX)).contains(number));
        number.ok_or_else(|| self.wrong("the number of a database, from 0"))
    }

    fn seconds(&self) -> Result<Duration, RedisProblem> {
        let seconds = self.number().filter(|&it| it > 0.0 && it <= 86_400.0);
        seconds
            .map(Duration::from_secs_f64)
            .ok_or_else(|| self.wrong("a time in seconds, more than 0"))
    }

    fn cert_reqs(&self) -> Result<CertReqs, RedisProblem> {
        match self.value.as_str() {
            Some("required") => Ok(CertReqs::Required),
            Some("none") => Ok(CertReqs::None),
            _ => Err(self.wrong("`required` or `none`")),
        }
    }
}
