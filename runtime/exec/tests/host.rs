//! What extensions ask of the host: ordinary requests, in their owners' scope, under their callers'
//! deadline and budget.
#![expect(
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::guest::*;
use common::*;
use futures_util::future::join_all;
use routir_core::{
    CallBudget, ErrorCode, Host, HostDocuments, HostPassages, HostScore, HostSearch, Params,
    Ranking, RequestContext, Result,
};
use routir_exec::{Runtime, RuntimeSettings};
use serde_json::json;

fn inside() -> Arc<RequestContext> {
    Arc::new(context().called_by(&Arc::from("outer"), None))
}

fn params(value: serde_json::Value) -> Params {
    let serde_json::Value::Object(map) = value else {
        panic!("arguments are an object")
    };
    map.into()
}

/// One answer per request, as text: the documents, or what went wrong.
async fn asked(host: &dyn Host, requests: Vec<HostSearch>) -> Vec<String> {
    let text = |answer: Result<Arc<Ranking>>| match answer {
        Ok(ranking) => {
            let docs: Vec<_> = ranking.hits().iter().map(|hit| hit.doc.as_str()).collect();
            docs.join(" ")
        }
        Err(error) => format!("{error:?}"),
    };
    let answers = host.search(inside(), requests).await;
    answers.into_iter().map(text).collect()
}

#[tokio::test]
async fn a_host_search_is_a_pipeline_with_a_limit() {
    let found = Searcher::named("a");
    let runtime = builder()
        .service(spec("a", searcher(&found)))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(spec("Sum", merger(&Arc::default())))
        .collection(
            "docs",
            Library::new(&[("a-q-1", 1), ("a-q-2", 2), ("a-q-3", 3)]),
        )
        .alias("fast", "a")
        .build()
        .unwrap();
    let host = runtime.host();
    let rerank = HostSearch {
        collection: Some("docs".to_owned()),
        ..wanted("a%3 >> rr", "q", 2)
    };
    let argued = HostSearch {
        params: params(json!({"subset": "en"})),
        ..wanted("a", "q", 12)
    };
    let requests = vec![
        wanted("a", "q", 2),
        wanted("fast", "p", 1),
        wanted("{a%1, fast%2}Sum", "q", 10),
        rerank,
        wanted("a", "q", 0),
        wanted("a%1", "q", 5),
        wanted("no-such", "q", 5),
        argued,
    ];
    let answers = asked(&*host, requests).await;
    assert_eq!(
        answers[..6],
        [
            "a-q-1 a-q-2",
            "a-p-1",
            "a-q-1 a-q-2",
            "a-q-3 a-q-2",
            "",
            "a-q-1"
        ]
    );
    assert!(
        answers[6].starts_with("unknown_name: no service `no-such`"),
        "{}",
        answers[6]
    );
    // A limit above RoutIR's default of 10 is asked for, not made of what 10 give.
    assert_eq!(answers[7].split(' ').count(), 12);
    let last = found
        .asked
        .lock()
        .unwrap()
        .iter()
        .find(|it| it.limit == 12)
        .cloned()
        .unwrap();
    assert_eq!(last.params.get("subset"), Some(&json!("en")));
    for pipeline in ["fast", "a >> rr", "{a}Sum"] {
        let request = HostSearch {
            params: params(json!({"subset": "en"})),
            ..wanted(pipeline, "q", 1)
        };
        let answer = asked(&*host, vec![request]).await;
        assert!(
            answer[0].contains("arguments go to one service"),
            "{}",
            answer[0]
        );
    }
    let misspelt = HostSearch {
        params: params(json!({"subst": "en"})),
        ..wanted("a", "q", 1)
    };
    assert!(asked(&*host, vec![misspelt]).await[0].contains("did you mean `subset`?"));
}

