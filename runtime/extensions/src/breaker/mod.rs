//! Keeps an extension that fails again and again away from requests.

mod guard;
mod roles;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use guard::{Guard, Subject};
pub(crate) use roles::{Fallback, guarded};
