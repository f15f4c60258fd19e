//! What the router is told: flags over environment over file over defaults.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use routir_config::{AuthMode, HealthSays, KubernetesConfig, Ready, RouterConfig};
use routir_router::{HealthType, KubernetesOptions, ReadyRule, RouterOptions, Secret, WorkerTls};
use serde_json::Value;

use super::args::Serve;
use crate::failure::wrong;

/// A variable of the environment; an empty one is none.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the router is told by `args`, which hold those variables that have a flag, by the other
/// variables and by `config`.
///
/// # Errors
/// Of the input, naming the variable whose value means nothing.
pub(crate) fn options(
    args: &Serve,
    variable: Variable<'_>,
    config: RouterConfig,
) -> anyhow::Result<RouterOptions> {
    let workers = if args.workers.is_empty() {
        config.workers
    } else {
        trimmed(args.workers.iter().map(String::as_str))
    };
    let secret = |name: &str| variable(name).map(Secret::new);
    let (limits, timeouts, pools) = (config.limits, config.timeouts, config.pools);
    let (scaling, auth) = (config.scaling, config.auth);
    let tokens = variable("SIE_AUTH_TOKENS").or_else(|| variable("SIE_AUTH_TOKEN"));
    let tokens = match &tokens {
        Some(said) => trimmed(said.split(',')),
        None => auth
            .tokens
            .iter()
            .map(|it| it.reveal().to_owned())
            .collect(),
    };
    let configured_gpus = match variable("SIE_ROUTER_CONFIGURED_GPUS") {
        Some(said) => trimmed(said.split(',')),
        None => config.configured_gpus,
    };
    let spills = flag("SIE_ROUTER_AFFINITY_SPILL", variable)?;
    let spill = match (spills, config.selection.spill) {
        (Some(false), _) => None,
        (Some(true), None) => Some(0.8),
        (_, spill) => spill,
    };
    let threshold = parsed("SIE_ROUTER_AFFINITY_SPILL_THRESHOLD", variable)?;
    let fill_first = flag("SIE_ROUTER_FILL_FIRST", variable)?;
    let exempt = flag("SIE_AUTH_EXEMPT_OPERATIONAL", variable)?;
    let from_file = |it: routir_config::Secret| Secret::new(it.reveal());
    let defaults = RouterOptions::default();
    Ok(RouterOptions {
        workers,
        worker_api_key: secret("ROUTIR_WORKER_API_KEY")
            .or_else(|| config.worker_api_key.map(from_file)),
        worker_tls: WorkerTls {
            ca: config.worker_tls.ca.map(Into::into),
            certificate: config.worker_tls.certificate.map(Into::into),
            key: config.worker_tls.key.map(Into::into),
            server_name: config.worker_tls.server_name,
        },
        kubernetes: kubernetes(args, config.kubernetes),
        replica: variable("POD_NAME")
            .or_else(|| variable("HOSTNAME"))
            .unwrap_or_else(|| format!("router-{}", std::process::id())),
        configured_gpus: configured_gpus.into_iter().map(Arc::from).collect(),
        machine_profiles: machine_profiles(variable, config.machine_profiles)?,
        fill_first: fill_first.unwrap_or(config.selection.fill_first),
        spill: spill.map(|share| threshold.unwrap_or(share)),
        bundles_dir: variable("SIE_BUNDLES_DIR")
            .or(config.bundles_dir)
            .map(Into::into),
        models_dir: variable("SIE_MODELS_DIR")
            .or(config.models_dir)
            .map(Into::into),
        connect_timeout: seconds(timeouts.connect),
        header_timeout: seconds(timeouts.header),
        idle_timeout: seconds(timeouts.idle),
        request_timeout: seconds(timeouts.request),
        silence: seconds(timeouts.silence),
        io_timeout: seconds(timeouts.io),
        shutdown_grace: seconds(timeouts.shutdown_grace),
        replay_bytes: limits.replay_bytes,
        max_body_bytes: limits.max_body_bytes,
        max_header_bytes: limits.max_header_bytes,
        worker_requests: limits.worker_requests,
        max_in_flight: limits.max_in_flight,
        max_connections: limits.max_connections,
        max_sockets: limits.max_sockets,
        threads: limits.threads.unwrap_or(defaults.threads),
        busy_poll: limits
            .busy_poll_us
            .map_or(defaults.busy_poll, Duration::from_micros),
        lease: seconds(pools.lease),
        max_pools: pools.max,
        pools_need_admin: pools.need_admin,
        retry_after_cold: seconds(scaling.retry_after_cold),
        retry_after_warming: seconds(scaling.retry_after_warming),
        estimated_wait: seconds(scaling.estimated_wait),
        unknown_gpu_status: scaling.unknown_gpu_status,
        gateway_metrics: scaling.gateway_metrics,
        auth_mode: variable("SIE_AUTH_MODE")
            .or_else(|| auth.mode.map(|it| mode(it).to_owned()))
            .unwrap_or_default(),
        auth_tokens: tokens.into_iter().map(Secret::new).collect(),
        admin_token: secret("SIE_ADMIN_TOKEN").or_else(|| auth.admin_token.map(from_file)),
        auth_exempt_operational: exempt.unwrap_or(auth.exempt_operational),
        forward_authorization: auth.forward_authorization,
        ready_rule: match config.ready {
            Ready::Useful => ReadyRule::Useful,
            Ready::Workers => ReadyRule::Workers,
            Ready::Always => ReadyRule::Always,
        },
        health_type: config.health_type.map(|says| match says {
            HealthSays::Router => HealthType::Router,
            HealthSays::Gateway => HealthType::Gateway,
        }),
        legacy_errors: config.legacy_errors,
        ..defaults
    })
}