#[tokio::test]
async fn a_host_score_takes_texts_or_documents() {
    let acme = tenant("acme", &["rr"], &["docs"]);
    let runtime = builder()
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(spec("secret", scorer(&Scorer::new(1.0))))
        .collection("docs", Library::new(&[("x", 4), ("y", 2)]))
        .collection("others", Library::new(&[("x", 4)]))
        .tenant(Arc::clone(&acme))
        .build()
        .unwrap();
    let host = runtime.host();
    let owner = Arc::clone(&acme.name);
    let context = Arc::new(of(&acme).called_by(&Arc::from("acme/outer"), Some(&owner)));
    let documents = |collection: &str, view: Option<&str>, ids: &[&str]| HostDocuments {
        collection: collection.to_owned(),
        view: view.map(str::to_owned),
        ids: ids.iter().map(|id| (*id).into()).collect(),
    };
    let score = |service: &str, passages| HostScore {
        service: service.to_owned(),
        query: Arc::from("q"),
        passages,
        params: Params::default(),
    };
    let texts = HostPassages::Texts(vec![Arc::from("is 7"), Arc::from("is 5")]);
    let of_docs = |ids: &[&str]| HostPassages::Documents(documents("docs", None, ids));
    let others = HostPassages::Documents(documents("others", None, &["x"]));
    let requests = vec![
        score("rr", texts.clone()),
        score("rr", of_docs(&["y", "x"])),
        score("rr", of_docs(&["x", "gone"])),
        score("rr", others),
        score("secret", texts),
    ];
    let answers = host.score(Arc::clone(&context), requests).await;
    assert_eq!(**answers[0].as_ref().unwrap(), [7.01, 5.01]);
    assert_eq!(**answers[1].as_ref().unwrap(), [2.01, 4.01]);
    let code = |place: usize| answers[place].as_ref().unwrap_err().code();
    assert_eq!(code(2), ErrorCode::UnknownDocument);
    assert_eq!(
        (code(3), code(4)),
        (ErrorCode::UnknownName, ErrorCode::UnknownName)
    );

    let content = |documents| host.content(Arc::clone(&context), documents);
    let found = content(documents("docs", Some("notes"), &["y", "gone", "x"]))
        .await
        .unwrap();
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some("notes of y 2"), None, Some("notes of x 4")]);
    for unseen in ["others", "no-such"] {
        let error = content(documents(unseen, None, &["x"])).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::UnknownName);
    }
}

/// A tenant's extension looks with its owner's eyes, an operator's with the operator's, whoever
/// pays.
#[tokio::test]
async fn an_extension_sees_what_its_owner_sees() {
    let acme = tenant("acme", &["gate"], &[]);
    let builder = builder().service(spec("secret", searcher(&Searcher::named("s"))));
    let host = builder.host();
    let runtime = builder
        .service(relay(&host, None, "gate", "secret"))
        .tenant(Arc::clone(&acme))
        .build()
        .unwrap();
    let owner = Some("acme");
    runtime
        .publish(owner, relay(&host, owner, "nosy", "secret"))
        .unwrap();
    runtime
        .publish(owner, relay(&host, owner, "polite", "gate"))
        .unwrap();
    let answer = runtime.pipeline(call_of(&acme, "polite%1")).await.unwrap();
    assert_eq!(docs(&answer), ["s-q-1"]);
    let error = refusal(&runtime, &acme, "nosy").await;
    assert_eq!(error.code(), ErrorCode::UnknownName);
    assert!(error.message().contains("no service `secret`"), "{error}");
}

/// The host calls of many guests meet in one queue.
#[tokio::test]
async fn host_calls_are_batched_together() {
    let found = Searcher::named("a");
    let mut model = spec("model", searcher(&found));
    model.batch.concurrency = 1;
    let builder = builder().service(model);
    let host = builder.host();
    let pairs = guest(&host, None, "pairs", |caller| async move {
        let context = Arc::clone(&caller.context);
        let requests = ["one", "two"].map(|word| {
            let query = format!("{} {word}", caller.query);
            wanted("model", &query, caller.limit)
        });
        let mut answers = caller.host.search(context, requests.into()).await;
        answers.swap_remove(1).map(Arc::unwrap_or_clone)
    });
    let runtime = builder.service(pairs).build().unwrap();
    let calls = (0..16).map(|i| {
        let mut call = call("pairs%1");
        call.query = Arc::from(format!("q{i}"));
        run(&runtime, call)
    });
    let answers = join_all(calls).await;
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(docs(&answer.unwrap()), [format!("a-q{i} two-1")]);
    }
    let batches = found.batches.lock().unwrap();
    assert_eq!(batches.iter().sum::<usize>(), 32);
    assert!(batches.len() <= 4, "{batches:?}");
}

