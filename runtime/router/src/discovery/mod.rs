//! Who exists: workers that a cluster knows.

mod follow;
mod kubernetes;

pub(crate) use follow::{Change, follow};
pub use kubernetes::KubernetesOptions;
pub(crate) use kubernetes::{client, watch_workers};

/// What the router asks of a cluster: API group, resource, verbs. A role that allows this suffices.
pub const PERMISSIONS: &[(&str, &str, &[&str])] = &[
    ("discovery.k8s.io", "endpointslices", &["list", "watch"]),
    ("", "endpoints", &["list", "watch"]),
    (
        "",
        "configmaps",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    (
        "coordination.k8s.io",
        "leases",
        &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
    ),
];
