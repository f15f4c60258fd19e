//! Alias substitution: first the size of what would come out, then the thing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Call, Diagnostic, Limit, MAX_CALLS, MAX_NESTING, Parallel, Position, Sequence, Span, Stage,
};

/// Every known alias; `None` for one that is not expanded.
pub(crate) type Bodies = BTreeMap<Arc<str>, Option<Body>>;

/// An alias's definition with all aliases in it expanded.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) sequence: Sequence,
    pub(crate) size: Size,
}

/// How large a tree is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    calls: usize,
    nesting: usize,
}

/// The size of `sequence` once expanded; `None` when it needs an alias that is not expanded.
///
/// # Errors
/// Wrong uses of aliases, and a size over the limits.
pub(crate) fn measure(
    sequence: &Sequence,
    bodies: &Bodies,
) -> Result<Option<Size>, Vec<Diagnostic>> {
    let mut measure = Measure {
        bodies,
        size: Size::default(),
        complete: true,
        problems: Vec::new(),
    };
    measure.sequence(sequence, 0);
    let Measure {
        size,
        complete,
        problems,
        ..
    } = measure;
    if problems.is_empty() {
        Ok(complete.then_some(size))
    } else {
        Err(problems)
    }
}

struct Measure<'a> {
    bodies: &'a Bodies,
    size: Size,
    complete: bool,
    problems: Vec<Diagnostic>,
}

impl Measure<'_> {
    fn sequence(&mut self, sequence: &Sequence, depth: usize) {
        for stage in &sequence.stages {
            match stage {
                Stage::Call(call) => self.stage(call, depth),
                Stage::Parallel(parallel) => self.parallel(parallel, depth + 1),
            }
        }
    }

    fn parallel(&mut self, parallel: &Parallel, depth: usize) {
        let span = &parallel.span;
        self.grow(
            Size {
                calls: 0,
                nesting: depth,
            },
            span,
            "this stage",
        );
        let expander = parallel
            .expander
            .iter()
            .map(|call| (Position::Expander, call));
        for (position, call) in expander.chain([(Position::Merger, &parallel.merger)]) {
            let name = &call.name.text;
            self.grow(
                Size {
                    calls: 1,
                    nesting: depth,
                },
                &call.span,
                name,
            );
            if self.bodies.contains_key(name) {
                let place = match position {
                    Position::Expander => "make sub-queries",
                    _ => "merge branches",
                };
                self.problems.push(
                    Diagnostic::new(
                        call.name.span.clone(),
                        format!("alias `{name}` cannot {place}"),
                    )
                    .with_help("an alias stands for stages; name a service here"),
                );
            }
        }
        for branch in &parallel.branches {
            self.sequence(branch, depth);
        }
    }

    fn stage(&mut self, call: &Call, depth: usize) {
        let name = &call.name.text;
        let Some(body) = self.bodies.get(name) else {
            return self.grow(
                Size {
                    calls: 1,
                    nesting: depth,
                },
                &call.span,
                name,
            );
        };
        match body {
            Some(Body { size, .. }) => {
                let size = Size {
                    nesting: size.nesting + depth,
                    ..*size
                };
                self.grow(size, &call.span, &format!("alias `{name}`"));
            }
            None => self.complete = false,
        }
        let suffixes = [(&call.label, "label"), (&call.view, "view")];
        for (suffix, what) in suffixes {
            let Some(suffix) = suffix else { continue };
            self.problems.push(
                Diagnostic::new(
                    suffix.span.clone(),
                    format!("alias `{name}` cannot take a {what}"),
                )
                .with_help(format!(
                    "put the {what} on a call in the alias's definition, or write the \
                         definition here instead of the alias"
                )),
            );
        }
    }

    /// Counts what `what` at `span` adds, and reports the first that is too much.
    fn grow(&mut self, by: Size, span: &Span, what: &str) {
        let before = self.size;
        self.size.calls = before.calls.saturating_add(by.calls);
        self.size.nesting = before.nesting.max(by.nesting);
        if before.calls <= MAX_CALLS && self.size.calls > MAX_CALLS {
            let message = format!("with {what}, the pipeline has more than {MAX_CALLS} calls");
            self.problems.push(Diagnostic::new(span.clone(), message));
        }
        if before.nesting <= MAX_NESTING && self.size.nesting > MAX_NESTING {
            let message = format!("with {what}, braces nest deeper than {MAX_NESTING} levels");
            self.problems.push(Diagnostic::new(span.clone(), message));
        }
    }
}

/// `sequence` with every alias at a stage replaced; [`measure`] has found it in order.
pub(crate) fn substitute(sequence: Sequence, bodies: &Bodies) -> Sequence {
    let mut stages = Vec::with_capacity(sequence.stages.len());
    for stage in sequence.stages {
        match stage {
            Stage::Call(call) => match bodies.get(&call.name.text) {
                Some(Some(body)) => stages.extend(instance(body, call)),
                _ => stages.push(Stage::Call(call)),
            },
            Stage::Parallel(mut parallel) => {
                let branches = parallel.branches.into_iter();
                parallel.branches = branches.map(|branch| substitute(branch, bodies)).collect();
                stages.push(Stage::Parallel(parallel));
            }
        }
    }
    Sequence {
        stages,
        span: sequence.span,
    }
}

fn instance(body: &Body, site: Call) -> Vec<Stage> {
    let mut sequence = body.sequence.clone();
    relocate(&mut sequence, &site.span);
    if let Some(limit) = site.limit {
        replace_limit(&mut sequence, limit);
    }
    sequence.stages
}

fn replace_limit(sequence: &mut Sequence, limit: Limit) {
    match sequence.stages.last_mut() {
        Some(Stage::Call(call)) => call.limit = Some(limit),
        Some(Stage::Parallel(parallel)) => parallel.merger.limit = Some(limit),
        None => {}
    }
}

/// Gives everything in `sequence` the place `to`.
fn relocate(sequence: &mut Sequence, to: &Span) {
    sequence.span = to.clone();
    for stage in &mut sequence.stages {
        if let Stage::Parallel(parallel) = stage {
            parallel.span = to.clone();
            parallel
                .branches
                .iter_mut()
                .for_each(|branch| relocate(branch, to));
        }
        for call in own_calls(stage) {
            call.span = to.clone();
            call.name.span = to.clone();
            for name in call.label.iter_mut().chain(&mut call.view) {
                name.span = to.clone();
            }
            if let Some(limit) = &mut call.limit {
                limit.span = to.clone();
            }
        }
    }
}

/// Says of every call in `sequence` that it is written in the definition of `alias`.
pub(crate) fn set_origin(sequence: &mut Sequence, alias: &Arc<str>) {
    for stage in &mut sequence.stages {
        if let Stage::Parallel(parallel) = stage {
            parallel
                .branches
                .iter_mut()
                .for_each(|branch| set_origin(branch, alias));
        }
        for call in own_calls(stage) {
            call.origin = Some(alias.clone());
        }
    }
}

/// The calls of `stage` without those in its branches.
fn own_calls(stage: &mut Stage) -> impl Iterator<Item = &mut Call> {
    let (expander, last) = match stage {
        Stage::Call(call) => (None, call),
        Stage::Parallel(parallel) => (parallel.expander.as_mut(), &mut parallel.merger),
    };
    expander.into_iter().chain([last])
}
