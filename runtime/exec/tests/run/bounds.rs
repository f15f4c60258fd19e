//! What one request may cause.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, Error, ErrorCode, Hit, ParamsSpec,
    Payload, Ranking, Result, Roles, SearchEngine, SearchRequest, ViewKind,
};
use routir_exec::{Runtime, RuntimeSettings};

use super::common::*;

#[tokio::test]
async fn a_request_is_bounded_in_calls_and_sub_queries() {
    let settings = RuntimeSettings {
        max_calls: 5,
        max_sub_queries: 3,
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::builder(settings)
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("three", expander(&["1", "2", "3"])))
        .service(spec("four", expander(&["1", "2", "3", "4"])))
        .build()
        .unwrap();
    assert!(run(&runtime, call("three{a}Sum")).await.is_ok());
    let error = run(&runtime, call("three{a, a%3}Sum")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.message().contains("more stage calls"), "{error}");
    let error = run(&runtime, call("four{a}Sum")).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("`four` made 4 sub-queries; 3 are allowed"),
        "{error}"
    );
    assert!(run(&runtime, call("four%3{a}Sum")).await.is_ok());
}

/// The worst shapes that compile must run on the 2 MiB stack of a worker thread.
#[test]
fn the_deepest_pipeline_runs_on_a_worker_stack() {
    let work = || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio.block_on(async {
            let runtime = builder()
                .service(spec("a", searcher(&Searcher::fixed(&[("a", 1.0)]))))
                .service(spec("rr", scorer(&Scorer::new(1.0))))
                .service(spec("Sum", merger(&Arc::default())))
                .service(spec("exp", expander(&["s"])))
                .collection("docs", Library::new(&[("a", 1)]))
                .build()
                .unwrap();
            let row = format!("a{}", " >> rr".repeat(63));
            assert!(run(&runtime, over_docs(&row)).await.is_ok());
            let nest = format!("{}a >> rr{}", "exp{".repeat(32), "}Sum".repeat(32));
            assert!(run(&runtime, over_docs(&nest)).await.is_ok());
            let too_deep = run(&runtime, over_docs(&format!("{row} >> rr")))
                .await
                .unwrap_err();
            assert!(
                too_deep
                    .message()
                    .contains("65 stages in a row; 64 are allowed"),
                "{too_deep}"
            );
        });
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

/// Documents of a MiB each, and how often each was read.
#[derive(Default)]
struct Tomes(Mutex<HashMap<String, usize>>);

impl ContentSource for Tomes {
    fn info(&self) -> CollectionInfo {
        CollectionInfo {
            views: [(Arc::from("text"), ViewKind::Text)].into(),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        _view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let one = |id: &DocId| {
            *self.0.lock().unwrap().entry(id.to_string()).or_default() += 1;
            Ok(Arc::new(Document {
                id: id.clone(),
                payload: Payload::Text("x".repeat(1 << 20).into()),
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn documents_of_one_call_are_read_once_and_bounded_together() {
    let tomes = Arc::new(Tomes::default());
    let source = Arc::clone(&tomes) as Arc<dyn ContentSource>;
    let runtime = builder().collection("tomes", source).build().unwrap();
    let ask = async |ids: Vec<DocId>| {
        let found = runtime.documents(&context(), "tomes", None, &ids).await;
        let code = |found: Result<_>| found.map(drop).map_err(|error: Error| error.code());
        found.unwrap().into_iter().map(code).collect::<Vec<_>>()
    };
    let same = |count| vec![DocId::from("a"); count];
    assert!(ask(same(64)).await.iter().all(Result::is_ok));
    assert_eq!(tomes.0.lock().unwrap()["a"], 1);
    let too_large = Err(ErrorCode::TooLarge);
    assert!(ask(same(10_000)).await.iter().all(|it| *it == too_large));

    let many = (0..1000).map(|number| DocId::from(format!("d{number}")));
    let found = ask(many.collect()).await;
    assert_eq!(found.iter().filter(|it| it.is_ok()).count(), 64);
    assert!(found[..64].iter().all(Result::is_ok));
    // No more of them were read than could go along, but for those of the last reading.
    assert!(tomes.0.lock().unwrap().len() <= 1 + 2 * 64);
}

/// Finds as many documents as it is asked for, and fewer are the first of more.
struct Endless;

impl SearchEngine for Endless {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        let one = |request: &SearchRequest| {
            let hit = |rank| Hit::new(format!("d{rank}"), -(rank as f64));
            Ranking::from_hits((0..request.limit).map(hit).collect())
        };
        let answers = batch.iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn prefix_stable(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn one_search_with_many_limits_copies_no_more_than_it_may() {
    let roles = Roles {
        search: Some(Arc::new(Endless)),
        ..Roles::default()
    };
    let sum = spec("Sum", merger(&Arc::default()));
    let runtime = builder().service(spec("a", roles)).service(sum);
    let runtime = runtime.build().unwrap();
    let ask = async |branches: usize| {
        let branches: Vec<_> = (0..branches)
            .map(|at| format!("a%{}", 20_000 - at))
            .collect();
        let pipeline = format!("{{{}}}Sum%3", branches.join(", "));
        let answer = runtime.pipeline(call(&pipeline)).await;
        answer.map(|answer| answer.ranking.len())
    };
    assert_eq!(ask(50).await.unwrap(), 3);
    let error = ask(110).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge, "{error}");
}