fn mode(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::None => "none",
        AuthMode::Static => "static",
        AuthMode::Token => "token",
    }
}

/// The cluster, if one is asked for; flags say more than the file.
fn kubernetes(args: &Serve, config: Option<KubernetesConfig>) -> Option<KubernetesOptions> {
    if !args.kubernetes.unwrap_or(config.is_some()) {
        return None;
    }
    let config = config.unwrap_or_default();
    let or = |said: &Option<String>, otherwise| said.clone().unwrap_or(otherwise);
    Some(KubernetesOptions {
        namespace: or(&args.k8s_namespace, config.namespace),
        service: or(&args.k8s_service, config.service),
        port: args.k8s_port.unwrap_or(config.port),
        https: config.https,
    })
}

fn machine_profiles(
    variable: Variable<'_>,
    config: BTreeMap<String, Value>,
) -> anyhow::Result<BTreeMap<Arc<str>, Value>> {
    const NAME: &str = "SIE_ROUTER_MACHINE_PROFILES";
    let profiles = match variable(NAME) {
        Some(said) => serde_json::from_str(&said).map_err(|error| {
            wrong(format!(
                "{NAME} is no JSON object of profiles by name: {error}"
            ))
        })?,
        None => config,
    };
    let profiles = profiles.into_iter();
    Ok(profiles.map(|(name, what)| (name.into(), what)).collect())
}

fn trimmed<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let all = all.map(str::trim).filter(|it| !it.is_empty());
    all.map(str::to_owned).collect()
}

fn flag(name: &str, variable: Variable<'_>) -> anyhow::Result<Option<bool>> {
    let said = variable(name).map(|said| said.to_ascii_lowercase());
    said.map(|said| match said.as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        other => Err(wrong(format!("{name} is `{other}`; say `true` or `false`"))),
    })
    .transpose()
}

fn parsed<T: FromStr<Err: Display>>(
    name: &str,
    variable: Variable<'_>,
) -> anyhow::Result<Option<T>> {
    let said = variable(name);
    said.map(|said| {
        let parsed = said.trim().parse();
        parsed.map_err(|error| wrong(format!("{name} is `{said}`: {error}")))
    })
    .transpose()
}

