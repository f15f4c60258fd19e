//! What can be wrong with a pipeline beyond its syntax, and how it is told.

use std::collections::BTreeSet;

use routir_core::{CollectionInfo, Role, ServiceInfo, ViewKind, nearest, shorten};
use routir_dsl::{Call, Sequence};

use crate::compile::{Compiler, MAX_DEPTH};
use crate::graph::NodeId;

/// The collection that rerank stages read, looked up when the first of them needs it.
pub(crate) enum Collection<'a> {
    Unread,
    Missing,
    Known(&'a CollectionInfo),
}

impl<'a> Compiler<'a> {
    /// Every name in `runtime_kwargs` must name a stage.
    pub(crate) fn check_stage_names(&mut self, tree: &Sequence) {
        let stages: BTreeSet<String> = tree
            .calls()
            .map(|(_, call)| call.key().to_string())
            .collect();
        for name in self
            .input
            .runtime_kwargs
            .keys()
            .filter(|name| !stages.contains(*name))
        {
            let help = match nearest(name, stages.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{}`?", shorten(near)),
                None => {
                    let shown: Vec<_> = stages.iter().take(8).map(|stage| shorten(stage)).collect();
                    format!("stages of this pipeline: {}", shown.join(", "))
                }
            };
            let message = format!(
                "runtime_kwargs name `{}`, which is no stage of the pipeline",
                shorten(name)
            );
            self.problems
                .add(self.problems.whole(), message, Some(help));
        }
    }

    /// Running a plan takes stack in proportion to its depth, so depth is bounded.
    pub(crate) fn check_depth(&mut self, root: NodeId) {
        let mut depths: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let below = node.inputs().iter().filter_map(|id| depths.get(id.0)).max();
            depths.push(below.map_or(1, |below| below + 1));
        }
        if let Some(depth) = depths.get(root.0).filter(|depth| **depth > MAX_DEPTH) {
            let message =
                format!("the pipeline has {depth} stages in a row; {MAX_DEPTH} are allowed");
            self.problems.add(self.problems.whole(), message, None);
        }
    }

    pub(crate) fn unknown_service(&mut self, call: &Call, role: Role) {
        let name = call.name.text.as_ref();
        let message = format!("no service `{}` that can {}", shorten(name), verb(role));
        let help = match self.catalog.services.get(name) {
            Some(info) => format!(
                "`{}` can {}, but {}",
                shorten(name),
                abilities(info),
                place_of(role)
            ),
            None => {
                let names = self.catalog.names(role).map(AsRef::as_ref);
                let aliases = self.catalog.aliases.keys().map(AsRef::as_ref);
                let stage = matches!(role, Role::Search | Role::Score);
                match nearest(name, names.chain(aliases.filter(|_| stage))) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        let names: Vec<_> = self
                            .catalog
                            .names(role)
                            .take(8)
                            .map(AsRef::as_ref)
                            .collect();
                        match names.as_slice() {
                            [] => format!("no service of this server can {}", verb(role)),
                            _ => format!("services that can: {}", names.join(", ")),
                        }
                    }
                }
            }
        };
        let message = match &call.origin {
            Some(alias) => format!("{message} (in the alias `{alias}`)"),
            None => message,
        };
        self.problems
            .unknown(call.name.span.clone(), message, Some(help));
    }

    pub(crate) fn refuse_view(&mut self, call: &Call, what: &str) {
        if let Some(view) = &call.view {
            let message = format!(
                "`@{}`: {what} reads no documents, so it takes no view",
                shorten(&view.text)
            );
            let help = "only rerank stages read a view".to_owned();
            self.problems.add(view.span.clone(), message, Some(help));
        }
    }

    pub(crate) fn check_view(&mut self, call: &Call) {
        if matches!(self.collection, Collection::Unread) {
            self.collection = self.find_collection();
        }
        let Collection::Known(info) = &self.collection else {
            return;
        };
        let info = *info;
        let named = call.view.as_ref().map(|view| view.text.as_ref());
        if let Some(kind) = info.kind(named) {
            return self.check_kind(call, info, kind);
        }
        let Some(view) = &call.view else { return };
        let names: Vec<_> = info.views.keys().map(AsRef::as_ref).collect();
        let help = match nearest(&view.text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its views are {}", names.join(", ")),
        };
        let collection = self.input.collection.unwrap_or_default();
        let message = format!(
            "collection `{collection}` has no view `{}`",
            shorten(&view.text)
        );
        self.problems
            .unknown(view.span.clone(), message, Some(help));
    }

    /// A scorer of texts can make nothing of a view of images, nor the other way round.
    fn check_kind(&mut self, call: &Call, info: &CollectionInfo, kind: ViewKind) {
        let service = self.catalog.services.get(&call.name.text);
        let Some(scorer) = service.and_then(|service| service.score.as_ref()) else {
            return;
        };
        let reads = scorer.view_kind;
        if reads == kind {
            return;
        }
        let (view, span) = match &call.view {
            Some(view) => (&view.text, view.span.clone()),
            None => (&info.default_view, call.name.span.clone()),
        };
        let message = format!(
            "`{}` reads {reads}, and view `{}` of collection `{}` is {kind}",
            shorten(&call.name.text),
            shorten(view),
            shorten(self.input.collection.unwrap_or_default()),
        );
        let fitting = info.views.iter().filter(|(_, kind)| **kind == reads);
        let fitting: Vec<_> = fitting.map(|(name, _)| format!("@{name}")).collect();
        let help = if fitting.is_empty() {
            format!("the collection has no view of {reads}; use a service that reads {kind}")
        } else {
            format!("its views of {reads}: {}", fitting.join(", "))
        };
        self.problems.add(span, message, Some(help));
    }

    fn find_collection(&mut self) -> Collection<'a> {
        let whole = self.problems.whole();
        let Some(name) = self.input.collection else {
            // RoutIR's own words.
            let message =
                "pipeline contains reranking stage(s) and requires a `collection` field".to_owned();
            self.problems.add(whole, message, None);
            return Collection::Missing;
        };
        if let Some(info) = self.catalog.collections.get(name) {
            return Collection::Known(info);
        }
        let names: Vec<_> = self.catalog.collections.keys().map(AsRef::as_ref).collect();
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "this server has no collections".to_owned(),
            None => format!("collections: {}", names.join(", ")),
        };
        self.problems.unknown(
            whole,
            format!("no collection `{}` to rerank from", shorten(name)),
            Some(help),
        );
        Collection::Missing
    }
}

fn verb(role: Role) -> &'static str {
    match role {
        Role::Search => "search",
        Role::Score => "rerank",
        Role::Fuse => "fuse",
        Role::DecomposeQuery => "decompose queries",
    }
}

fn abilities(info: &ServiceInfo) -> String {
    let can: Vec<_> = Role::ALL
        .into_iter()
        .filter(|role| info.params(*role).is_some())
        .map(verb)
        .collect();
    can.join(" and ")
}

fn place_of(role: Role) -> &'static str {
    match role {
        Role::Search => "the first stage of a pipeline must search",
        Role::Score => "every stage after `>>` must rerank",
        Role::Fuse => "the call after `}` must fuse",
        Role::DecomposeQuery => "the call before `{` must decompose queries",
    }
}
