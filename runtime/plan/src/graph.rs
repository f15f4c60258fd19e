//! The plan: a graph of stages.
//!
//! A node is a function of the queries around it. Outside any expander there is one, the
//! request's; every expander puts its sub-query on top of them for its branches. A node counts
//! queries from the top: the one that it asks is query 0, and [`Input::up`] drops as many from the
//! top before its input is looked at. Counted so, a stage means the same wherever it stands, and
//! the same call is the same node.

use std::collections::BTreeSet;
use std::sync::Arc;

use routir_core::{Params, Role};
use serde::Serialize;

/// A node's place in [`Plan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The place as a number.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// The ranking that a rerank stage reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Input {
    /// Who makes it.
    pub node: NodeId,
    /// How many expanders stand between the two: so many queries are dropped for the input.
    pub up: usize,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeKind {
    /// Ask a searcher.
    Search,
    /// Score the input's documents and order them anew.
    Rerank {
        /// The documents.
        input: Input,
        /// The content view to read; `None` is the collection's default.
        view: Option<Arc<str>>,
    },
    /// Make sub-queries.
    Expand,
    /// Make one ranking of the branches'.
    Fuse {
        /// The branches, in order.
        branches: Vec<NodeId>,
        /// What the last stage of each branch is called there, in the same order: a merger may be
        /// told, and branches that are one node may go by different names.
        labels: Vec<Arc<str>>,
        /// Who makes the sub-queries that the branches run under, if anyone.
        expander: Option<NodeId>,
    },
    /// Keep the best of a ranking that somebody else needs in full.
    Cut {
        /// The ranking.
        input: NodeId,
    },
}

/// One stage of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// What it does.
    #[serde(flatten)]
    pub kind: NodeKind,
    /// The service that it calls.
    pub service: Arc<str>,
    /// The name that `runtime_kwargs` and reports use for it.
    pub stage: Arc<str>,
    /// How many documents, or sub-queries, it keeps; `None` is all.
    pub limit: Option<usize>,
    /// Extra arguments for the service.
    #[serde(
        skip_serializing_if = "Params::is_empty",
        serialize_with = "params_as_map"
    )]
    pub params: Params,
    /// Which of the queries around it (0 = the innermost) its value depends on.
    #[serde(skip)]
    pub depends: BTreeSet<usize>,
}

fn params_as_map<S: serde::Serializer>(params: &Params, out: S) -> Result<S::Ok, S::Error> {
    params.as_map().serialize(out)
}

impl Node {
    /// The role in which it calls its service; a cut calls none.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.kind {
            NodeKind::Search => Some(Role::Search),
            NodeKind::Rerank { .. } => Some(Role::Score),
            NodeKind::Expand => Some(Role::DecomposeQuery),
            NodeKind::Fuse { .. } => Some(Role::Fuse),
            NodeKind::Cut { .. } => None,
        }
    }

    /// The nodes that it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<NodeId> {
        match &self.kind {
            NodeKind::Search | NodeKind::Expand => Vec::new(),
            NodeKind::Rerank { input, .. } => vec![input.node],
            NodeKind::Cut { input } => vec![*input],
            NodeKind::Fuse {
                branches, expander, ..
            } => expander.iter().chain(branches).copied().collect(),
        }
    }
}

/// A compiled pipeline: nodes in an order in which each comes after its inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The pipeline as it was given.
    pub source: Arc<str>,
    /// The pipeline with aliases expanded, in canonical form.
    pub canonical: Arc<str>,
    /// The collection that rerank stages read.
    pub collection: Option<Arc<str>>,
    /// The generation of the catalog that it was compiled against.
    pub generation: u64,
    /// The stage whose ranking is the answer.
    pub root: NodeId,
    /// All stages.
    pub nodes: Vec<Node>,
}

impl Plan {
    /// The node at `id`. Ids come from this plan, so there always is one.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made with the nodes and only by this crate"
    )]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Ids with their nodes, inputs before those who read them.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (NodeId(i), node))
    }
}
