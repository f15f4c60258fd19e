//! `ext run`: one call of a component.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context;
use routir_core::{Error, Host, Role, Roles};
use routir_exec::Runtime;
use serde_json::{Value, json};

use super::args::{Format, RoleName, Run};
use super::canned::CannedHost;
use super::case::Case;
use super::local::Local;
use crate::failure::{from_core, wrong};
use crate::progress::Progress;
use crate::wire::{self, Blueprint, Places};
use crate::{out, reactor};

/// Calls the component and tells its answer and what the call used.
pub(super) fn run(args: &Run) -> anyhow::Result<()> {
    let case = Arc::new(read(args)?);
    let reactor = reactor()?;
    let _within = reactor.enter();
    let live = args.config.as_deref().map(|config| live(config, args));
    reactor.block_on(one(args, case, live.transpose()?))
}

async fn one(args: &Run, case: Arc<Case>, live: Option<Runtime>) -> anyhow::Result<()> {
    let local = Local::admit(&args.component, &args.allowed, false).await?;
    let role = role(local.admitted.component.role_list(), args.role)?;
    let host: Arc<dyn Host> = match &live {
        Some(runtime) => runtime.host(),
        None => Arc::new(CannedHost(Arc::clone(&case))),
    };
    let (roles, used) = local.roles(host, false);
    let answer = call(&roles, role, &case).await?.map_err(from_core)?;
    let answer: Value = serde_json::from_str(&answer)?;
    let used = used.latest().unwrap_or_default();
    let text = match args.format {
        Format::Json => {
            let told = json!({
                "role": role,
                "answer": answer,
                "took_us": used.took.as_micros(),
                "memory_bytes": used.memory_bytes,
                "host_calls": used.host_calls,
            });
            format!("{told:#}\n")
        }
        Format::Text => {
            let mut text = as_text(&answer);
            let memory = used.memory_bytes as f64 / f64::from(1 << 20);
            let _ = writeln!(
                text,
                "# {role}: {} us, {memory:.1} MiB, {} host calls",
                used.took.as_micros(),
                used.host_calls
            );
            text
        }
    };
    Ok(out::print(&text)?)
}

fn read(args: &Run) -> anyhow::Result<Case> {
    if args.case.as_os_str() == "-" {
        let case = serde_json::from_reader(std::io::stdin().lock());
        return case.map_err(|error| wrong(format!("stdin: {error}")));
    }
    Case::read(&args.case)
}

/// The runtime of a configuration, opened as for serving.
fn live(config: &str, args: &Run) -> anyhow::Result<Runtime> {
    let loaded = wire::load(config)?;
    let cache_dir = &args.cache.cache_dir;
    let places = Places::borrowed(&loaded, cache_dir)?;
    let built = Blueprint::draw(loaded, places)?.build(cache_dir, &Progress::default())?;
    Ok(built.runtime)
}

/// The role that is meant: the one that is named, else the only one.
fn role(plays: &[Role], named: Option<RoleName>) -> anyhow::Result<Role> {
    let named = named.map(|named| match named {
        RoleName::Fuse => Role::Fuse,
        RoleName::Decompose => Role::DecomposeQuery,
        RoleName::Search => Role::Search,
        RoleName::Score => Role::Score,
    });
    let names: Vec<_> = plays.iter().map(|role| role.name()).collect();
    match (named, plays) {
        (Some(role), _) if plays.contains(&role) => Ok(role),
        (None, [role]) => Ok(*role),
        _ => Err(wrong(format!(
            "the component plays {}; name one of them with --role",
            names.join(", ")
        ))),
    }
}

/// Calls `role` with a case; the answer as JSON.
///
/// # Errors
/// Outside, when the case is no call of the role; inside, the component's own failure.
pub(super) async fn call(
    roles: &Roles,
    role: Role,
    case: &Case,
) -> anyhow::Result<Result<String, Error>> {
    let absent = || anyhow::anyhow!("the component does not play {role}");
    let hits = |ranking: routir_core::Ranking| {
        let hits = ranking.hits().iter();
        hits.map(|hit| json!([hit.doc.as_str(), hit.score]))
            .collect::<Value>()
    };
    let answer = match role {
        Role::Fuse => {
            let engine = roles.fuse.as_ref().with_context(absent)?;
            engine.fuse(case.fuse()?).await.map(hits)
        }
        Role::Search => {
            let engine = roles.search.as_ref().with_context(absent)?;
            only(engine.search(vec![case.search()]).await)?.map(hits)
        }
        Role::Score => {
            let engine = roles.score.as_ref().with_context(absent)?;
            only(engine.score(vec![case.score()]).await)?.map(Value::from)
        }
        Role::DecomposeQuery => {
            let engine = roles.decompose.as_ref().with_context(absent)?;
            let found = only(engine.decompose(vec![case.decompose()]).await)?;
            found.map(|found| found.iter().map(|text| json!(text.as_ref())).collect())
        }
    };
    Ok(answer.map(|answer| answer.to_string()))
}

/// The one answer to one request.
fn only<T>(answers: Vec<T>) -> anyhow::Result<T> {
    answers.into_iter().next().context("no answer")
}

/// One line per hit, score or sub-query.
fn as_text(answer: &Value) -> String {
    let mut text = String::new();
    for (rank, item) in answer.as_array().into_iter().flatten().enumerate() {
        let _ = match item {
            Value::Array(hit) => {
                let [id, score] = hit.as_slice() else {
                    continue;
                };
                writeln!(
                    text,
                    "{}\t{}\t{score}",
                    rank + 1,
                    id.as_str().unwrap_or_default()
                )
            }
            Value::String(query) => writeln!(text, "{query}"),
            other => writeln!(text, "{other}"),
        };
    }
    text
}
