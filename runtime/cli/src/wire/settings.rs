//! From the configuration's values to the settings of the other rooms.

use std::sync::Arc;

use routir_batch::{BatchSettings, Policy};
use routir_cache::Backing;
use routir_compute::{Compute, ComputeSettings};
use routir_config::{Config, Loaded, RtConfig, ServiceConfig, WorkerRt};
use routir_core::{Metrics, Roles, Tenant};
use routir_engines::{ModelSettings, SharedModels};
use routir_exec::{CacheSpec, KeyFields, RuntimeSettings, ServiceSpec};
use routir_extensions::OperatorService;
use routir_server::{ServerOptions, WorkerOptions};

use super::gpu;
use super::kept::Kept;

/// The service that `config` describes, played by `roles`, its answers kept in `backing`.
pub(crate) fn service(
    config: &ServiceConfig,
    mut roles: Roles,
    threads: usize,
    backing: Option<Backing>,
) -> ServiceSpec {
    if config.scoring_disabled {
        roles.score = None;
    }
    let name: Arc<str> = config.name.as_str().into();
    let waits = !roles.needs.is_empty();
    // RoutIR's default names the fields that all searches have.
    let mut fields = config.cache_key_fields.clone();
    fields.sort();
    let key_fields = match fields.as_slice() {
        [limit, query] if limit == "limit" && query == "query" => KeyFields::Default,
        _ => KeyFields::Only(fields),
    };
    let cache = backing.map(|backing| CacheSpec {
        backing,
        key_fields,
        scores: config.rt.cache_scores,
    });
    ServiceSpec {
        engine: config.engine.as_str().into(),
        roles,
        batch: BatchSettings {
            name: Arc::clone(&name),
            policy: Policy {
                max_requests: config.batch_size,
                max_tokens: config.rt.max_batch_tokens,
                max_wait: config.max_wait(),
            },
            capacity: config.rt.queue_capacity,
            concurrency: config.rt.concurrency.unwrap_or(1),
        },
        at_once: config.rt.concurrency.unwrap_or(threads),
        inside: config.rt.concurrency.unwrap_or(config.rt.queue_capacity),
        identity: waits.then(|| Tenant::identity(None, &name)),
        name,
        cache,
        public: false,
    }
}

/// An extension, as its entry in the configuration queues and caches it.
pub(super) fn extension(
    config: Option<&ServiceConfig>,
    it: OperatorService,
    kept: &Kept,
) -> ServiceSpec {
    let Some(config) = config else {
        return it.into_spec();
    };
    let identity = Some(Arc::clone(&it.identity));
    let at_once = ServiceSpec::extension(None, &it.name, Roles::default()).at_once;
    ServiceSpec {
        identity,
        ..service(config, it.roles, at_once, kept.service(config))
    }
}

/// A merger that is always there, under its engine's name.
pub(crate) fn merger(name: &str, roles: Roles) -> ServiceSpec {
    let config = ServiceConfig::new(name, name, serde_json::Map::new());
    ServiceSpec {
        public: true,
        ..service(&config, roles, 1, None)
    }
}

/// What opens models and queues before them.
pub(crate) fn models(loaded: &Loaded, metrics: Metrics) -> SharedModels {
    let config = &loaded.config.rt.models;
    let threads = config.threads();
    let library = config.onnxruntime.as_deref();
    let compute = Compute::new(ComputeSettings {
        onnxruntime: library.map(|path| loaded.resolve_path(path)),
        threads: Some(threads),
        max_batch_tokens: config.max_batch_tokens,
        hub: crate::hub::hub(),
    });
    let settings = ModelSettings {
        capacity: config.queue_capacity,
        threads,
        max_wait: config.max_wait(),
    };
    SharedModels::new(compute, settings, metrics)
}

