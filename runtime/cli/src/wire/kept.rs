//! Where cached answers lie: in this server's memory, or in a Redis that servers share.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use routir_cache::{Backing, RedisClient, RedisSettings, RedisSpace};
use routir_config::{Config, ConfigProblem, Loaded, RedisConfig, ServiceConfig};
use routir_core::Metrics;

use super::identity;

/// Every Redis of a configuration, each with one connection however many caches lie there; or none
/// yet, while a configuration is only checked.
#[derive(Default)]
pub(super) struct Kept {
    clients: BTreeMap<String, RedisClient>,
    identities: BTreeMap<String, Arc<str>>,
    whole: Arc<str>,
}

/// The caches in a Redis: where they are configured, and what of.
fn wanted(config: &Config) -> Vec<(String, &'static str, RedisConfig<'_>)> {
    let services = config.services.iter().enumerate();
    let services = services.filter_map(|(i, service)| {
        Some((format!("services[{i}]."), "cache_redis", service.redis()?))
    });
    let pipeline = config.pipeline_redis().into_iter();
    let pipeline = pipeline.map(|redis| (String::new(), "pipeline_cache_redis", redis));
    let relay = config.relay_content_redis().into_iter();
    let relay = relay.map(|redis| (String::new(), "relay_content_cache_redis", redis));
    services.chain(pipeline).chain(relay).collect()
}

/// What is wrong with the caches in a Redis.
pub(super) fn problems(
    loaded: &Loaded,
    is_extension: &dyn Fn(usize) -> bool,
) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    for (place, prefix, redis) in wanted(&loaded.config) {
        if let Err(problem) = settings(loaded, redis) {
            let path = match problem.kwarg.as_deref() {
                // One that stands in the URL.
                Some(name) if redis.kwargs.is_none_or(|it| !it.contains_key(name)) => {
                    format!("{place}{prefix}_url")
                }
                Some(name) => format!("{place}{prefix}_kwargs.{name}"),
                None => format!("{place}{prefix}_url"),
            };
            problems.push(loaded.problem(&path, problem.message));
        }
    }
    for (i, service) in loaded.config.services.iter().enumerate() {
        if service.redis().is_some() && is_extension(i) {
            let message = "answers of an extension are kept in this server's memory only, since \
                           other servers may have another version of it; leave it out and set \
                           `cache`";
            problems.push(loaded.problem(&format!("services[{i}].cache_redis_url"), message));
        }
    }
    if let Some(redis) = loaded.config.relay_content_redis()
        && !is_here(redis.url)
        && !has_prefix(redis)
    {
        for (i, import) in loaded.config.server_imports.iter().enumerate() {
            if is_here(&import.endpoint) {
                let message = "this address is another server on every machine, and documents in a \
                               Redis that machines share are told apart by it; give an address by \
                               which all machines know the server, or each machine a `key_prefix` \
                               in `relay_content_cache_redis_kwargs`";
                problems.push(loaded.problem(&format!("server_imports[{i}].endpoint"), message));
            }
        }
    }
    problems
}

/// Whether the operator named a space of his own in the Redis.
fn has_prefix(redis: RedisConfig<'_>) -> bool {
    const PREFIX: &str = "key_prefix";
    let in_kwargs = redis.kwargs.is_some_and(|it| it.contains_key(PREFIX));
    in_kwargs || redis.url.contains(PREFIX)
}

/// Whether an address is of the machine itself.
fn is_here(address: &str) -> bool {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if scheme == "unix" {
        return true;
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified())
}

fn settings(
    loaded: &Loaded,
    redis: RedisConfig<'_>,
) -> Result<RedisSettings, routir_cache::RedisProblem> {
    let kwargs = redis.kwargs.cloned().unwrap_or_default();
    RedisSettings::new(redis.url, &kwargs, &|path| loaded.resolve_path(path))
}

/// The same for the same Redis asked in the same way.
fn name(redis: RedisConfig<'_>) -> String {
    let kwargs = redis.kwargs.cloned().unwrap_or_default();
    format!("{} {}", redis.url, serde_json::Value::Object(kwargs))
}

fn entries(capacity: Option<u64>) -> Option<NonZeroUsize> {
    capacity.and_then(|entries| NonZeroUsize::new(usize::try_from(entries).unwrap_or(usize::MAX)))
}

