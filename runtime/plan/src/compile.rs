//! Compilation: source to syntax tree to plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use routir_core::{
    Catalog, CollectionInfo, Error, ErrorCode, Params, Problem, Result, Role, ServiceInfo, nearest,
    shorten,
};
use routir_dsl::{Aliases, Call, Parallel, Sequence, Stage};

use crate::graph::{Input, Node, NodeId, NodeKind, Plan};
use crate::limits::{Scope, Scopes, Widest, arguments};
use crate::problems::{Problems, from_diagnostics};

/// How many documents a search stage finds when neither `%N` nor `runtime_kwargs` says.
pub const DEFAULT_SEARCH_LIMIT: usize = 10;

/// How many stages may stand in a row, each reading the one before.
pub const MAX_DEPTH: usize = 64;

/// What a request says about the pipeline that it wants.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The pipeline's source.
    pub source: &'a str,
    /// The collection that rerank stages read.
    pub collection: Option<&'a str>,
    /// Extra arguments by stage name.
    pub runtime_kwargs: &'a BTreeMap<String, Params>,
    /// The largest limit that a stage may have.
    pub max_limit: usize,
}

/// Compiles a pipeline against a catalog.
///
/// # Errors
/// All problems with the pipeline and its arguments at once, each with its place.
pub fn compile(input: &PlanInput<'_>, catalog: &Catalog, aliases: &Aliases) -> Result<Plan> {
    let syntax = |found: Vec<_>| from_diagnostics(input.source, ErrorCode::InvalidArgument, &found);
    let tree = routir_dsl::parse(input.source).map_err(syntax)?;
    if !catalog.dynamic_pipeline && !matches!(tree.stages.as_slice(), [Stage::Call(_)]) {
        let names: Vec<_> = catalog.aliases.keys().map(AsRef::as_ref).collect();
        return Err(Error::new(
            ErrorCode::PermissionDenied,
            format!(
                "this server runs only configured pipelines and single services \
                 (dynamic_pipeline is false); configured: {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        ));
    }
    let tree = aliases.expand(tree).map_err(syntax)?;

    let mut compiler = Compiler {
        input,
        catalog,
        problems: Problems::new(input.source),
        nodes: Vec::new(),
        known: HashMap::new(),
        widest: Widest::default(),
        scopes: Scopes::default(),
        collection: Collection::Unread,
    };
    compiler.check_stage_names(&tree);
    compiler.measure(&tree, true, Scopes::ROOT);
    compiler.scopes = Scopes::default();
    let root = compiler.sequence(&tree, None, Scopes::ROOT);
    compiler.check_depth(root);
    let Compiler {
        problems, nodes, ..
    } = compiler;
    if !problems.is_empty() {
        return Err(problems.into_error());
    }
    Ok(Plan {
        source: Arc::from(input.source),
        canonical: Arc::from(tree.to_string()),
        collection: input.collection.map(Arc::from),
        generation: catalog.generation,
        root,
        nodes,
    })
}

/// The plan of one search call: what `/search` asks for.
///
/// # Errors
/// RoutIR's own message when there is no such service, and every argument that the engine does not
/// understand.
pub fn single_search(
    service: &str,
    limit: usize,
    max_limit: usize,
    params: &Params,
    catalog: &Catalog,
) -> Result<Plan> {
    check_call(service, Role::Search, params, catalog)?;
    if limit > max_limit {
        return Err(Error::invalid(format!(
            "limit {limit} is larger than this server allows ({max_limit})"
        )));
    }
    let name: Arc<str> = Arc::from(service);
    let node = Node {
        kind: NodeKind::Search,
        service: Arc::clone(&name),
        stage: Arc::clone(&name),
        limit: Some(limit),
        params: params.clone(),
        depends: BTreeSet::from([0]),
    };
    Ok(Plan {
        source: Arc::clone(&name),
        canonical: Arc::from(format!("{name}%{limit}")),
        collection: None,
        generation: catalog.generation,
        root: NodeId(0),
        nodes: vec![node],
    })
}

/// Checks a call of one service: that it plays the role and understands the arguments.
///
/// # Errors
/// RoutIR's own message when there is no such service, and every argument that it does not know.
pub fn check_call(service: &str, role: Role, params: &Params, catalog: &Catalog) -> Result<()> {
    let known = catalog
        .services
        .get(service)
        .and_then(|info| info.params(role))
        .ok_or_else(|| {
            // RoutIR's own words, which its clients may look for; the hint travels beside them.
            let name = shorten(service);
            let message = format!("Service '{name}' not found or does not support {role}");
            let near = nearest(service, catalog.names(role).map(AsRef::as_ref));
            let problem = near.map(|near| Problem {
                message: message.clone(),
                start: 0,
                end: name.chars().count(),
                expected: Vec::new(),
                help: Some(format!("did you mean `{near}`?")),
            });
            Error::new(ErrorCode::UnknownName, message).with_problems(problem.into_iter().collect())
        })?;
    match known.check(params) {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(Error::invalid(format!(
            "service `{service}`: {}",
            wrong.join("; ")
        ))),
    }
}

/// The collection that rerank stages read, looked up when the first of them needs it.
enum Collection<'a> {
    Unread,
    Missing,
    Known(&'a CollectionInfo),
}

struct Compiler<'a> {
    input: &'a PlanInput<'a>,
    catalog: &'a Catalog,
    problems: Problems<'a>,
    nodes: Vec<Node>,
    known: HashMap<NodeKey, NodeId>,
    widest: Widest,
    scopes: Scopes,
    collection: Collection<'a>,
}

/// What makes two nodes the same call; what the stage is called is no part of it.
#[derive(PartialEq, Eq, Hash)]
struct NodeKey {
    kind: NodeKind,
    service: Arc<str>,
    limit: Option<usize>,
    params: String,
}

impl<'a> Compiler<'a> {
    /// Every name in `runtime_kwargs` must name a stage.
    fn check_stage_names(&mut self, tree: &Sequence) {
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
    fn check_depth(&mut self, root: NodeId) {
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

    /// First walk: the limits of all searches, so that the second can widen them.
    fn measure(&mut self, sequence: &Sequence, searches: bool, scope: Scope) {
        for (place, stage) in sequence.stages.iter().enumerate() {
            let searches = searches && place == 0;
            match stage {
                Stage::Call(call) if searches => {
                    let (limit, params) = self.arguments_of(call, Some(DEFAULT_SEARCH_LIMIT));
                    let service = &call.name.text;
                    if let Some(limit) = limit.filter(|_| self.prefix_stable(service)) {
                        self.widest.note(scope, service, &params, limit);
                    }
                }
                Stage::Call(_) => {}
                Stage::Parallel(parallel) => {
                    let inner = self.inner_scope(parallel, scope);
                    for branch in &parallel.branches {
                        self.measure(branch, searches, inner);
                    }
                }
            }
        }
    }

    fn inner_scope(&mut self, parallel: &Parallel, scope: Scope) -> Scope {
        if parallel.expander.is_some() {
            self.scopes.next()
        } else {
            scope
        }
    }

    fn prefix_stable(&self, service: &str) -> bool {
        let info = self
            .catalog
            .services
            .get(service)
            .and_then(|info| info.search.as_ref());
        info.is_some_and(|info| info.prefix_stable)
    }

    /// Second walk: the nodes.
    fn sequence(&mut self, sequence: &Sequence, input: Option<Input>, scope: Scope) -> NodeId {
        let mut last = input;
        let mut node = NodeId(0);
        for stage in &sequence.stages {
            node = match (stage, last) {
                (Stage::Call(call), None) => self.search(call, scope),
                (Stage::Call(call), Some(input)) => self.rerank(call, input),
                (Stage::Parallel(parallel), input) => self.parallel(parallel, input, scope),
            };
            last = Some(Input { node, up: 0 });
        }
        node
    }

    fn search(&mut self, call: &Call, scope: Scope) -> NodeId {
        self.refuse_view(call, "a search stage");
        let (limit, params) =
            self.checked_arguments(call, Role::Search, Some(DEFAULT_SEARCH_LIMIT));
        let service = Arc::clone(&call.name.text);
        let widest = limit.and_then(|own| {
            self.widest
                .get(scope, &service, &params)
                .filter(|widest| *widest > own && own > 0)
        });
        let depends = BTreeSet::from([0]);
        let found = self.node(
            NodeKind::Search,
            call,
            widest.or(limit),
            params,
            depends.clone(),
        );
        if widest.is_none() {
            return found;
        }
        self.node(
            NodeKind::Cut { input: found },
            call,
            limit,
            Params::default(),
            depends,
        )
    }

    fn rerank(&mut self, call: &Call, input: Input) -> NodeId {
        self.check_view(call);
        let (limit, params) = self.checked_arguments(call, Role::Score, None);
        let view = call.view.as_ref().map(|view| Arc::clone(&view.text));
        let mut depends = BTreeSet::from([0]);
        depends.extend(
            self.depends(input.node)
                .iter()
                .map(|query| query + input.up),
        );
        self.node(
            NodeKind::Rerank { input, view },
            call,
            limit,
            params,
            depends,
        )
    }

    fn parallel(&mut self, parallel: &Parallel, input: Option<Input>, scope: Scope) -> NodeId {
        let inner = self.inner_scope(parallel, scope);
        let expander = parallel.expander.as_ref().map(|call| {
            self.refuse_view(call, "an expander");
            let (limit, params) = self.checked_arguments(call, Role::DecomposeQuery, None);
            self.node(NodeKind::Expand, call, limit, params, BTreeSet::from([0]))
        });
        let dropped = usize::from(expander.is_some());
        let input = input.map(|input| Input {
            up: input.up + dropped,
            ..input
        });
        let branches: Vec<_> = parallel
            .branches
            .iter()
            .map(|branch| self.sequence(branch, input, inner))
            .collect();
        let mut depends = BTreeSet::from([0]);
        for branch in &branches {
            depends.extend(
                self.depends(*branch)
                    .iter()
                    .filter_map(|q| q.checked_sub(dropped)),
            );
        }
        self.refuse_view(&parallel.merger, "a merger");
        let (limit, params) = self.checked_arguments(&parallel.merger, Role::Fuse, None);
        self.node(
            NodeKind::Fuse { branches, expander },
            &parallel.merger,
            limit,
            params,
            depends,
        )
    }

    fn depends(&self, id: NodeId) -> BTreeSet<usize> {
        self.nodes
            .get(id.0)
            .map(|node| node.depends.clone())
            .unwrap_or_default()
    }

    /// The node for a call: the one that is already there, if the same call stood before.
    fn node(
        &mut self,
        kind: NodeKind,
        call: &Call,
        limit: Option<usize>,
        params: Params,
        depends: BTreeSet<usize>,
    ) -> NodeId {
        let service = Arc::clone(&call.name.text);
        let key = NodeKey {
            kind: kind.clone(),
            service: Arc::clone(&service),
            limit,
            params: arguments(&params),
        };
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = NodeId(self.nodes.len());
        let stage = Arc::clone(call.key());
        self.nodes.push(Node {
            kind,
            service,
            stage,
            limit,
            params,
            depends,
        });
        self.known.insert(key, id);
        id
    }

    /// A call's limit and its other arguments: `%N` first, then `runtime_kwargs`, then `default`.
    fn arguments_of(&self, call: &Call, default: Option<usize>) -> (Option<usize>, Params) {
        let explicit = call.limit.as_ref().map(|limit| limit.value);
        let Some(given) = self.input.runtime_kwargs.get(call.key().as_ref()) else {
            return (explicit.or(default), Params::default());
        };
        let from_kwargs = given.count("limit").ok().flatten();
        let mut rest = given.as_map().clone();
        rest.retain(|name, value| name != "limit" && !value.is_null());
        (explicit.or(from_kwargs).or(default), Params::from(rest))
    }

    /// As [`Compiler::arguments_of`], and everything wrong with the call noted.
    fn checked_arguments(
        &mut self,
        call: &Call,
        role: Role,
        default: Option<usize>,
    ) -> (Option<usize>, Params) {
        let (limit, params) = self.arguments_of(call, default);
        let name = &call.name.text;
        match self
            .catalog
            .services
            .get(name)
            .and_then(|info| info.params(role))
        {
            None => self.unknown_service(call, role),
            Some(known) => {
                for wrong in known.check(&params) {
                    let message = format!("runtime_kwargs for `{}`: {wrong}", shorten(call.key()));
                    self.problems.add(call.span.clone(), message, None);
                }
            }
        }
        if let Some(given) = self.input.runtime_kwargs.get(call.key().as_ref())
            && let Err(wrong) = given.count("limit")
        {
            let message = format!("runtime_kwargs for `{}`: {wrong}", shorten(call.key()));
            self.problems.add(call.span.clone(), message, None);
        }
        if let Some(limit) = limit.filter(|limit| *limit > self.input.max_limit) {
            let message = format!(
                "`{}` asks for {limit} results; this server allows {}",
                shorten(call.key()),
                self.input.max_limit
            );
            self.problems.add(call.span.clone(), message, None);
        }
        (limit, params)
    }

    fn unknown_service(&mut self, call: &Call, role: Role) {
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

    fn refuse_view(&mut self, call: &Call, what: &str) {
        if let Some(view) = &call.view {
            let message = format!(
                "`@{}`: {what} reads no documents, so it takes no view",
                shorten(&view.text)
            );
            let help = "only rerank stages read a view".to_owned();
            self.problems.add(view.span.clone(), message, Some(help));
        }
    }

    fn check_view(&mut self, call: &Call) {
        if matches!(self.collection, Collection::Unread) {
            self.collection = self.find_collection();
        }
        let (Collection::Known(info), Some(view)) = (&self.collection, &call.view) else {
            return;
        };
        if info.views.contains_key(&view.text) {
            return;
        }
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
