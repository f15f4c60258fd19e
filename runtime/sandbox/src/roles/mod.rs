//! A component as engines, one per role, so that a pipeline cannot tell it from a native one.

mod decompose;
mod extension;
mod fuse;
mod score;
mod search;

pub(crate) use extension::Extension;
