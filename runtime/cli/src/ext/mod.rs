//! `ext`: make, check and try extensions on one's own machine, with the server's host code.

mod args;
mod bench;
mod canned;
mod case;
mod check;
mod local;
mod new;
mod run;
mod wrap;

use args::Command;
pub(crate) use args::Ext;

use crate::reactor;

/// Does what the command line asks for.
pub(crate) fn dispatch(ext: &Ext) -> anyhow::Result<()> {
    match &ext.command {
        Command::New(args) => new::run(args),
        Command::Wrap(args) => wrap::run(args),
        Command::Check(args) => reactor()?.block_on(check::run(args)),
        Command::Run(args) => run::run(args),
        Command::Bench(args) => reactor()?.block_on(bench::run(args)),
    }
}
