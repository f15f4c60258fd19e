//! `serve`: a configuration over REST and, if asked for, gRPC, until a signal says to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use routir_config::Loaded;
use routir_core::{Catalog, HostedModels, Imports, Role};
use routir_server::{App, Listeners, ServerOptions, TenantKeys};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Serve;
use crate::failure::{from_core, wrong};
use crate::progress::Progress;
use crate::wire::{self, Blueprint, Importing, Places, settings};
use crate::{out, reactor};

/// Serves until SIGINT or SIGTERM; a second signal ends the process at once.
pub(crate) fn run(args: Serve) -> anyhow::Result<()> {
    let config = args.config.ok_or_else(|| wrong("name a configuration"))?;
    let loaded = wire::load(&config)?;
    let cors = std::env::var("CORS_ALLOWED").is_ok_and(|said| said.eq_ignore_ascii_case("true"));
    let mut options = settings::server(&loaded.config.rt, args.key.api_key, cors);
    let reactor = reactor()?;
    let _within = reactor.enter();
    let cache_dir = &args.cache.cache_dir;
    let places = Places::kept(&loaded, cache_dir);
    let blueprint = Blueprint::draw(loaded, places)?.hosting();
    options.tenants = tenants(blueprint.loaded())?;
    let mut built = blueprint.build(cache_dir, &Progress::default())?;
    let registry = built.open_registry()?;
    // Tenants' directories are watched as long as the server runs.
    let _watching = registry.map(|(registry, watching)| {
        options.extensions = Some(Arc::new(registry));
        watching
    });
    options.server_id = Arc::clone(&built.server_id);
    let imports = built.importing.as_ref();
    options.imports = imports.map(|it| Arc::clone(&it.imports) as Arc<dyn Imports>);
    if !built.models.is_empty() {
        options.models = Some(Arc::new(HostedModels(built.models)));
    }
    let runtime = Arc::new(built.runtime);
    let catalog = runtime.catalog();
    reactor.block_on(async {
        let rest = listen(&args.host, args.port, "--port").await?;
        let address = rest.local_addr()?;
        if options.worker.name.is_empty() {
            options.worker.name = format!("{}:{}", host_name(), address.port());
        }
        let mut listeners = Listeners::from(rest);
        if args.grpc {
            let grpc = listen(&args.host, args.grpc_port, "--grpc-port").await?;
            options.grpc_port = Some(grpc.local_addr()?.port());
            options.grpc_max_message_bytes = usize::try_from(args.grpc_max_message_mb)? << 20;
            listeners.grpc = Some(grpc);
        }
        let app = App::new(runtime, options.clone()).map_err(from_core)?;
        let stop = stop_signal()?;
        announce(
            &catalog,
            &built.documents,
            built.importing.as_ref(),
            &options,
            address,
        );
        routir_server::serve(listeners, app, stop).await?;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Listens on a port, which `flag` names.
pub(crate) async fn listen(host: &str, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on {host}:{port}; give another {flag} or --host"))
}

/// What this machine is called.
fn host_name() -> String {
    let said = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let said = said.map(|name| name.trim().to_owned());
    said.ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Who shares the server, with the keys of the configuration and the environment.
fn tenants(loaded: &Loaded) -> anyhow::Result<Vec<TenantKeys>> {
    let keys = loaded.tenant_keys(|name| std::env::var(name).ok());
    let keys = keys.map_err(|problems| loaded.error(problems))?;
    let tenants = loaded.config.tenants.iter().zip(keys);
    let tenants = tenants.map(|(tenant, keys)| TenantKeys {
        tenant: tenant.tenant(),
        keys: keys.iter().map(|key| key.reveal().to_owned()).collect(),
        max_component_bytes: tenant.limits.component_bytes(),
    });
    Ok(tenants.collect())
}

/// Resolves at the first signal to stop; the second ends the process.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match stop.take() {
                Some(stop) => {
                    tracing::info!(
                        "stopping: requests in flight may end; a second signal cuts them off"
                    );
                    let _ = stop.send(());
                }
                None => std::process::exit(130),
            }
        }
    });
    Ok(async {
        let _ = stopped.await;
    })
}

/// Says what is served and where: for people, and in its last line for scripts.
fn announce(
    catalog: &Catalog,
    documents: &BTreeMap<String, Option<usize>>,
    importing: Option<&Importing>,
    options: &ServerOptions,
    address: SocketAddr,
) {
    if options.api_key.is_none() && options.tenants.is_empty() {
        tracing::warn!(
            "authentication is off: whoever reaches {address} may use this server; \
             ROUTIR_API_KEY or --api_key turns it on"
        );
    }
    let mut text = format!("routir-rt {}\n", options.version);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(
            text,
            "  {what:<15} {}",
            if value.is_empty() { "none" } else { value }
        );
    };
    for role in Role::ALL {
        let names: Vec<_> = catalog.names(role).map(AsRef::as_ref).collect();
        line(role.name(), &names.join(", "));
    }
    if let Some(host) = &options.models {
        let models: BTreeSet<_> = host.models().iter().map(|it| it.id.to_string()).collect();
        line("models", &models.into_iter().collect::<Vec<_>>().join(", "));
    }
    let collections: Vec<_> = documents
        .iter()
        .map(|(name, count)| match count {
            Some(count) => format!("{name} ({count} documents)"),
            None => name.clone(),
        })
        .collect();
    line("collections", &collections.join(", "));
    if let Some(importing) = importing {
        line("imports", &importing.summary());
    }
    let aliases: Vec<_> = catalog.aliases.keys().map(AsRef::as_ref).collect();
    line("aliases", &aliases.join(", "));
    let tenants = options.tenants.iter().map(|it| it.tenant.name.as_ref());
    if !options.tenants.is_empty() {
        line("tenants", &tenants.collect::<Vec<_>>().join(", "));
    }
    let guarded = options.api_key.is_some() || !options.tenants.is_empty();
    line("authentication", if guarded { "on" } else { "off" });
    line("CORS", if options.cors { "any origin" } else { "off" });
    if let Some(port) = options.grpc_port {
        line("gRPC", &SocketAddr::new(address.ip(), port).to_string());
    }
    let _ = writeln!(text, "listening on http://{address}");
    // Whoever started the server may not care to read this.
    let _ = out::print(&text);
}
