//! The reciprocal rank fusion of every language against the native one, on the golden vectors: the
//! same documents, the same scores to the last bit, the same refusals.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::sync::Arc;

use routir_core::{
    ErrorCode, FuseEngine, FuseRequest, FuseSource, Hit, Params, Ranking, RequestContext, Result,
};
use routir_fusion::Method;
use serde_json::{Value, json};

/// One case of `tests/golden/fusion.json`.
struct Case {
    name: String,
    method: Method,
    params: Params,
    rankings: Vec<Arc<Ranking>>,
    branches: Option<usize>,
    limit: Option<usize>,
}

/// All cases of reciprocal rank fusion in which there is something to fuse: a guest is not asked
/// about nothing.
fn cases() -> Vec<Case> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/fusion.json"
    );
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap().iter().map(read);
    cases
        .filter(|case| matches!(case.method, Method::Rrf | Method::WeightedRrf))
        .filter(|case| case.rankings.iter().any(|ranking| !ranking.is_empty()))
        .collect()
}

fn read(case: &Value) -> Case {
    let method = Method::by_name(case["method"].as_str().unwrap()).unwrap();
    let mut params = case["params"].as_object().unwrap().clone();
    if method == Method::WeightedRrf {
        // The guests' own default is that of RRF.
        params.entry("rrf_k").or_insert(json!(60));
    }
    let hit = |hit: &Value| Hit::new(hit[0].as_str().unwrap(), hit[1].as_f64().unwrap());
    let ranking = |hits: &Value| {
        let hits = hits.as_array().unwrap().iter().map(hit).collect();
        Arc::new(Ranking::from_hits(hits).unwrap())
    };
    let count = |name: &str| case[name].as_u64().map(|n| usize::try_from(n).unwrap());
    Case {
        name: case["name"].as_str().unwrap().to_owned(),
        method,
        params: params.into(),
        rankings: case["rankings"]
            .as_array()
            .unwrap()
            .iter()
            .map(ranking)
            .collect(),
        branches: count("branches"),
        limit: count("limit"),
    }
}

/// What the stage does: parameters are checked against the manifest, then the engine fuses.
async fn fuse(engine: &dyn FuseEngine, case: &Case) -> Result<Ranking> {
    let problems = engine.params().check(&case.params);
    if !problems.is_empty() {
        return Err(routir_core::Error::invalid(problems.join("; ")));
    }
    let each = case.rankings.len() / case.branches.unwrap_or(case.rankings.len());
    let sources = (0..case.rankings.len()).map(|list| FuseSource {
        stage: format!("branch{}", list / each).into(),
        query: format!("sub-query {}", list % each).into(),
    });
    let request = FuseRequest {
        query: "a query".into(),
        rankings: case.rankings.clone(),
        sources: sources.collect(),
        sub_queries: case
            .branches
            .map(|_| (0..each).map(|n| format!("sub-query {n}").into()).collect()),
        limit: case.limit,
        params: case.params.clone(),
        context: Arc::new(RequestContext::new("conformance")),
    };
    engine.fuse(request).await
}

async fn conforms(name: &str) {
    let runtime = Arc::default();
    let Some(roles) = common::roles(name, runtime, Value::Null).await else {
        return;
    };
    let engine = roles.fuse.unwrap();
    for case in cases() {
        let native = case.method.fuse(
            &case.rankings,
            case.branches.is_some(),
            case.limit,
            &case.params,
        );
        let guest = fuse(engine.as_ref(), &case).await;
        match (native, guest) {
            (Ok(native), Ok(guest)) => assert_eq!(bits(&guest), bits(&native), "{}", case.name),
            (Err(native), Err(guest)) => {
                assert_eq!(guest.code(), native.code(), "{}: {guest}", case.name);
                assert_eq!(guest.code(), ErrorCode::InvalidArgument);
            }
            (native, guest) => panic!("{}: {guest:?}\nnative {native:?}", case.name),
        }
    }
}

fn bits(ranking: &Ranking) -> Vec<(&str, u64)> {
    let hits = ranking.hits().iter();
    hits.map(|hit| (hit.doc.as_str(), hit.score.to_bits()))
        .collect()
}

macro_rules! conformance {
    ($($test:ident: $guest:literal),* $(,)?) => {$(
        #[tokio::test]
        async fn $test() {
            conforms($guest).await;
        }
    )*};
}

conformance! {
    rust_gives_the_native_result: "rrf-rust",
    c_gives_the_native_result: "rrf-c",
    zig_gives_the_native_result: "rrf-zig",
    go_gives_the_native_result: "rrf-go",
    javascript_gives_the_native_result: "rrf-js",
    typescript_gives_the_native_result: "rrf-ts",
    python_gives_the_native_result: "rrf-python",
}

#[test]
fn there_are_vectors_of_all_kinds() {
    let cases = cases();
    assert!(cases.len() > 25, "{}", cases.len());
    assert!(cases.iter().any(|case| case.branches.is_some()));
    assert!(
        cases
            .iter()
            .any(|case| case.params.get("weights").is_some())
    );
}
