//! `ext bench`: what a fusion in a component costs beside the native one, and what a component
//! that asks the host costs and weighs.
//!
//! Medians of the time of one call on one thread; rounds of all candidates alternate, so that
//! whatever else the machine does falls on all of them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::FutureExt;
use routir_core::{
    BoxFuture, FuseEngine, Host, HostDocuments, HostScore, HostSearch, Ranking, RequestContext,
    Result, Role, Roles,
};
use serde::Serialize;
use serde_json::json;

use super::args::{Bench, Format};
use super::canned::CannedHost;
use super::case::{Case, List};
use super::local::Local;
use crate::failure::{from_core, wrong};
use crate::out;

/// The shapes that are timed: lists and hits in each.
const SHAPES: [(usize, usize); 3] = [(2, 100), (2, 1000), (4, 1000)];
/// Rounds in which candidates take turns.
const ROUNDS: u32 = 10;
/// Instances that are held at once to weigh them: of the 64 that there are, one owner gets 48.
const HELD: usize = 40;

/// What was seen of one component.
#[derive(Serialize)]
struct Seen {
    component: String,
    size_bytes: u64,
    /// Checks, compilation and the manifest, with nothing compiled before.
    admit_ms: f64,
    /// The same with the compiled code found on disk.
    admit_again_ms: f64,
    /// Of a fusion: times by shape, in microseconds; what `native` and the ratios say is of the same
    /// rounds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Times>,
    /// Of a searcher or decomposer: one call that asks canned services, and its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    asking: Option<Asking>,
}

#[derive(Serialize)]
struct Asking {
    host_calls: u32,
    fresh_us: f64,
    reused_us: f64,
    /// Resident memory of an instance that waits for the host, in KiB.
    waiting_kib: u64,
}

#[derive(Serialize)]
struct Times {
    lists: usize,
    hits: usize,
    native_us: f64,
    fresh_us: f64,
    reused_us: f64,
    fresh_over_native: f64,
    reused_over_native: f64,
}

/// Times every component.
pub(super) async fn run(args: &Bench) -> anyhow::Result<()> {
    let native = routir_engines::builtin_mergers().into_iter();
    let native = native
        .filter(|(name, _)| *name == "RRF")
        .find_map(|(_, roles)| roles.fuse)
        .context("there is no native RRF")?;
    let mut seen = Vec::new();
    for path in &args.components {
        seen.push(one(path, args, &native).await?);
    }
    let text = match args.format {
        Format::Json => format!("{:#}\n", json!(seen)),
        Format::Text => as_text(&seen),
    };
    Ok(out::print(&text)?)
}

async fn one(path: &Path, args: &Bench, native: &Arc<dyn FuseEngine>) -> anyhow::Result<Seen> {
    let started = Instant::now();
    let local = Local::admit(path, &args.allowed, false).await?;
    let admit = started.elapsed();
    let started = Instant::now();
    local.admit_again(path).await?;
    let admit_again = started.elapsed();
    let plays = local.admitted.component.role_list();
    let mut seen = Seen {
        component: path.display().to_string(),
        size_bytes: local.admitted.component.size(),
        admit_ms: admit.as_secs_f64() * 1e3,
        admit_again_ms: admit_again.as_secs_f64() * 1e3,
        calls: Vec::new(),
        asking: None,
    };
    if plays.contains(&Role::Fuse) {
        seen.calls = fusions(&local, args.seconds, native).await?;
    } else if let Some(role) = plays
        .iter()
        .find(|role| matches!(role, Role::Search | Role::DecomposeQuery))
    {
        seen.asking = Some(asking(&local, *role, args).await?);
    } else {
        return Err(wrong(format!(
            "{}: only fusions, searchers and decomposers are timed",
            path.display()
        )));
    }
    Ok(seen)
}

async fn fusions(
    local: &Local,
    seconds: f64,
    native: &Arc<dyn FuseEngine>,
) -> anyhow::Result<Vec<Times>> {
    let host: Arc<dyn Host> = Arc::new(CannedHost(Arc::default()));
    let engine = |trusted| {
        let roles = local.roles(Arc::clone(&host), trusted).0;
        roles.fuse.context("a fusion without its role")
    };
    let (fresh, reused) = (engine(false)?, engine(true)?);
    let mut calls = Vec::new();
    for (lists, hits) in SHAPES {
        let case = case(lists, hits);
        let case = &case;
        let call = |engine: &Arc<dyn FuseEngine>| {
            let engine = Arc::clone(engine);
            move || {
                let (engine, request) = (Arc::clone(&engine), case.fuse());
                async move { engine.fuse(request?).await.map(drop).map_err(from_core) }.boxed()
            }
        };
        let candidates = [call(native), call(&fresh), call(&reused)];
        let [native_us, fresh_us, reused_us] = medians(candidates, seconds).await?;
        calls.push(Times {
            lists,
            hits,
            native_us,
            fresh_us,
            reused_us,
            fresh_over_native: fresh_us / native_us,
            reused_over_native: reused_us / native_us,
        });
    }
    Ok(calls)
}

