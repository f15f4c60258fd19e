//! The router's file: all that its flags and environment do not say. Every key is optional, and so
//! is the file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Secret;
use crate::load::{Origin, invalid, read, syntax};
use crate::problem::ConfigError;
use crate::schema::unwrap_lines;
use crate::tree::{Node, Path};
use crate::validate::{Fault, validate};

/// What the router is told in a file. Durations are in seconds, sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// Base URLs of workers, such as `http://worker-1:5000`, or `https://` for those with TLS.
    pub workers: Vec<String>,
    /// TLS to workers at `https://`.
    pub worker_tls: WorkerTlsConfig,
    /// The key that workers ask for.
    pub worker_api_key: Option<Secret>,
    /// Find workers in a Kubernetes cluster, and keep pools there.
    pub kubernetes: Option<KubernetesConfig>,
    /// Kinds of machines that can be asked for; empty allows any.
    pub configured_gpus: Vec<String>,
    /// Kinds of machines that pools can be made of, by name; empty allows any.
    pub machine_profiles: BTreeMap<String, Value>,
    /// A folder of bundles, a YAML file each.
    pub bundles_dir: Option<String>,
    /// A folder of models, a YAML file each; without it, models are what workers say.
    pub models_dir: Option<String>,
    /// How workers are chosen.
    pub selection: SelectionConfig,
    /// How long things may take.
    pub timeouts: RouterTimeouts,
    /// How much is taken.
    pub limits: RouterLimits,
    /// Reservations.
    pub pools: PoolsConfig,
    /// Who is let in.
    pub auth: RouterAuth,
    /// What is answered while machines are started.
    pub scaling: ScalingConfig,
    /// When `/readyz` says that the router is ready.
    pub ready: Ready,
    /// What `/health` says that the router is; by the version of the client that asks when `null`.
    pub health_type: Option<HealthSays>,
    /// Whether errors have SIE's short names as text under `error`, as SIE's router has them. Its
    /// clients then show that name and neither code nor message.
    pub legacy_errors: bool,
}

/// TLS to workers at `https://`. Files are PEM, and are read at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerTlsConfig {
    /// A file of the certificates of authorities that are believed; without it, those that the system
    /// believes.
    pub ca: Option<String>,
    /// A file of the certificate that is shown to workers who ask for one.
    pub certificate: Option<String>,
    /// A file of its key; without it, the key is in the file of the certificate.
    pub key: Option<String>,
    /// The name on the workers' certificates where it is not that of their URLs, as with workers that
    /// a cluster tells by their addresses.
    pub server_name: Option<String>,
}

/// Workers in a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The namespace of the workers' service, and of pools.
    pub namespace: String,
    /// The workers' headless service.
    pub service: String,
    /// The port that workers listen on.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Whether they speak TLS there.
    pub https: bool,
}

/// How workers are chosen among those that may and can serve a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// Prefer the fullest worker below 80 % of its capacity to the least busy one, so that idle
    /// machines can be given back.
    pub fill_first: bool,
    /// Let a model spread to a worker that has not loaded it when all that have are this full, as a
    /// share of their capacity; `null` never does.
    #[schemars(range(min = 0, max = 1))]
    pub spill: Option<f64>,
}

/// How long things may take, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterTimeouts {
    /// Opening a connection to a worker.
    #[schemars(range(min = 0.01, max = 600))]
    pub connect: f64,
    /// From the request to the beginning of a worker's answer.
    #[schemars(range(min = 0.01, max = 86400))]
    pub header: f64,
    /// How long a body may stand still, in either direction.
    #[schemars(range(min = 0.01, max = 86400))]
    pub idle: f64,
    /// A request as a whole.
    #[schemars(range(min = 0.01, max = 86400))]
    pub request: f64,
    /// How long a worker may be silent until it is passed over.
    #[schemars(range(min = 0.5, max = 3600))]
    pub silence: f64,
    /// How long a client may take to send a head and to take in any of an answer.
    #[schemars(range(min = 0.1, max = 86400))]
    pub io: f64,
    /// How long requests in flight may go on once the router is told to stop.
    #[schemars(range(min = 0, max = 86400))]
    pub shutdown_grace: f64,
}

/// How much is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterLimits {
    /// The largest request body, in bytes.
    #[schemars(range(min = 1))]
    pub max_body_bytes: usize,
    /// How much of a request's body is kept to send it to another worker, in bytes.
    pub replay_bytes: usize,
    /// The largest request head, in bytes.
    #[schemars(range(min = 8192))]
    pub max_header_bytes: usize,
    /// How many requests one worker is sent at once; as many again wait, the rest are refused.
    #[schemars(range(min = 1))]
    pub worker_requests: usize,
    /// How many requests may be with workers at once.
    #[schemars(range(min = 1))]
    pub max_in_flight: usize,
    /// How many connections may be open at once; more wait to be accepted.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How many web sockets are fed with the cluster's state at once.
    #[schemars(range(min = 1))]
    pub max_sockets: usize,
    /// How many threads connections are dealt to; as many as the process may use cores unless said.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// For how many microseconds such a thread looks for bytes before it sleeps, while they mostly come
    /// by then: a request or an answer that comes meanwhile waits for no processor to wake. Time that
    /// nothing else on the machine wants is spent on that, and none while nothing comes. 50 unless said,
    /// and 0 where the process may not use its cores in full.
    #[schemars(range(min = 0, max = 10000))]
    pub busy_poll_us: Option<u64>,
}