/// The deadline of the request ends the host call of the extension that answers it, down to the
/// engine; and so does a caller that leaves.
#[tokio::test]
async fn deadlines_and_cancellation_go_through() {
    let slow = Arc::new(Searcher {
        hangs: true,
        ..Searcher::default()
    });
    let builder = builder().service(spec("slow", searcher(&slow)));
    let host = builder.host();
    let tells = guest(&host, None, "tells", |caller| async move {
        assert!(caller.context.deadline.is_some());
        caller.search("slow").await.map(Arc::unwrap_or_clone)
    });
    let runtime = builder.service(tells).build().unwrap();
    let until = |time: Duration| {
        let deadline = Some(Instant::now() + time);
        let context = RequestContext {
            deadline,
            ..context()
        };
        routir_exec::PipelineCall {
            context: Arc::new(context),
            ..call("tells")
        }
    };
    let error = run(&runtime, until(Duration::from_millis(50)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    let leaves = run(&runtime, until(Duration::from_secs(60)));
    let left = tokio::time::timeout(Duration::from_millis(50), leaves).await;
    assert!(left.is_err());
    for _ in 0..500 {
        if slow.running.load(Ordering::SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a host call outlived the request that caused it");
}

/// Who joins a computation is not failed by the deadline of whoever began it.
#[tokio::test]
async fn a_joined_call_has_its_own_deadline() {
    let builder = builder();
    let patient = guest(&builder.host(), None, "patient", |caller| async move {
        let end = tokio::time::Instant::from_std(caller.context.deadline.unwrap());
        let work = tokio::time::sleep(Duration::from_millis(200));
        let in_time = tokio::time::timeout_at(end - Duration::from_millis(20), work).await;
        in_time.map_err(|_| routir_core::Error::new(ErrorCode::DeadlineExceeded, "out of time"))?;
        Ranking::from_hits(vec![routir_core::Hit::new("x", 1.0)])
    });
    let runtime = builder.service(patient).build().unwrap();
    let within = |time| {
        let deadline = Some(Instant::now() + Duration::from_millis(time));
        let context = RequestContext {
            deadline,
            ..context()
        };
        let call = routir_exec::PipelineCall {
            context: Arc::new(context),
            ..call("patient")
        };
        run(&runtime, call)
    };
    let (short, long) = tokio::join!(within(100), within(60_000));
    assert_eq!(short.unwrap_err().code(), ErrorCode::DeadlineExceeded);
    assert_eq!(docs(&long.unwrap()), ["x"]);
}

/// What gives up early for a caller in a hurry is asked again for one who has time.
#[tokio::test]
async fn who_joins_a_caller_in_a_hurry_is_not_failed_by_its_last_attempt() {
    struct Retrying(std::sync::atomic::AtomicUsize);
    impl routir_core::SearchEngine for Retrying {
        fn search(
            &self,
            batch: Vec<routir_core::SearchRequest>,
        ) -> routir_core::BoxFuture<'_, Vec<Result<Ranking>>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let one = |request: &routir_core::SearchRequest| {
                    let end = request.context.deadline.unwrap();
                    if end < Instant::now() + Duration::from_secs(1) {
                        let message = "no time for another attempt";
                        return Err(routir_core::Error::new(ErrorCode::Unavailable, message));
                    }
                    Ranking::from_hits(vec![routir_core::Hit::new("x", 1.0)])
                };
                batch.iter().map(one).collect()
            })
        }

        fn params(&self) -> routir_core::ParamsSpec {
            routir_core::ParamsSpec::none()
        }
    }
    let engine = Arc::new(Retrying(0.into()));
    let search = Some(Arc::clone(&engine) as Arc<dyn routir_core::SearchEngine>);
    let roles = routir_core::Roles {
        search,
        ..routir_core::Roles::default()
    };
    let runtime = builder().service(spec("away", roles)).build().unwrap();
    let within = |time| {
        let context = RequestContext {
            deadline: Some(Instant::now() + Duration::from_millis(time)),
            ..context()
        };
        let call = routir_exec::PipelineCall {
            context: Arc::new(context),
            ..call("away")
        };
        run(&runtime, call)
    };
    let (short, as_short, long) = tokio::join!(within(900), within(500), within(60_000));
    assert_eq!(short.unwrap_err().code(), ErrorCode::Unavailable);
    // Who has no more time learns nothing from asking again.
    assert_eq!(as_short.unwrap_err().code(), ErrorCode::Unavailable);
    assert_eq!(docs(&long.unwrap()), ["x"]);
    assert_eq!(engine.0.load(Ordering::SeqCst), 2);

    // Those who have time ask again together.
    let patient = || within(60_000);
    let (short, one, two, three) = tokio::join!(within(900), patient(), patient(), patient());
    assert_eq!(short.unwrap_err().code(), ErrorCode::Unavailable);
    for answer in [one, two, three] {
        assert_eq!(docs(&answer.unwrap()), ["x"]);
    }
    assert_eq!(engine.0.load(Ordering::SeqCst), 4);
}

