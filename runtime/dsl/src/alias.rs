//! Configured aliases: names for fragments of the language, checked once at start.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::expand::{Bodies, Body, measure, set_origin, substitute};
use crate::{Diagnostic, MAX_DIAGNOSTICS, Position, Sequence, is_name, parse, render};

/// Aliases that are fit for use: each parses, none leads back to itself, none hides a service,
/// and none is too large once expanded.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    bodies: Bodies,
}

/// Why an alias cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AliasProblem {
    /// The alias could not be written in a pipeline.
    #[error(
        "alias `{}` is not a name; a name is a letter, then letters, digits, `_` or `-` (ASCII only)",
        alias.escape_debug()
    )]
    NotAName {
        /// The alias.
        alias: Arc<str>,
    },
    /// A service has the same name.
    #[error("alias `{alias}` has the name of a service; rename one of them")]
    ShadowsService {
        /// The alias.
        alias: Arc<str>,
    },
    /// The same name is defined twice.
    #[error("alias `{alias}` is defined twice")]
    Duplicate {
        /// The alias.
        alias: Arc<str>,
    },
    /// The alias leads back to itself.
    #[error("aliases lead back to themselves: {}", path.join(" -> "))]
    Cycle {
        /// The way round, the first alias again at the end.
        path: Vec<Arc<str>>,
    },
    /// Its definition is wrong; what [`render`] makes of the diagnostics follows the first line.
    #[error("alias `{alias}` is wrong:\n{}", render(source_text, diagnostics).trim_end())]
    Definition {
        /// The alias.
        alias: Arc<str>,
        /// Its definition as configured.
        source_text: Arc<str>,
        /// What is wrong with it, with places in the definition.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Aliases {
    /// Checks the definitions, each a name and a fragment of the language. `is_service` tells the
    /// names that aliases must leave alone.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn new<N: AsRef<str>, S: AsRef<str>>(
        definitions: impl IntoIterator<Item = (N, S)>,
        is_service: impl Fn(&str) -> bool,
    ) -> Result<Self, Vec<AliasProblem>> {
        let mut problems = Vec::new();
        let mut parsed: BTreeMap<Arc<str>, (Arc<str>, Sequence)> = BTreeMap::new();
        for (alias, source) in definitions {
            let alias: Arc<str> = Arc::from(alias.as_ref());
            let source_text: Arc<str> = Arc::from(source.as_ref());
            if !is_name(&alias) {
                problems.push(AliasProblem::NotAName {
                    alias: alias.clone(),
                });
            } else if is_service(&alias) {
                problems.push(AliasProblem::ShadowsService {
                    alias: alias.clone(),
                });
            }
            match parse(&source_text) {
                Ok(_) if parsed.contains_key(&alias) => {
                    problems.push(AliasProblem::Duplicate { alias });
                }
                Ok(mut body) => {
                    set_origin(&mut body, &alias);
                    parsed.insert(alias, (source_text, body));
                }
                Err(diagnostics) => {
                    problems.push(AliasProblem::Definition {
                        alias,
                        source_text,
                        diagnostics,
                    });
                }
            }
        }

        let (order, cycles) = dependencies_first(&parsed);
        problems.extend(cycles.into_iter().map(|path| AliasProblem::Cycle { path }));

        let mut bodies: Bodies = parsed.keys().map(|alias| (alias.clone(), None)).collect();
        for alias in order {
            let Some((source_text, body)) = parsed.remove(&alias) else {
                continue;
            };
            match measure(&body, &bodies) {
                Ok(Some(size)) => {
                    let sequence = substitute(body, &bodies);
                    bodies.insert(alias, Some(Body { sequence, size }));
                }
                // It needs one that is reported already.
                Ok(None) => {}
                Err(diagnostics) => {
                    problems.push(AliasProblem::Definition {
                        alias,
                        source_text,
                        diagnostics,
                    });
                }
            }
        }
        if problems.is_empty() {
            Ok(Self { bodies })
        } else {
            Err(problems)
        }
    }

    /// Puts the definitions in place of the aliases that `pipeline` names.
    ///
    /// The definition's stages take the place of the alias among its neighbours; a limit at the
    /// alias replaces that of the definition's last stage, or of the merger if that stage is a
    /// parallel. What came from a definition has the alias's place in the pipeline as its span,
    /// and the alias in whose definition it is written as its origin.
    ///
    /// # Errors
    /// An alias as merger or expander, a label or a view on an alias, or an expansion beyond
    /// [`crate::MAX_CALLS`] or [`crate::MAX_NESTING`].
    pub fn expand(&self, pipeline: Sequence) -> Result<Sequence, Vec<Diagnostic>> {
        measure(&pipeline, &self.bodies)?;
        Ok(substitute(pipeline, &self.bodies))
    }

    /// Those aliases that `keep` keeps. Their definitions stay as they are: what they need of the
    /// others is in them already.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.bodies.iter().filter(|(alias, _)| keep(alias));
        Self {
            bodies: kept
                .map(|(alias, body)| (Arc::clone(alias), body.clone()))
                .collect(),
        }
    }

    /// The expanded definition of `alias`, its spans in that definition.
    #[must_use]
    pub fn get(&self, alias: &str) -> Option<&Sequence> {
        self.bodies.get(alias)?.as_ref().map(|body| &body.sequence)
    }
}

/// The aliases in an order in which each comes after those that it needs, without those that
/// never get there; and the cycles.
fn dependencies_first(
    parsed: &BTreeMap<Arc<str>, (Arc<str>, Sequence)>,
) -> (Vec<Arc<str>>, Vec<Vec<Arc<str>>>) {
    let needs = |alias: &Arc<str>| -> Vec<Arc<str>> {
        let calls = parsed
            .get(alias)
            .into_iter()
            .flat_map(|(_, body)| body.calls());
        let stages = calls.filter(|(position, _)| *position == Position::Stage);
        let names = stages.map(|(_, call)| call.name.text.clone());
        names.filter(|name| parsed.contains_key(name)).collect()
    };
    let (mut order, mut cycles) = (Vec::new(), Vec::new());
    // True once everything that the alias needs is in order.
    let mut begun: BTreeMap<Arc<str>, bool> = BTreeMap::new();
    for root in parsed.keys() {
        if begun.contains_key(root) {
            continue;
        }
        // A chain of aliases may be as long as the configuration, so the path is kept by hand.
        let mut path = vec![(root.clone(), needs(root).into_iter())];
        begun.insert(root.clone(), false);
        while let Some((alias, rest)) = path.last_mut() {
            let Some(next) = rest.next() else {
                begun.insert(alias.clone(), true);
                order.push(alias.clone());
                path.pop();
                continue;
            };
            match begun.get(&next) {
                Some(false) if cycles.len() < MAX_DIAGNOSTICS => {
                    let names = path.iter().map(|(alias, _)| alias);
                    let mut cycle: Vec<_> =
                        names.skip_while(|alias| **alias != next).cloned().collect();
                    cycle.push(next);
                    cycles.push(cycle);
                }
                Some(_) => {}
                None => {
                    begun.insert(next.clone(), false);
                    let needed = needs(&next).into_iter();
                    path.push((next, needed));
                }
            }
        }
    }
    (order, cycles)
}