/// Reservations of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolsConfig {
    /// How long a pool lives that nobody renews, in seconds.
    #[schemars(range(min = 1, max = 2592000))]
    pub lease: f64,
    /// The most pools.
    #[schemars(range(min = 1, max = 100000))]
    pub max: usize,
    /// Whether pools are made, renewed and taken down with the admin token alone.
    pub need_admin: bool,
}

/// Who is let in. Tokens are better given in the environment: `SIE_AUTH_TOKENS`, `SIE_ADMIN_TOKEN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouterAuth {
    /// Everybody, or who bears a token. It must be said where there are tokens.
    pub mode: Option<AuthMode>,
    /// The tokens.
    pub tokens: Vec<Secret>,
    /// A token that opens everything.
    pub admin_token: Option<Secret>,
    /// Whether status page, `/health`, metrics and the cluster's feed are open to all.
    pub exempt_operational: bool,
    /// Whether workers see the token that the client sent.
    pub forward_authorization: bool,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Everybody.
    None,
    /// Who bears one of the tokens.
    Static,
    /// The same, as SIE's gateway calls it.
    Token,
}

/// What is answered while machines are started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingConfig {
    /// `Retry-After` while no machine of the kind is known, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub retry_after_cold: f64,
    /// `Retry-After` while one is known but not ready, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub retry_after_warming: f64,
    /// What is told as the time that starting a machine takes, in seconds.
    #[schemars(range(min = 0, max = 86400))]
    pub estimated_wait: f64,
    /// The status for a kind of machine that is not configured: 503, which SIE's clients retry for a
    /// quarter of an hour, or a 4xx, which they do not.
    #[schemars(range(min = 400, max = 599))]
    pub unknown_gpu_status: u16,
    /// Whether metrics of demand have the names of SIE's gateway too.
    pub gateway_metrics: bool,
}

/// When the router is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// When a worker is, or when it is known which machines can be started.
    #[default]
    Useful,
    /// When a worker is.
    Workers,
    /// Always.
    Always,
}

/// What `/health` says that the router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthSays {
    /// What SIE's clients up to 0.2 ask for.
    Router,
    /// What SIE's clients from 0.3 on ask for.
    Gateway,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            service: "sie-worker".to_owned(),
            port: 8080,
            https: false,
        }
    }
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            fill_first: false,
            spill: Some(0.8),
        }
    }
}

impl Default for RouterTimeouts {
    fn default() -> Self {
        Self {
            connect: 2.0,
            header: 300.0,
            idle: 60.0,
            request: 600.0,
            silence: 3.0,
            io: 30.0,
            shutdown_grace: 30.0,
        }
    }
}

impl Default for RouterLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 << 20,
            replay_bytes: 1 << 20,
            max_header_bytes: 64 << 10,
            worker_requests: 1024,
            max_in_flight: 16_384,
            max_connections: 16_384,
            max_sockets: 1024,
            threads: None,
            busy_poll_us: None,
        }
    }
}

impl Default for PoolsConfig {
    fn default() -> Self {
        Self {
            lease: 1200.0,
            max: 256,
            need_admin: false,
        }
    }
}

impl Default for ScalingConfig {
    fn default() -> Self {
        Self {
            retry_after_cold: 120.0,
            retry_after_warming: 5.0,
            estimated_wait: 180.0,
            unknown_gpu_status: 503,
            gateway_metrics: false,
        }
    }
}

/// The JSON schema (draft 2020-12) of the router's file.
#[must_use]
pub fn router_schema() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(unwrap_lines))
        .into_generator();
    generator.into_root_schema_for::<RouterConfig>().to_value()
}

impl RouterConfig {
    /// Loads `path_or_json` as [`Config::load`](crate::Config::load) does; paths in a file are
    /// relative to it.
    ///
    /// # Errors
    /// When the file cannot be read; when the text is not JSON; else with everything that is wrong
    /// with it.
    pub fn load(path_or_json: &str) -> Result<Self, ConfigError> {
        let (text, origin) = read(path_or_json)?;
        let tree = Node::parse(&text).map_err(|error| invalid(&origin, vec![syntax(&error)]))?;
        let (value, mut faults) = validate(&router_schema(), &text, &tree);
        match serde_json::from_value::<Self>(value) {
            Ok(mut config) if faults.is_empty() => {
                config.resolve(&origin);
                return Ok(config);
            }
            Ok(_) => {}
            Err(error) => faults.push(Fault::new(Path::default(), &tree, error.to_string())),
        }
        faults.sort_by_key(|fault| fault.offset);
        let problems = faults.into_iter().map(|fault| fault.locate(&text));
        Err(invalid(&origin, problems.collect()))
    }

    fn resolve(&mut self, origin: &Origin) {
        let tls = &mut self.worker_tls;
        let paths = [
            &mut self.bundles_dir,
            &mut self.models_dir,
            &mut tls.ca,
            &mut tls.certificate,
            &mut tls.key,
        ];
        for path in paths.into_iter().flatten() {
            *path = origin.resolve_path(path).to_string_lossy().into_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(json: &str) -> String {
        RouterConfig::load(json).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(RouterConfig::load("{}").unwrap(), RouterConfig::default());
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let told =
            wrong(r#"{"worker": [], "timeouts": {"conect": 1, "idle": 0}, "ready": "maybe"}"#);
        for part in [
            "did you mean `workers`",
            "did you mean `connect`",
            "timeouts.idle",
            "ready",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn tokens_are_not_printed() {
        let config = RouterConfig::load(r#"{"auth": {"mode": "static", "tokens": ["s3cret"]}}"#);
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