async fn asking(local: &Local, role: Role, args: &Bench) -> anyhow::Result<Asking> {
    let case = Arc::new(Case {
        query: "what is a query".to_owned(),
        limit: Some(10),
        params: args.params.clone().unwrap_or_default(),
        ..super::check::world()
    });
    let host: Arc<dyn Host> = Arc::new(CannedHost(Arc::clone(&case)));
    let (fresh, used) = local.roles(Arc::clone(&host), false);
    let (reused, _) = local.roles(host, true);
    let case = &case;
    let call = |roles: Roles| {
        move || {
            let (roles, case) = (roles.clone(), Arc::clone(case));
            async move {
                let answer = super::run::call(&roles, role, &case).await?;
                answer.map(drop).map_err(from_core)
            }
            .boxed()
        }
    };
    let [fresh_us, reused_us] = medians([call(fresh), call(reused)], args.seconds).await?;
    Ok(Asking {
        host_calls: used.latest().map_or(0, |used| used.host_calls),
        fresh_us,
        reused_us,
        waiting_kib: weigh(local, role, case).await?,
    })
}

/// Resident memory of an instance that waits for the host, in KiB.
async fn weigh(local: &Local, role: Role, case: &Arc<Case>) -> anyhow::Result<u64> {
    let silent = Arc::new(SilentHost::default());
    let (roles, _) = local.roles(Arc::clone(&silent) as Arc<dyn Host>, false);
    let before = resident_kib()?;
    let calls = (0..HELD).map(|_| super::run::call(&roles, role, case));
    let calls = futures_util::future::join_all(calls);
    let waiting = async {
        while silent.asked.load(Ordering::Relaxed) < HELD {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = calls => {
            let failed = ended.into_iter().find_map(|call| match call {
                Ok(answer) => answer.err().map(from_core),
                Err(error) => Some(error),
            });
            return Err(failed.unwrap_or_else(|| {
                anyhow::anyhow!("the component does not ask the host for anything")
            }));
        }
        () = waiting => {}
    }
    Ok(resident_kib()?.saturating_sub(before) / HELD as u64)
}

/// What of this process lies in memory, in KiB.
fn resident_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read memory use")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    Ok(figure.context("no VmRSS in /proc/self/status")?.parse()?)
}

/// A host that is asked and never answers.
#[derive(Default)]
struct SilentHost {
    asked: AtomicUsize,
}

impl SilentHost {
    fn silence<T: Send + 'static>(&self) -> BoxFuture<'static, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

impl Host for SilentHost {
    fn search(
        &self,
        _context: Arc<RequestContext>,
        _requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        self.silence()
    }

    fn score(
        &self,
        _context: Arc<RequestContext>,
        _requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        self.silence()
    }

    fn content(
        &self,
        _context: Arc<RequestContext>,
        _documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        self.silence()
    }
}

/// Lists that share half of their documents, with ids as long as those of public collections.
fn case(lists: usize, hits: usize) -> Case {
    let list = |number: usize| List {
        source: format!("service{number}"),
        query: None,
        hits: (0..hits)
            .map(|rank| {
                let id = number * hits / 2 + rank;
                (format!("document-{id:014}"), 1.0 / (rank + 1) as f64)
            })
            .collect(),
    };
    Case {
        query: "a query".to_owned(),
        limit: Some(100),
        lists: (0..lists).map(list).collect(),
        ..Case::default()
    }
}

/// Each candidate's median time of a call, in microseconds.
async fn medians<'a, const N: usize>(
    candidates: [impl Fn() -> BoxFuture<'a, anyhow::Result<()>>; N],
    seconds: f64,
) -> anyhow::Result<[f64; N]> {
    let share = Duration::from_secs_f64(seconds / f64::from(ROUNDS) / N as f64);
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (candidate, times) in candidates.iter().zip(&mut times) {
            let until = Instant::now() + share;
            loop {
                let call = candidate();
                let started = Instant::now();
                call.await?;
                let now = Instant::now();
                times.push(now - started);
                if now >= until {
                    break;
                }
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        median.as_secs_f64() * 1e6
    }))
}

fn as_text(seen: &[Seen]) -> String {
    let mut text = String::new();
    for seen in seen {
        let _ = writeln!(
            text,
            "{}: {} bytes; admitted in {:.0} ms, again in {:.1} ms",
            seen.component, seen.size_bytes, seen.admit_ms, seen.admit_again_ms
        );
        if let Some(asking) = &seen.asking {
            let _ = writeln!(
                text,
                "  a call with {} host calls: fresh {:.1} us, reused {:.1} us; {} KiB while it waits",
                asking.host_calls, asking.fresh_us, asking.reused_us, asking.waiting_kib
            );
        }
        for times in &seen.calls {
            let _ = writeln!(
                text,
                "  {} x {:<5} native {:>8.1} us   fresh {:>8.1} us ({:.2}x)   reused {:>8.1} us \
                 ({:.2}x)",
                times.lists,
                times.hits,
                times.native_us,
                times.fresh_us,
                times.fresh_over_native,
                times.reused_us,
                times.reused_over_native
            );
        }
    }
    text
}