/// Nesting buys no calls: all that a request causes is counted together.
#[tokio::test]
async fn one_budget_for_everything_that_a_request_causes() {
    let settings = RuntimeSettings {
        max_calls: 10,
        ..RuntimeSettings::default()
    };
    let builder = Runtime::builder(settings).service(spec("a", searcher(&Searcher::named("a"))));
    let host = builder.host();
    let asks = |name, count: usize, pipeline: &'static str| {
        guest(&host, None, name, move |caller| async move {
            let requests = (0..count).map(|i| wanted(pipeline, &format!("{}{i}", caller.query), 1));
            let context = Arc::clone(&caller.context);
            let answers = caller.host.search(context, requests.collect()).await;
            let rankings: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
            Ok(Ranking::clone(&rankings[0]))
        })
    };
    let (two, nine, ten) = (
        asks("two", 2, "a"),
        asks("nine", 9, "a"),
        asks("ten", 10, "a"),
    );
    // Three calls of `two`, with two more each, and one for itself.
    let (nested, wide) = (asks("nested", 3, "two"), asks("wide", 4, "two"));
    let services = [two, nine, ten, nested, wide].into_iter();
    let runtime = services
        .fold(builder, |builder, it| builder.service(it))
        .build()
        .unwrap();
    for fits in ["nine", "nested"] {
        assert!(run(&runtime, call(fits)).await.is_ok(), "{fits}");
    }
    for over in ["ten", "wide"] {
        let error = run(&runtime, call(over)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge, "{over}: {error}");
        assert!(error.message().contains("more stage calls"), "{error}");
    }
    // Who brings a budget pays from it.
    let budget = Arc::new(CallBudget::new(5));
    let context = RequestContext {
        budget: Some(Arc::clone(&budget)),
        ..context()
    };
    let paying = routir_exec::PipelineCall {
        context: Arc::new(context),
        ..call("two%2")
    };
    run(&runtime, paying).await.unwrap();
    assert_eq!(budget.left(), 2);
}

/// An extension's threads are its sandbox's, and know nothing of tokio.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_answers_threads_that_are_none_of_tokios() {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let runtime = builder()
        .service(spec("a", searcher(&Searcher::named("a"))))
        .build()
        .unwrap();
    let host = runtime.host();
    let answers = std::thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let context = RequestContext {
            deadline: Some(Instant::now() + Duration::from_secs(60)),
            ..RequestContext::clone(&inside())
        };
        let mut work = host.search(Arc::new(context), vec![wanted("a", "q", 1)]);
        loop {
            match work.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(answers) => return answers,
                Poll::Pending => std::thread::park(),
            }
        }
    });
    let answers = tokio::task::spawn_blocking(|| answers.join().unwrap())
        .await
        .unwrap();
    assert_eq!(answers[0].as_ref().unwrap().len(), 1);
}

/// A runtime holds its extensions, and they its host: that must not keep it alive.
#[tokio::test]
async fn a_host_does_not_keep_the_runtime() {
    let library = Library::new(&[]);
    let builder = builder().collection("docs", Arc::clone(&library) as Arc<_>);
    let host = builder.host();
    let early = host.search(inside(), vec![wanted("x", "q", 1)]).await;
    assert_eq!(
        early[0].as_ref().unwrap_err().code(),
        ErrorCode::Unavailable
    );
    let runtime = builder
        .service(relay(&host, None, "x", "y"))
        .build()
        .unwrap();
    runtime
        .publish(None, relay(&runtime.host(), None, "z", "y"))
        .unwrap();
    assert!(run(&runtime, call("x")).await.is_err());
    drop(runtime);
    for _ in 0..200 {
        if Arc::strong_count(&library) == 1 {
            let late = host.search(inside(), vec![wanted("x", "q", 1)]).await;
            assert_eq!(late[0].as_ref().unwrap_err().code(), ErrorCode::Unavailable);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the runtime is still held by something");
}
