//! What a guest may call: its log, the runtime, and the documents behind a fusion's handles.
//!
//! Every call of the runtime is an ordinary request on somebody's behalf; here are its budgets and
//! the bounds of what is handed over.

mod candidates;
mod content;
mod desk;
mod held;
mod log;
mod runtime;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings::{candidates as candidates_abi, host, log as log_abi, types};
use crate::guest::State;

pub(crate) use held::Held;

/// Links everything that the worlds may import, WASI aside.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log_abi::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    candidates_abi::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl types::Host for State {}
