//! The binary `routir-rt`: reads the command line, wires the rooms together, and tells people and
//! programs how it went.
//!
//! Guards: every room meets the others here and nowhere else; results go to stdout, everything
//! else to stderr; the exit status says who is to act. Must never know: how anything is computed.

mod args;
mod check;
mod client;
mod devices;
mod encode;
mod eval;
mod explain;
mod ext;
mod failure;
mod hub;
mod index;
mod logging;
mod out;
mod pipeline;
mod progress;
mod query;
mod router;
mod run;
mod serve;
mod warmup;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    // Before anything else: the compiler of a stranger's component has nothing but what it needs.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == wire::COMPILE)
    {
        return routir_sandbox::compile_child();
    }
    calm_openmp();
    failure::end(dispatch(Cli::parse()))
}

/// FAISS's threads would spin while they wait for work, and take the cores from the models. OpenMP
/// reads this when FAISS is loaded.
fn calm_openmp() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_none() {
        // SAFETY: this is the process's only thread.
        unsafe { std::env::set_var(POLICY, "passive") };
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let (format, level) = match &command {
        Command::Serve(_) => (cli.log_format, "info"),
        Command::Router(router) => router.log(cli.log_format),
        _ => (cli.log_format, "warn,routir_rt=info"),
    };
    logging::start(format, level)?;
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::Schema => check::schema(),
        Command::Explain(args) => explain::run(args),
        Command::Run(args) => run::run(args),
        Command::Eval(args) => eval::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Encode(args) => encode::run(&args),
        Command::Index(args) => index::dispatch(&args),
        Command::Warmup(args) => warmup::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Ext(args) => ext::dispatch(&args),
        Command::Router(args) => router::dispatch(&args),
    }
}

/// The threads on which queues, engines and connections are driven.
fn reactor() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