impl Kept {
    /// Begins to connect to every Redis of the configuration, which [`problems`] found sound. Must
    /// be called within a tokio runtime.
    pub(super) fn open(loaded: &Loaded, metrics: &Metrics) -> Self {
        let mut clients = BTreeMap::new();
        for (_, _, redis) in wanted(&loaded.config) {
            if let Ok(settings) = settings(loaded, redis) {
                clients
                    .entry(name(redis))
                    .or_insert_with(|| RedisClient::start(settings, metrics));
            }
        }
        if clients.is_empty() {
            return Self::default();
        }
        let services = loaded.config.services.iter().enumerate();
        let services = services.filter(|(_, service)| service.redis().is_some());
        let identities =
            services.map(|(i, service)| (service.name.clone(), identity::service(loaded, i)));
        Self {
            clients,
            identities: identities.collect(),
            whole: identity::whole(loaded),
        }
    }

    /// Where a service's answers are kept.
    pub(super) fn service(&self, config: &ServiceConfig) -> Option<Backing> {
        let ttl = config.cache_ttl();
        match config.redis() {
            Some(redis) => {
                let identity = Arc::clone(self.identities.get(&config.name)?);
                self.redis(redis, identity, ttl)
            }
            None => memory(config.cache_capacity(), ttl),
        }
    }

    /// Where answers of whole pipelines are kept.
    pub(super) fn pipeline(&self, config: &Config) -> Option<Backing> {
        let ttl = config.pipeline_cache_ttl();
        match config.pipeline_redis() {
            Some(redis) => self.redis(redis, Arc::clone(&self.whole), ttl),
            None => memory(config.pipeline_cache_capacity(), ttl),
        }
    }

    /// Where documents of imported collections are kept. Their keys name server, collection, view and
    /// document, so nothing else of this configuration matters to them.
    pub(super) fn relay_content(&self, config: &Config) -> Option<Backing> {
        let ttl = config.relay_content_cache_ttl();
        match config.relay_content_redis() {
            Some(redis) => self.redis(redis, Arc::from("relay_content"), ttl),
            None => memory(config.relay_content_cache_capacity(), ttl),
        }
    }

    fn redis(&self, redis: RedisConfig<'_>, identity: Arc<str>, ttl: Duration) -> Option<Backing> {
        let client = self.clients.get(&name(redis))?.clone();
        Some(Backing::Redis(RedisSpace {
            client,
            identity,
            ttl,
        }))
    }
}

fn memory(capacity: Option<u64>, ttl: Duration) -> Option<Backing> {
    entries(capacity).map(|capacity| Backing::Memory { capacity, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_itself_are_known() {
        for here in [
            "http://localhost:5000",
            "https://LOCALHOST./x",
            "127.0.0.1:5000",
            "grpc://user:p@127.1.2.3",
            "http://[::1]:5000",
            "redis://:secret@localhost:6379/0",
            "unix:///run/redis.sock",
            "http://0.0.0.0:5000",
        ] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in [
            "http://localhost.example.org",
            "http://compute01:5000",
            "10.0.0.1:5000",
            "redis://localhost@cache/0",
            "http://[2001:db8::1]",
        ] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn documents_of_this_machines_servers_are_not_shared_with_other_machines() {
        let told = |redis: &str, endpoint: &str, kwargs: &str| {
            let text = format!(
                r#"{{"server_imports": ["http://compute01:5000", "{endpoint}"],
                "relay_content_cache_redis_url": "{redis}",
                "relay_content_cache_redis_kwargs": {kwargs}}}"#
            );
            let loaded = Config::load(&text).unwrap();
            let problems = problems(&loaded, &|_| false);
            problems.iter().map(ToString::to_string).collect::<String>()
        };
        let (here, elsewhere) = ("http://localhost:5000", "http://compute02:5000");
        assert_eq!(told("redis://localhost", here, "{}"), "");
        assert_eq!(told("redis://cache", elsewhere, "{}"), "");
        assert_eq!(told("redis://cache", here, r#"{"key_prefix": "a:"}"#), "");
        let problem = told("redis://cache", here, "{}");
        assert!(problem.contains("server_imports[1]"), "{problem}");
    }
}
