//! What a merger is told, and where it runs.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use common::*;
use expect_test::expect;
use routir_core::{
    BoxFuture, FuseEngine, FuseRequest, Hit, ParamsSpec, Ranking, Result, Roles, SearchEngine,
    SearchRequest,
};

/// A merger that works on weights by source must know which ranking is whose, however the plan
/// shares what is the same.
#[tokio::test]
async fn a_merger_is_told_where_each_ranking_comes_from() {
    let (outer, inner) = (Arc::<Summer>::default(), Arc::<Summer>::default());
    let runtime = builder()
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("b", searcher(&Searcher::named("b"))))
        .service(spec("rr", scorer(&Arc::new(Scorer::default()))))
        .service(spec("Sum", merger(&outer)))
        .service(spec("In", merger(&inner)))
        .service(spec("exp", expander(&["s1", "*"])))
        .collection("docs", Library::new(&[("a-q-1", 1), ("a-s1-1", 1)]))
        .alias("both", "{a%1, b[second]%1}In")
        .build()
        .unwrap();
    let mut told = String::new();
    for pipeline in [
        "{a, b%3}Sum",
        // One search, two names.
        "{a[first], a[again]}Sum",
        "{{a[x]%1, b%1}In, {a[y]%1, b%1}In[other]}Sum",
        "{both, both%1}Sum",
        "{a%1 >> rr, a%2[cut]}Sum",
        "exp{a%1, a%1 >> rr[better]}Sum",
        "{a%1, exp{a[sub]%1}In}Sum",
        "a%1 >> {rr, exp{rr[each]}In}Sum",
    ] {
        use std::fmt::Write as _;
        run(&runtime, over_docs(pipeline)).await.unwrap();
        writeln!(told, "{pipeline}").unwrap();
        for (name, engine) in [("In", &inner), ("Sum", &outer)] {
            for request in std::mem::take(&mut *engine.asked.lock().unwrap()) {
                assert_eq!(request.rankings.len(), request.sources.len());
                let sources = request.sources.iter().zip(&request.rankings);
                let sources = sources.map(|(source, ranking)| {
                    let best = ranking
                        .hits()
                        .first()
                        .map_or("nothing", |hit| hit.doc.as_str());
                    format!("{} of {}: {best}", source.stage, source.query)
                });
                let sources: Vec<_> = sources.collect();
                writeln!(told, "  {name}: {}", sources.join(", ")).unwrap();
            }
        }
    }
    expect![[r#"
        {a, b%3}Sum
          Sum: a of q: a-q-1, b of q: b-q-1
        {a[first], a[again]}Sum
          Sum: first of q: a-q-1, again of q: a-q-1
        {{a[x]%1, b%1}In, {a[y]%1, b%1}In[other]}Sum
          In: x of q: a-q-1, b of q: b-q-1
          In: y of q: a-q-1, b of q: b-q-1
          Sum: In of q: a-q-1, other of q: a-q-1
        {both, both%1}Sum
          In: a of q: a-q-1, second of q: b-q-1
          In: a of q: a-q-1, second of q: b-q-1
          Sum: In of q: a-q-1, In of q: a-q-1
        {a%1 >> rr, a%2[cut]}Sum
          Sum: rr of q: a-q-1, cut of q: a-q-1
        exp{a%1, a%1 >> rr[better]}Sum
          Sum: a of s1: a-s1-1, a of q: a-q-1, better of s1: a-s1-1, better of q: a-q-1
        {a%1, exp{a[sub]%1}In}Sum
          In: sub of s1: a-s1-1, sub of q: a-q-1
          Sum: a of q: a-q-1, In of q: a-q-1
        a%1 >> {rr, exp{rr[each]}In}Sum
          In: each of s1: a-q-1, each of q: a-q-1
          Sum: rr of q: a-q-1, In of q: a-q-1
    "#]]
    .assert_eq(&told);
}

/// Notes the thread that it is polled on.
struct Where {
    in_place: bool,
    polled: Mutex<Vec<ThreadId>>,
}

impl FuseEngine for Where {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        Box::pin(async move {
            // Waits like an extension that asks for texts.
            tokio::task::yield_now().await;
            self.polled
                .lock()
                .unwrap()
                .push(std::thread::current().id());
            Ranking::from_hits(
                request
                    .rankings
                    .iter()
                    .flat_map(|it| it.hits())
                    .cloned()
                    .collect(),
            )
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn computes_in_place(&self) -> bool {
        self.in_place
    }
}

struct Many;

impl SearchEngine for Many {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        let answer = |request: &SearchRequest| {
            let hits = (0..request.limit).map(|i| Hit::new(format!("d{i}"), -(i as f64)));
            Ranking::from_hits(hits.collect())
        };
        let answers = batch.iter().map(answer).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

#[tokio::test]
async fn only_a_large_fusion_that_computes_in_place_leaves_the_reactor() {
    for (in_place, limit, leaves) in [
        (true, 100, false),
        (true, 50_000, true),
        (false, 50_000, false),
    ] {
        let engine = Arc::new(Where {
            in_place,
            polled: Mutex::default(),
        });
        let fuse = Some(Arc::clone(&engine) as Arc<dyn FuseEngine>);
        let search = Some(Arc::new(Many) as Arc<dyn SearchEngine>);
        let runtime = builder()
            .service(spec(
                "many",
                Roles {
                    search,
                    ..Roles::default()
                },
            ))
            .service(spec(
                "F",
                Roles {
                    fuse,
                    ..Roles::default()
                },
            ))
            .build()
            .unwrap();
        let answer = run(&runtime, call(&format!("{{many%{limit}}}F%3")))
            .await
            .unwrap();
        assert_eq!(docs(&answer), ["d0", "d1", "d2"]);
        let here = *engine.polled.lock().unwrap() == [std::thread::current().id()];
        assert_eq!(here, !leaves, "in place: {in_place}, {limit} hits");
    }
}