/// Checked by the file's schema to be neither negative nor beyond all bounds.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Command, Router};
    use super::*;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        router: Router,
    }

    fn serve(words: &[&str]) -> Serve {
        let words = ["router", "serve"].iter().chain(words);
        match Words::try_parse_from(words).unwrap().router.command {
            Command::Serve(serve) => *serve,
            other => panic!("{other:?}"),
        }
    }

    fn told(
        words: &[&str],
        variables: &[(&str, &str)],
        file: &str,
    ) -> anyhow::Result<RouterOptions> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let config = RouterConfig::load(file).unwrap();
        options(&serve(words), &variable, config)
    }

    #[test]
    fn sies_command_line_is_understood() {
        let args = serve(&[
            "-p",
            "1",
            "-h",
            "::1",
            "-w",
            "http://a:1",
            "-w",
            "http://b:2",
            "-k",
        ]);
        assert_eq!((args.port, args.host.as_str()), (1, "::1"));
        assert_eq!(args.workers, ["http://a:1", "http://b:2"]);
        assert_eq!(args.kubernetes, Some(true));
        assert_eq!(serve(&[]).port, 8081);
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = r#"{"workers": ["http://f:1"], "configured_gpus": ["l4"],
            "kubernetes": {"namespace": "n", "port": 9}, "selection": {"spill": null}}"#;
        let options = told(&["-w", "http://a:1", "--k8s-port", "7"], &[], file).unwrap();
        assert_eq!(options.workers, ["http://a:1"]);
        let kubernetes = options.kubernetes.unwrap();
        assert_eq!((kubernetes.namespace.as_str(), kubernetes.port), ("n", 7));
        assert_eq!(kubernetes.service, "sie-worker");
        assert_eq!(options.spill, None);
        let environment = [
            ("SIE_ROUTER_CONFIGURED_GPUS", " l4-spot, a100 ,"),
            ("SIE_ROUTER_AFFINITY_SPILL", "True"),
            ("SIE_ROUTER_AFFINITY_SPILL_THRESHOLD", "0.5"),
            ("SIE_AUTH_TOKENS", "one, two"),
        ];
        let options = told(&[], &environment, file).unwrap();
        assert_eq!(options.workers, ["http://f:1"]);
        let gpus: Vec<_> = options.configured_gpus.iter().map(AsRef::as_ref).collect();
        assert_eq!(gpus, ["l4-spot", "a100"]);
        assert_eq!(options.spill, Some(0.5));
        let tokens: Vec<_> = options.auth_tokens.iter().map(Secret::reveal).collect();
        assert_eq!(tokens, ["one", "two"]);
    }

    #[test]
    fn the_file_says_the_same_defaults_as_the_router() {
        let options = told(&[], &[], "{}").unwrap();
        let replica = options.replica.clone();
        let defaults = RouterOptions {
            replica,
            ..RouterOptions::default()
        };
        assert_eq!(format!("{options:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn a_mode_is_what_was_said_and_nothing_else() {
        let mode = |variables: &[(&str, &str)], file: &str| {
            let options = told(&[], variables, file);
            options.unwrap().auth_mode
        };
        let file = r#"{"auth": {"mode": "none"}}"#;
        let open = [("SIE_AUTH_MODE", "none"), ("SIE_AUTH_TOKENS", "one")];
        assert_eq!(mode(&[("SIE_AUTH_TOKENS", "one")], "{}"), "");
        assert_eq!(mode(&[("SIE_AUTH_TOKENS", "one")], file), "none");
        assert_eq!(mode(&open, "{}"), "none");
        assert_eq!(mode(&[("SIE_AUTH_MODE", "static")], file), "static");
    }

    #[test]
    fn variables_that_mean_nothing_are_refused_by_name() {
        for (name, value) in [
            ("SIE_ROUTER_FILL_FIRST", "perhaps"),
            ("SIE_ROUTER_AFFINITY_SPILL_THRESHOLD", "much"),
            ("SIE_ROUTER_MACHINE_PROFILES", "[1]"),
        ] {
            let error = told(&[], &[(name, value)], "{}").unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
