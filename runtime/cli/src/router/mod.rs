//! `router`: a front for many workers.

mod args;
mod local;
mod options;

use std::fmt::Write as _;

use anyhow::Context;
use routir_config::RouterConfig;
use routir_router::{Listeners, RouterOptions};
use tokio::net::TcpListener;

pub(crate) use args::Router;
use args::{Command, Serve};

use crate::failure::from_core;
use crate::serve::{listen, stop_signal};
use crate::{out, reactor};

/// Does what the command says.
pub(crate) fn dispatch(router: &Router) -> anyhow::Result<()> {
    match &router.command {
        Command::Serve(args) => serve(args),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&routir_config::router_schema())?;
            out::print(&format!("{schema}\n")).context("cannot write the schema")
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            out::print(&format!("{version}\n")).context("cannot write the version")
        }
    }
}

/// Serves until SIGINT or SIGTERM; a second signal ends the process at once.
fn serve(args: &Serve) -> anyhow::Result<()> {
    let config = args.config.as_deref().map(RouterConfig::load).transpose()?;
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|said| !said.trim().is_empty())
    };
    let options = options::options(args, &variable, config.unwrap_or_default())?;
    let reactor = reactor()?;
    let _within = reactor.enter();
    reactor.block_on(async {
        let rest = listen(&args.host, args.port, "--port").await?;
        let address = rest.local_addr()?;
        let grpc = match args.grpc {
            true => Some(listen(&args.host, args.grpc_port, "--grpc-port").await?),
            false => None,
        };
        let grpc_address = grpc.as_ref().map(TcpListener::local_addr).transpose()?;
        let routir = local::side(&options, grpc_address.map(|it| it.port())).map_err(from_core)?;
        let mut text = summary(&options);
        let router = routir_router::Router::new(RouterOptions {
            routir: Some(routir),
            ..options
        });
        let router = router.map_err(from_core)?;
        let stop = stop_signal()?;
        if let Some(grpc) = grpc_address {
            let _ = writeln!(text, "  {:<15} {grpc}", "gRPC");
        }
        let _ = writeln!(text, "listening on http://{address}");
        // Whoever started the router may not care to read this.
        let _ = out::print(&text);
        routir_router::serve(Listeners { rest, grpc }, router, stop).await?;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Says what is served: for people.
fn summary(options: &RouterOptions) -> String {
    let mut text = format!("routir-rt router {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |what: &str, value: &str| {
        let value = if value.is_empty() { "none" } else { value };
        let _ = writeln!(text, "  {what:<15} {value}");
    };
    line("workers", &options.workers.join(", "));
    if let Some(cluster) = &options.kubernetes {
        let place = format!(
            "{}/{}, port {}",
            cluster.namespace, cluster.service, cluster.port
        );
        line("Kubernetes", &place);
    }
    let gpus: Vec<_> = options.configured_gpus.iter().map(AsRef::as_ref).collect();
    line(
        "machines",
        &if gpus.is_empty() {
            "any".to_owned()
        } else {
            gpus.join(", ")
        },
    );
    line("authentication", &options.auth_mode);
    text
}
