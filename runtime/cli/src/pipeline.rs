//! What the commands do to a pipeline before it runs.

use std::sync::Arc;

use routir_core::{Catalog, ErrorCode};
use routir_dsl::{Limit, Stage};
use routir_exec::{PipelineCall, PlanReport, Runtime};

use crate::failure::from_core;

/// `source` with `limit` behind its last stage, unless a limit stands there already. What does not
/// parse is left as it is, for the runtime to complain about.
pub(crate) fn with_limit(source: &str, limit: usize) -> String {
    let Ok(mut tree) = routir_dsl::parse(source) else {
        return source.to_owned();
    };
    let last = match tree.stages.last_mut() {
        Some(Stage::Call(call)) => call,
        Some(Stage::Parallel(parallel)) => &mut parallel.merger,
        None => return source.to_owned(),
    };
    if last.limit.is_some() {
        return source.to_owned();
    }
    last.limit = Some(Limit {
        value: limit,
        span: 0..0,
    });
    tree.to_string()
}

/// The collection that is meant: the one that is named, else the only one.
pub(crate) fn collection(named: Option<String>, catalog: &Catalog) -> Option<String> {
    named.or_else(|| {
        let mut names = catalog.collections.keys();
        names
            .next()
            .filter(|_| names.next().is_none())
            .map(ToString::to_string)
    })
}

/// The plan of a pipeline.
///
/// # Errors
/// Everything wrong with the pipeline; exit status 2.
pub(crate) fn plan(
    runtime: &Runtime,
    pipeline: &str,
    collection: Option<&str>,
) -> anyhow::Result<PlanReport> {
    let call = PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from(""),
        collection: collection.map(str::to_owned),
        ..PipelineCall::default()
    };
    runtime.explain(&call).map_err(|error| match error.code() {
        ErrorCode::TooLarge => crate::failure::wrong(error.message()),
        _ => from_core(error),
    })
}

#[cfg(test)]
mod tests {
    use super::with_limit;

    #[test]
    fn a_limit_stands_behind_the_last_stage_unless_one_does() {
        for (source, expected) in [
            ("bm25", "bm25%7"),
            ("bm25%20", "bm25%20"),
            ("bm25%20 >> rr@title", "bm25%20 >> rr@title%7"),
            ("{a, b%3}RRF", "{a, b%3}RRF%7"),
            ("{a,b}RRF%2", "{a,b}RRF%2"),
            ("not ) a pipeline", "not ) a pipeline"),
        ] {
            assert_eq!(with_limit(source, 7), expected);
        }
    }
}
