//! A guest while it lives: its store, what it may use, and why it ended.

mod exports;
mod failure;
mod limiter;
mod state;

pub(crate) use exports::{Exports, FuseArgs};
pub(crate) use failure::{Refused, ended, from_guest, malformed, own_fault};
pub(crate) use limiter::Limiter;
pub(crate) use state::{Call, Phase, Profile, State};
