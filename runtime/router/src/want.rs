//! What a request needs of the worker that serves it.

use std::sync::Arc;

use routir_core::Role;

use crate::worker::lower;

/// What a request needs of the worker that serves it. Names are in canonical spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Want {
    /// The pool whose workers alone may serve it; `None` is all that no pool has reserved.
    pub(crate) pool: Option<Arc<str>>,
    /// The kind of machine; `None` takes any.
    pub(crate) profile: Option<Arc<str>>,
    /// The bundle; `None` takes any.
    pub(crate) bundle: Option<Arc<str>>,
    pub(crate) need: Need,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: Arc<str>,
    /// The name as models are looked up by.
    pub(crate) key: Arc<str>,
}

impl From<Arc<str>> for Model {
    fn from(name: Arc<str>) -> Self {
        let key = lower(Arc::clone(&name));
        Self { name, key }
    }
}

/// What the worker must have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Need {
    /// Nothing in particular.
    #[default]
    Anything,
    /// A model, loaded or to be loaded.
    Model(Model),
    /// RoutIR services in roles, and collections.
    Services {
        services: Vec<(Role, Arc<str>)>,
        collections: Vec<Arc<str>>,
    },
}
