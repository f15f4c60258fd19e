//! Compilation: source to syntax tree to plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use routir_core::{Catalog, Error, ErrorCode, Params, Result, Role, shorten};
use routir_dsl::{Aliases, Call, Limit, Parallel, Sequence, Stage};

use crate::checks::Collection;
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
    /// How many documents are wanted at most, as if the last stage said so; a smaller limit of its
    /// own stays. `None` is as many as the pipeline says.
    pub limit: Option<usize>,
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
    let mut tree = aliases.expand(tree).map_err(syntax)?;
    if let Some(limit) = input.limit {
        bound(&mut tree, limit);
    }

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

/// The call that a sequence ends with; of branches side by side, their merger.
fn last_call(sequence: &Sequence) -> Option<&Call> {
    match sequence.stages.last()? {
        Stage::Call(call) => Some(call),
        Stage::Parallel(parallel) => Some(&parallel.merger),
    }
}

/// Gives the last stage a limit of at most `limit`.
fn bound(tree: &mut Sequence, limit: usize) {
    let last = match tree.stages.last_mut() {
        Some(Stage::Call(call)) => call,
        Some(Stage::Parallel(parallel)) => &mut parallel.merger,
        None => return,
    };
    let span = last.span.clone();
    let own = last.limit.get_or_insert(Limit { value: limit, span });
    own.value = own.value.min(limit);
}

pub(crate) struct Compiler<'a> {
    pub(crate) input: &'a PlanInput<'a>,
    pub(crate) catalog: &'a Catalog,
    pub(crate) problems: Problems<'a>,
    pub(crate) nodes: Vec<Node>,
    known: HashMap<NodeKey, NodeId>,
    widest: Widest,
    scopes: Scopes,
    pub(crate) collection: Collection<'a>,
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
        let labels = parallel.branches.iter().filter_map(last_call);
        let labels = labels.map(|call| Arc::clone(call.key())).collect();
        self.refuse_view(&parallel.merger, "a merger");
        let (limit, params) = self.checked_arguments(&parallel.merger, Role::Fuse, None);
        self.node(
            NodeKind::Fuse {
                branches,
                labels,
                expander,
            },
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
}
