//! Other servers whose services are offered here too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use routir_cache::{Backing, codecs};
use routir_config::{Loaded, ServerImport, ServiceConfig, Transport};
use routir_core::{ContentSource, Document, ImportStatus, Metrics};
use routir_exec::{Imported, Runtime};
use routir_remote::relay::{self, ImportSettings, Imports, PeerSettings, Peers, RelayCache, Union};
use tokio::runtime::Handle;

use super::{Trouble, aliases, settings};
use crate::logging::warnings_only;

/// How many bytes of documents of other servers whose view shows bytes are kept in memory.
const KEPT_BYTES: u64 = 256 << 20;

/// The servers that `server_imports` names; `None` when it names none. Asks nobody yet.
pub(super) fn imports(
    loaded: &Loaded,
    peers: &Peers,
    trouble: &mut Trouble,
) -> Option<Arc<Imports>> {
    let config = &loaded.config;
    if config.server_imports.is_empty() {
        return None;
    }
    let entries = config.server_imports.iter().map(import);
    match Imports::new(entries.collect(), peers) {
        Ok(imports) => Some(Arc::new(imports)),
        Err((at, error)) => {
            trouble.add(loaded, &format!("server_imports[{at}]"), &error);
            None
        }
    }
}

/// Other servers in service, looked at until this is dropped.
pub(crate) struct Importing {
    pub(crate) imports: Arc<Imports>,
    _watch: relay::Importing,
}

impl Importing {
    /// Asks every server once what it offers, puts that into service, and keeps asking; documents
    /// are kept in `backing`, if any. Blocking, within a tokio runtime.
    pub(super) fn begin(
        imports: Arc<Imports>,
        loaded: &Loaded,
        runtime: &Runtime,
        backing: Option<&Backing>,
        metrics: &Metrics,
    ) -> Self {
        if let Some(backing) = backing {
            let size = |it: &Arc<Document>| it.payload.size();
            imports.keep_documents(RelayCache {
                store: backing.open(codecs::Documents),
                bytes: backing.open_weighing(codecs::Documents, KEPT_BYTES, size),
                metrics: metrics.cache("relay_content"),
            });
        }
        let publish = publish(runtime.clone());
        let watch = Handle::current().block_on(async {
            imports.discover(&*publish).await;
            imports.watch(&publish)
        });
        // What could not be told before the names were there.
        for problem in aliases::problems(loaded, &runtime.catalog()) {
            tracing::warn!("{problem}");
        }
        Self {
            imports,
            _watch: watch,
        }
    }

    /// The servers on one line, for people.
    pub(crate) fn summary(&self) -> String {
        let each = |it: ImportStatus| match it.ready {
            true => format!(
                "{} ({} services, {} collections)",
                it.endpoint,
                it.services.len(),
                it.collections.len()
            ),
            false => format!("{} (not there: {})", it.endpoint, it.detail),
        };
        let all = routir_core::Imports::status(&*self.imports).into_iter();
        all.map(each).collect::<Vec<_>>().join(", ")
    }
}

/// Asks every server once what it offers and puts that into `runtime`; who does not answer is told in
/// the log.
/// Blocking, within a tokio runtime.
pub(super) fn ask(imports: &Arc<Imports>, runtime: &Runtime) {
    let publish = publish(runtime.clone());
    warnings_only(|| Handle::current().block_on(imports.discover(&*publish)));
}

/// Puts what other servers offer into service.
fn publish(runtime: Runtime) -> Arc<relay::Publish> {
    let always: Vec<String> = routir_engines::builtin_mergers()
        .into_iter()
        .map(|(name, _)| format!("service {name}"))
        .collect();
    Arc::new(move |union: &Union| {
        let services = union.services.iter().map(|(name, roles)| {
            let config = ServiceConfig::new(&**name, "Relay", serde_json::Map::new());
            settings::service(&config, roles.clone(), 1, None)
        });
        let collections = union.collections.iter().map(|(name, source)| {
            let source = Arc::clone(source) as Arc<dyn ContentSource>;
            (Arc::clone(name), source)
        });
        let left = runtime.set_imports(Imported {
            services: services.collect(),
            collections: collections.collect(),
            aliases: BTreeMap::new(),
        });
        // Every server has the mergers that are always there.
        let left = left.into_iter().filter(|it| !always.contains(&it.name));
        left.map(|it| format!("{}: {}", it.name, it.why)).collect()
    })
}

fn import(config: &ServerImport) -> ImportSettings {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    ImportSettings {
        peer: PeerSettings {
            endpoint: Some(config.endpoint.clone()),
            grpc_endpoint: config.grpc_endpoint.clone(),
            api_key: config.api_key.clone(),
            transport: match config.transport {
                Transport::Auto => relay::Transport::Auto,
                Transport::Grpc => relay::Transport::Grpc,
                Transport::Rest => relay::Transport::Rest,
            },
            timeout: seconds(config.timeout),
            retries: config.retries,
            tls: config.tls,
            ..PeerSettings::default()
        },
        extras: config.other_request_kwargs.clone(),
        required: config.required,
        refresh: seconds(config.refresh),
    }
}
