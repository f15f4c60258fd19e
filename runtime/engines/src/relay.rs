//! `Relay`: a service of another RoutIR server under a name of this one.
//!
//! RoutIR's keys, and `roles`: what the remote service is asked for, `search` and `score` by
//! default; `fuse` and `decompose_query` where the other server is one of this project. Nothing is
//! asked when the engine is built: the other server need not be there yet. `view_kind` says whether
//! the service scores `text`, the default, or `bytes`, which needs gRPC.

use std::sync::Arc;
use std::time::Duration;

use routir_core::{Error, Result, Role, Roles, ViewKind};
use routir_remote::relay::{PeerSettings, RelayService, Transport};

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;

const TRANSPORTS: [(&str, Transport); 3] = [
    ("auto", Transport::Auto),
    ("grpc", Transport::Grpc),
    ("rest", Transport::Rest),
];
/// What a scorer may read.
const KINDS: [(&str, ViewKind); 2] = [("text", ViewKind::Text), ("bytes", ViewKind::Bytes)];
/// RoutIR's defaults for relays.
const TIMEOUT_S: f64 = 600.0;
const RETRIES: f64 = 10.0;
/// A day: longer than anybody waits.
const LONGEST_S: f64 = 86_400.0;

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let service = options.text("service");
    let service = options.require("service", service);
    let peer = PeerKeys::read(&mut options);
    let reads = options.choice("view_kind", &KINDS);
    let extras = options.object("other_request_kwargs");
    let names = options.texts("roles");
    let mut roles = vec![Role::Search, Role::Score];
    if let Some(names) = names {
        roles.clear();
        for name in names {
            match Role::ALL.into_iter().find(|role| role.name() == name) {
                Some(role) => roles.push(role),
                None => options.problem(format!(
                    "`roles` must hold `search`, `score`, `fuse` or `decompose_query`, not `{name}`"
                )),
            }
        }
    }
    options.finish()?;
    let needs_rest = roles
        .iter()
        .any(|role| matches!(role, Role::Fuse | Role::DecomposeQuery));
    if needs_rest && !peer.has_rest() {
        return Err(Error::invalid(
            "`roles` with `fuse` or `decompose_query` need a REST address in `endpoint`",
        ));
    }
    let peer = env.peers.get(&peer.settings())?;
    let service = RelayService::new(peer, service.unwrap_or_default())
        .sending(extras.cloned().unwrap_or_default())?
        .reading(reads.unwrap_or(ViewKind::Text));
    Ok(Arc::new(service).roles(&roles))
}

/// What a configuration says of another server.
pub(crate) struct PeerKeys<'a> {
    endpoint: Option<&'a str>,
    grpc_endpoint: Option<&'a str>,
    api_key: Option<&'a str>,
    transport: Option<Transport>,
    tls: Option<bool>,
    timeout: f64,
    retries: f64,
}

impl<'a> PeerKeys<'a> {
    /// Reads them, and notes what is wrong with them.
    pub(crate) fn read(options: &mut Options<'a>) -> Self {
        let keys = Self {
            endpoint: options.text("endpoint"),
            grpc_endpoint: options.text("grpc_endpoint"),
            api_key: options.text("api_key"),
            transport: options.choice("transport", &TRANSPORTS),
            tls: options.flag("tls"),
            timeout: options.number("timeout").unwrap_or(TIMEOUT_S),
            retries: options.number("retries").unwrap_or(RETRIES),
        };
        let Self {
            timeout, retries, ..
        } = keys;
        if keys.endpoint.is_none() && keys.grpc_endpoint.is_none() {
            options.problem(
                "`endpoint` is missing: name the other server; another name for a service of this \
                 one is an entry of `pipeline_aliases`",
            );
        }
        if !(timeout > 0.0 && timeout <= LONGEST_S) {
            options.problem(format!(
                "`timeout` must be more than 0 and at most {LONGEST_S} seconds, not {timeout}"
            ));
        }
        if !(0.0..=1000.0).contains(&retries) || retries.fract() != 0.0 {
            options.problem(format!(
                "`retries` must be a whole number from 0 to 1000, not {retries}"
            ));
        }
        keys
    }

    /// Whether there is a REST address.
    fn has_rest(&self) -> bool {
        self.endpoint
            .is_some_and(|endpoint| !endpoint.starts_with("grpc"))
    }

    /// For the client; after the problems were told.
    pub(crate) fn settings(&self) -> PeerSettings {
        PeerSettings {
            endpoint: self.endpoint.map(str::to_owned),
            grpc_endpoint: self.grpc_endpoint.map(str::to_owned),
            api_key: self.api_key.map(str::to_owned),
            transport: self.transport.unwrap_or_default(),
            timeout: Duration::from_secs_f64(self.timeout),
            retries: self.retries as u32,
            tls: self.tls,
            ..PeerSettings::default()
        }
    }
}
