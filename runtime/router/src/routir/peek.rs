//! What a RoutIR request needs of the worker that answers it.

use std::borrow::Cow;
use std::sync::Arc;

use routir_core::Role;
use routir_dsl::{Position, Sequence, Stage};
use serde::Deserialize;

use crate::spread::Known;
use crate::want::Need;

/// The services and collections of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    services: Vec<(Role, Arc<str>)>,
    collections: Vec<Arc<str>>,
}

impl Names {
    fn service(&mut self, role: Role, name: &Arc<str>) {
        let known = |(of, known): &(Role, Arc<str>)| *of == role && known == name;
        if !self.services.iter().any(known) {
            self.services.push((role, Arc::clone(name)));
        }
    }

    fn into_need(self) -> Need {
        Need::Services {
            services: self.services,
            collections: self.collections,
        }
    }
}

/// What a request over REST needs; `None` for one that the router answers itself: it asks for
/// nothing that a worker has, or is wrong in a way that any server tells alike.
pub(crate) fn rest(path: &str, body: &[u8], known: &Known) -> Option<Need> {
    let role = match path {
        // RoutIR's own servers do not have these paths, so those who can be asked are told apart.
        "/fuse" | "/decompose" | "/contents" if !known.all_ours => return None,
        "/search" | "/query" => Role::Search,
        "/score" => Role::Score,
        "/fuse" => Role::Fuse,
        "/decompose" => Role::DecomposeQuery,
        "/content" | "/contents" => {
            let Collection { collection } = serde_json::from_slice(body).ok()?;
            return content(&collection, known);
        }
        "/pipeline" | "/explain" => {
            let call: Pipeline<'_> = serde_json::from_slice(body).ok()?;
            return pipeline(&call.pipeline, call.collection.as_deref(), known);
        }
        _ => return None,
    };
    let Service { service } = serde_json::from_slice(body).ok()?;
    self::service(role, &service, known)
}

/// What a call of one service needs.
pub(crate) fn service(role: Role, name: &str, known: &Known) -> Option<Need> {
    let (name, _) = known.services.get_key_value(name)?;
    known.plays(role, name).then(|| {
        let mut names = Names::default();
        names.service(role, name);
        names.into_need()
    })
}

/// What a look-up needs.
pub(crate) fn content(collection: &str, known: &Known) -> Option<Need> {
    let name = known.collections.get(collection)?;
    Some(Need::Services {
        services: Vec::new(),
        collections: vec![Arc::clone(name)],
    })
}

/// What a pipeline needs: every service in its role, the aliases that it is written with, and the
/// collection if a stage reads it.
pub(crate) fn pipeline(source: &str, collection: Option<&str>, known: &Known) -> Option<Need> {
    let tree = routir_dsl::parse(source).ok()?;
    let mut names = Names::default();
    // A worker must know the aliases, since it gets the pipeline as it is written.
    for (position, call) in tree.calls() {
        let name = &call.name.text;
        let alias = known.aliases.get(name).is_some() || known.disputed.contains(name);
        if position == Position::Stage && alias {
            names.service(Role::Search, name);
        }
    }
    let tree = known.aliases.expand(tree).ok()?;
    let mut reads = false;
    sequence(&tree, false, known, &mut names, &mut reads)?;
    if reads {
        let collection = known.collections.get(collection?)?;
        names.collections.push(Arc::clone(collection));
    }
    Some(names.into_need())
}

/// Collects what a sequence needs; `None` when no worker has a service in its role. `ranked` says
/// whether something stands before it.
fn sequence(
    sequence: &Sequence,
    ranked: bool,
    known: &Known,
    names: &mut Names,
    reads: &mut bool,
) -> Option<()> {
    let mut ranked = ranked;
    for stage in &sequence.stages {
        match stage {
            Stage::Call(call) if known.disputed.contains(&call.name.text) => {
                // What it stands for is the worker's to say; it may read documents.
                *reads |= ranked;
            }
            Stage::Call(call) => {
                let role = if ranked { Role::Score } else { Role::Search };
                *reads |= ranked;
                needed(role, &call.name.text, known, names)?;
            }
            Stage::Parallel(parallel) => {
                if let Some(expander) = &parallel.expander {
                    needed(Role::DecomposeQuery, &expander.name.text, known, names)?;
                }
                for branch in &parallel.branches {
                    self::sequence(branch, ranked, known, names, reads)?;
                }
                needed(Role::Fuse, &parallel.merger.name.text, known, names)?;
            }
        }
        ranked = true;
    }
    Some(())
}

fn needed(role: Role, name: &Arc<str>, known: &Known, names: &mut Names) -> Option<()> {
    known.plays(role, name).then(|| names.service(role, name))
}

