//! `ext check`: whether a component would be admitted, keeps the laws of its roles, and what its
//! calls cost.

use std::fmt::Write as _;
use std::sync::Arc;

use routir_core::{Error, ErrorCode, Role};
use routir_sandbox::CallReport;
use serde::Serialize;
use serde_json::json;

use super::args::{Check, Format};
use super::canned::CannedHost;
use super::case::{Canned, Case, List};
use super::local::Local;
use crate::failure::{Told, Wrong};
use crate::out;

/// One law of a role, and how the component keeps it.
#[derive(Serialize)]
struct Law {
    role: Role,
    law: &'static str,
    kept: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<Figures>,
}

/// What one call used.
#[derive(Serialize)]
struct Figures {
    took_us: u128,
    memory_bytes: usize,
    host_calls: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
}

impl From<CallReport> for Figures {
    fn from(report: CallReport) -> Self {
        Self {
            took_us: report.took.as_micros(),
            memory_bytes: report.memory_bytes,
            host_calls: report.host_calls,
            fuel: report.fuel,
        }
    }
}

/// Checks one component; a broken law is exit status 1, a component that is refused is 2.
pub(super) async fn run(args: &Check) -> anyhow::Result<()> {
    let local = match Local::admit(&args.component, &args.allowed, true).await {
        Ok(local) => local,
        Err(error) if args.format == Format::Json && error.is::<Wrong>() => {
            let told = json!({"admitted": false, "problem": format!("{error:#}")});
            out::print(&format!("{told:#}\n"))?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let mut laws = Vec::new();
    for role in local.admitted.component.role_list() {
        check_role(&local, *role, &mut laws).await?;
    }
    let text = match args.format {
        Format::Text => as_text(&local, &laws),
        Format::Json => as_json(&local, &laws),
    };
    out::print(&text)?;
    match laws.iter().filter(|law| !law.kept).count() {
        0 => Ok(()),
        _ => Err(Told.into()),
    }
}

/// The calls that try `role`, each with the law that it stands for.
fn cases(role: Role) -> Vec<(&'static str, Case)> {
    let hits = |ids: &mut dyn Iterator<Item = usize>| -> Vec<(String, f64)> {
        ids.enumerate()
            .map(|(rank, id)| (format!("document-{id:06}"), 1.0 / (rank + 1) as f64))
            .collect()
    };
    let list = |source: &str, ids: &mut dyn Iterator<Item = usize>| List {
        source: source.to_owned(),
        query: None,
        hits: hits(ids),
    };
    let fusion = |lists: Vec<List>| Case {
        query: "a query".to_owned(),
        lists,
        ..Case::default()
    };
    let query = |query: &str| Case {
        query: query.to_owned(),
        limit: Some(10),
        ..world()
    };
    match role {
        Role::Fuse => vec![
            ("one list", fusion(vec![list("a", &mut (0..5))])),
            (
                "an empty list beside others",
                fusion(vec![list("a", &mut (0..5)), list("b", &mut (0..0))]),
            ),
            (
                "equal scores",
                fusion(vec![List {
                    source: "a".to_owned(),
                    query: None,
                    hits: (0..5).map(|id| (format!("d{id}"), 1.0)).collect(),
                }]),
            ),
            (
                "2 x 100",
                fusion(vec![list("a", &mut (0..100)), list("b", &mut (50..150))]),
            ),
            (
                "2 x 1000",
                fusion(vec![list("a", &mut (0..1000)), list("b", &mut (500..1500))]),
            ),
        ],
        Role::Score => vec![
            (
                "one passage",
                Case {
                    passages: vec!["a passage".to_owned()],
                    ..query("a query")
                },
            ),
            (
                "50 passages, one of them empty",
                Case {
                    passages: (0..50).map(|n| "word ".repeat(n)).collect(),
                    ..query("a query")
                },
            ),
        ],
        Role::Search | Role::DecomposeQuery => vec![
            ("a query", query("what is a query")),
            ("letters beyond ASCII", query("été 東京 🜚")),
            ("a long query", query(&"word ".repeat(1000))),
        ],
    }
}

/// Services that answer to any name that a template uses would hide mistakes, so a case's world
/// has one of each kind and the rest is unknown.
pub(super) fn world() -> Case {
    let hits = (0..10).map(|n| (format!("d{n}"), 10.0 - f64::from(n)));
    let canned = Canned {
        search: [("*".to_owned(), hits.collect())].into(),
        score: [("*".to_owned(), 0.5)].into(),
    };
    let names = ["bm25", "dense", "reranker"];
    let texts = (0..10).map(|n| (format!("d{n}"), format!("the text of document {n}")));
    Case {
        services: names.map(|name| (name.to_owned(), canned.clone())).into(),
        collections: [("docs".to_owned(), texts.collect())].into(),
        ..Case::default()
    }
}

async fn check_role(local: &Local, role: Role, laws: &mut Vec<Law>) -> anyhow::Result<()> {
    for (law, case) in cases(role) {
        let case = Arc::new(case);
        let (roles, used) = local.roles(Arc::new(CannedHost(Arc::clone(&case))), false);
        let first = super::run::call(&roles, role, &case).await?;
        let figures = used.latest();
        let second = super::run::call(&roles, role, &case).await?;
        laws.push(judge(role, law, &first, &second, figures));
    }
    Ok(())
}

/// A declared error is an answer; a failure of the extension is not. Two calls in fresh instances
/// must agree.
fn judge(
    role: Role,
    law: &'static str,
    first: &Result<String, Error>,
    second: &Result<String, Error>,
    used: Option<CallReport>,
) -> Law {
    let (kept, detail) = match (first, second) {
        (Ok(a), Ok(b)) if a == b => (true, String::new()),
        (Ok(_), Ok(_)) => (false, "two calls gave different answers".to_owned()),
        (Err(error), _) | (_, Err(error)) => {
            let own = error.code() == ErrorCode::EngineFailure;
            (!own, format!("answered an error: {}", error.message()))
        }
    };
    Law {
        role,
        law,
        kept,
        detail,
        used: used.map(Figures::from),
    }
}

fn as_text(local: &Local, laws: &[Law]) -> String {
    let component = &local.admitted.component;
    let manifest = component.manifest();
    let roles: Vec<_> = component.role_list().iter().map(|r| r.name()).collect();
    let mut text = format!(
        "{} {}: {}\n  roles: {}\n",
        manifest.name,
        manifest.version,
        manifest.description,
        roles.join(", ")
    );
    for check in &local.admitted.checks {
        let _ = writeln!(text, "  ok   {:<12} {}", check.name, check.detail);
    }
    for law in laws {
        let sign = if law.kept { "ok  " } else { "FAIL" };
        let _ = write!(text, "  {sign} {}: {}", law.role, law.law);
        if let Some(used) = &law.used {
            let memory = used.memory_bytes as f64 / f64::from(1 << 20);
            let _ = write!(text, "; {} us, {memory:.1} MiB", used.took_us);
            if let Some(fuel) = used.fuel {
                let _ = write!(text, ", {fuel} instructions");
            }
            if used.host_calls > 0 {
                let _ = write!(text, ", {} host calls", used.host_calls);
            }
        }
        if !law.detail.is_empty() {
            let _ = write!(text, "; {}", law.detail);
        }
        text.push('\n');
    }
    text
}

fn as_json(local: &Local, laws: &[Law]) -> String {
    let component = &local.admitted.component;
    let manifest = component.manifest();
    let told = json!({
        "admitted": true,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "roles": component.role_list(),
        "params": manifest.params,
        "defaults": manifest.defaults.as_map(),
        "sha256": component.sha256(),
        "size_bytes": component.size(),
        "checks": local.admitted.checks,
        "laws": laws,
    });
    format!("{told:#}\n")
}
