//! Who exists: workers that a cluster knows.

mod follow;
mod kubernetes;

pub(crate) use follow::{Change, follow};
pub use kubernetes::KubernetesOptions;
pub(crate) use kubernetes::{client, watch_workers};