#[derive(Deserialize)]
struct Service<'a> {
    #[serde(borrow)]
    service: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow)]
    collection: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Pipeline<'a> {
    #[serde(borrow)]
    pipeline: Cow<'a, str>,
    #[serde(borrow, default)]
    collection: Option<Cow<'a, str>>,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use routir_dsl::Aliases;

    use super::*;

    fn known() -> Known {
        let all: [(&str, &[Role]); 6] = [
            ("s", &[Role::Search, Role::Score]),
            ("t", &[Role::Search]),
            ("r", &[Role::Score]),
            ("e", &[Role::DecomposeQuery]),
            ("RRF", &[Role::Fuse]),
            ("two", &[Role::Search]),
        ];
        let service = |(name, roles): &(&str, &[Role])| {
            (
                Arc::from(*name),
                roles.iter().copied().collect::<BTreeSet<_>>(),
            )
        };
        Known {
            services: all.iter().map(service).collect::<BTreeMap<_, _>>(),
            collections: BTreeSet::from([Arc::from("docs")]),
            aliases: Aliases::new([("both", "{s, t}RRF%5")], |_| false).unwrap(),
            disputed: BTreeSet::from([Arc::from("two")]),
            all_ours: true,
        }
    }

    fn needs(need: Option<Need>) -> Option<String> {
        let Some(Need::Services {
            services,
            collections,
        }) = need
        else {
            return None;
        };
        let services = services.iter().map(|(role, name)| format!("{role} {name}"));
        let collections = collections.iter().map(|name| format!("content {name}"));
        Some(services.chain(collections).collect::<Vec<_>>().join(", "))
    }

    fn of(source: &str, collection: Option<&str>) -> Option<String> {
        needs(pipeline(source, collection, &known()))
    }

    #[test]
    fn stages_need_services_in_their_roles() {
        let all = "decompose_query e, search s, search t, fuse RRF, score r, content docs";
        assert_eq!(of("e{s, t}RRF >> r%5", Some("docs")).unwrap(), all);
        assert_eq!(
            of("s >> s", Some("docs")).unwrap(),
            "search s, score s, content docs"
        );
        // A branch after a stage reranks.
        let branches = of("t >> {r, s}RRF", Some("docs")).unwrap();
        assert_eq!(
            branches,
            "search t, score r, score s, fuse RRF, content docs"
        );
        // Nothing reads the collection.
        assert_eq!(
            of("{s, t}RRF", Some("none")).unwrap(),
            "search s, search t, fuse RRF"
        );
    }

    #[test]
    fn what_any_server_refuses_alike_is_answered_here() {
        for (source, collection) in [
            ("s >>", None),
            ("x", None),
            ("r", None),
            ("s >> t", Some("docs")),
            ("s >> r", None),
            ("s >> r", Some("none")),
            ("{s, t}r", None),
        ] {
            assert_eq!(of(source, collection), None, "{source}");
        }
    }

    #[test]
    fn an_alias_needs_itself_and_what_it_stands_for() {
        let both = "search both, search s, search t, fuse RRF, score r, content docs";
        assert_eq!(of("both >> r", Some("docs")).unwrap(), both);
        // One that means several things goes to whoever has it, whatever it needs.
        assert_eq!(of("two", None).unwrap(), "search two");
    }

    #[test]
    fn bodies_are_read_no_further_than_needed() {
        let all = known();
        let read = |path: &str, body: &str| needs(rest(path, body.as_bytes(), &all));
        let search = r#"{"query":7,"service":"s","x":[{}],"limit":-1}"#;
        assert_eq!(read("/search", search).unwrap(), "search s");
        assert_eq!(read("/score", r#"{"service":"r"}"#).unwrap(), "score r");
        let content = r#"{"collection":"d\u006fcs","ids":[1]}"#;
        assert_eq!(read("/contents", content).unwrap(), "content docs");
        let call = r#"{"pipeline":"s >> r","collection":"docs"}"#;
        let both = "search s, score r, content docs";
        assert_eq!(read("/explain", call).unwrap(), both);
        assert!(read("/fuse", r#"{"service":"RRF"}"#).is_some());
        for (path, body) in [
            ("/search", r#"{"service":"r"}"#),
            ("/search", r#"{"service":["s"]}"#),
            ("/search", "[]"),
            ("/pipeline", r#"{"pipeline":"s","collection":3}"#),
            ("/pipeline", ""),
            ("/avail", "{}"),
        ] {
            assert_eq!(read(path, body), None, "{path} {body}");
        }
        // Not every worker has the paths that are ours.
        let known = Known {
            all_ours: false,
            ..known()
        };
        assert!(rest("/fuse", br#"{"service":"RRF"}"#, &known).is_none());
        assert!(rest("/search", search.as_bytes(), &known).is_some());
    }
}
