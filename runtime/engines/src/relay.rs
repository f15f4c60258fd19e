//! `Relay`: a service of another RoutIR server under a name of this one.
//!
//! RoutIR's keys, and `roles`: what the remote service is asked for, `search` and `score` by
//! default; `fuse` and `decompose_query` where the other server is one of this project. Nothing is
//! asked when the engine is built: the other server need not be there yet.

use std::sync::Arc;
use std::time::Duration;

use routir_core::{Error, Result, Role, Roles};
use routir_remote::relay::{PeerSettings, RelayService, Transport};

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;

const TRANSPORTS: [(&str, Transport); 3] = [
    ("auto", Transport::Auto),
    ("grpc", Transport::Grpc),
    ("rest", Transport::Rest),
];
/// RoutIR's defaults for relays.
const TIMEOUT_S: f64 = 600.0;
const RETRIES: f64 = 10.0;
/// A day: longer than anybody waits.
const LONGEST_S: f64 = 86_400.0;

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let service = options.text("service");
    let service = options.require("service", service);
    let endpoint = options.text("endpoint");
    let grpc_endpoint = options.text("grpc_endpoint");
    if endpoint.is_none() && grpc_endpoint.is_none() {
        options.problem(
            "`endpoint` is missing: name the other server; another name for a service of this one \
             is an entry of `pipeline_aliases`",
        );
    }
    let api_key = options.text("api_key");
    let transport = options.choice("transport", &TRANSPORTS);
    let tls = options.flag("tls");
    let timeout = options.number("timeout").unwrap_or(TIMEOUT_S);
    if !(timeout > 0.0 && timeout <= LONGEST_S) {
        options.problem(format!(
            "`timeout` must be more than 0 and at most {LONGEST_S} seconds, not {timeout}"
        ));
    }
    let retries = options.number("retries").unwrap_or(RETRIES);
    if !(0.0..=1000.0).contains(&retries) || retries.fract() != 0.0 {
        options.problem(format!(
            "`retries` must be a whole number from 0 to 1000, not {retries}"
        ));
    }
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
    if needs_rest && endpoint.is_none_or(|endpoint| endpoint.starts_with("grpc")) {
        return Err(Error::invalid(
            "`roles` with `fuse` or `decompose_query` need a REST address in `endpoint`",
        ));
    }
    let settings = PeerSettings {
        endpoint: endpoint.map(str::to_owned),
        grpc_endpoint: grpc_endpoint.map(str::to_owned),
        api_key: api_key.map(str::to_owned),
        transport: transport.unwrap_or_default(),
        timeout: Duration::from_secs_f64(timeout),
        retries: retries as u32,
        tls,
        ..PeerSettings::default()
    };
    let peer = env.peers.get(&settings)?;
    let service = RelayService::new(
        peer,
        service.unwrap_or_default(),
        extras.cloned().unwrap_or_default(),
    )?;
    Ok(Arc::new(service).roles(&roles))
}