/// What holds for every request.
pub(super) fn runtime(config: &Config, kept: &Kept) -> RuntimeSettings {
    RuntimeSettings {
        max_limit: config.rt.max_limit,
        max_calls: config.rt.max_calls,
        max_sub_queries: config.rt.max_sub_queries,
        max_depth: config.rt.extensions.max_depth,
        dynamic_pipeline: config.dynamic_pipeline,
        max_held_bytes: config
            .bytes_content_cache_max_bytes
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        pipeline_cache: kept.pipeline(config),
    }
}

/// How the server listens.
pub(crate) fn server(rt: &RtConfig, api_key: Option<String>, cors: bool) -> ServerOptions {
    ServerOptions {
        api_key,
        cors,
        max_body_bytes: rt.max_body_bytes,
        max_header_bytes: rt.max_header_bytes,
        request_timeout: rt.request_timeout(),
        io_timeout: rt.io_timeout(),
        max_connections: rt.max_connections,
        max_in_flight: rt.max_in_flight,
        max_limit: rt.max_limit,
        max_query_chars: rt.max_query_chars,
        max_passages: rt.max_passages,
        shutdown_grace: rt.shutdown_grace(),
        drain: rt.drain(),
        worker: worker(&rt.worker, |name| std::env::var(name).ok()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ServerOptions::default()
    }
}

/// What routers are told of the server: as configured, else as the environment says.
fn worker(config: &WorkerRt, variable: impl Fn(&str) -> Option<String>) -> WorkerOptions {
    let gpus = gpu::gpus();
    let said = |own: &Option<String>, variables: &[&str]| {
        let own = own.iter().cloned();
        let said = own.chain(variables.iter().filter_map(|name| variable(name)));
        said.map(|it| it.trim().to_owned())
            .find(|it| !it.is_empty())
    };
    let profile = ["ROUTIR_MACHINE_PROFILE", "SIE_MACHINE_PROFILE"];
    let profile = said(&config.machine_profile, &profile);
    let first = || gpus.as_ref().and_then(|ask| ask().into_iter().next());
    WorkerOptions {
        name: said(&config.name, &[]).unwrap_or_default(),
        machine_profile: profile
            .or_else(|| first().map(|gpu| gpu.gpu_type))
            .unwrap_or_default(),
        bundle: said(&config.bundle, &["SIE_BUNDLE"]).unwrap_or_else(|| "default".to_owned()),
        pool: said(&config.pool, &["SIE_POOL"]).unwrap_or_default(),
        max_batch_requests: config.max_batch_requests,
        gpus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_the_configuration_does_not() {
        let said = |name: &str| match name {
            "SIE_MACHINE_PROFILE" => Some(" l4-spot ".to_owned()),
            "SIE_BUNDLE" => Some(String::new()),
            _ => None,
        };
        let own = worker(&WorkerRt::default(), said);
        let told = (own.machine_profile.as_str(), own.bundle.as_str());
        assert_eq!(told, ("l4-spot", "default"));
        let config = WorkerRt {
            machine_profile: Some("a100".to_owned()),
            ..WorkerRt::default()
        };
        assert_eq!(worker(&config, said).machine_profile, "a100");
    }

    #[test]
    fn only_the_default_fields_leave_requests_with_arguments_uncached() {
        let mut config = ServiceConfig::new("s", "BM25", serde_json::Map::new());
        let kept = Kept::default();
        let service =
            |config: &ServiceConfig| service(config, Roles::default(), 2, kept.service(config));
        assert!(service(&config).cache.is_none());
        config.cache = 10;
        let fields = |config: &ServiceConfig| service(config).cache.map(|cache| cache.key_fields);
        assert_eq!(fields(&config), Some(KeyFields::Default));
        config.cache_key_fields.reverse();
        assert_eq!(fields(&config), Some(KeyFields::Default));
        config.cache_key_fields = vec!["query".to_owned()];
        assert_eq!(
            fields(&config),
            Some(KeyFields::Only(vec!["query".to_owned()]))
        );
    }
}
