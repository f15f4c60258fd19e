//! Aliases of other servers, and answers that belong to a pool.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Searcher, builder, call, context, kept, run, searcher, spec};
use routir_core::Placement;
use routir_exec::{Imported, KeyFields, Runtime};

fn import(runtime: &Runtime, services: &[&str], aliases: &[(&str, &str)]) -> Vec<String> {
    let service = |name: &&str| spec(name, searcher(&Searcher::named(name)));
    let alias = |(name, source): &(&str, &str)| (Arc::from(*name), Arc::from(*source));
    let left = runtime.set_imports(Imported {
        services: services.iter().map(service).collect(),
        aliases: aliases.iter().map(alias).collect::<BTreeMap<_, _>>(),
        ..Imported::default()
    });
    let line = |left: routir_exec::Left| format!("{}: {}", left.name, left.why);
    left.into_iter().map(line).collect()
}

#[tokio::test]
async fn aliases_of_others_come_and_go_and_never_hide_what_is_here() {
    let runtime = builder()
        .service(spec("own", searcher(&Searcher::named("own"))))
        .alias("mine", "own%2")
        .build()
        .unwrap();
    let aliases = [
        ("theirs", "deeper%3"),
        ("deeper", "there"),
        ("mine", "there"),
        ("own", "there"),
        ("wrong", "there >>"),
        ("round", "round"),
    ];
    let mut left = import(&runtime, &["there"], &aliases);
    left.sort();
    let expected = [
        "alias mine: there is one of that name here",
        "alias own: there is one of that name here",
        "alias round: its definition is none here",
        "alias wrong: its definition is none here",
    ];
    assert_eq!(left, expected);
    let found = async |pipeline: &str| {
        let answer = run(&runtime, call(pipeline)).await;
        answer.map(|answer| answer.ranking.len())
    };
    assert_eq!(found("theirs").await.unwrap(), 3);
    assert_eq!(found("mine").await.unwrap(), 2);

    // The same again changes nothing; another definition does, and none takes them away.
    let generation = runtime.catalog().generation;
    let same = [("theirs", "deeper%4"), ("deeper", "there")];
    import(&runtime, &["there"], &same);
    assert!(runtime.catalog().generation > generation);
    assert_eq!(found("theirs").await.unwrap(), 4);
    import(&runtime, &["there"], &[]);
    assert!(found("theirs").await.is_err());
    // A service may have the name now.
    assert!(import(&runtime, &["theirs"], &[]).is_empty());
    assert!(found("theirs").await.is_ok());
    assert_eq!(found("mine").await.unwrap(), 2);
}

#[tokio::test]
async fn an_answer_of_one_pool_is_none_of_another() {
    let engine = Searcher::named("s");
    let spec = kept(spec("s", searcher(&engine)), KeyFields::Default);
    assert!(spec.cache.is_some());
    let runtime = builder().service(spec).build().unwrap();
    let ask = async |pool: Option<&str>| {
        let mut context = context();
        context.placement = pool.map(|pool| {
            Arc::new(Placement {
                pool: Some(Arc::from(pool)),
                profile: None,
            })
        });
        let mut call = call("s");
        call.context = Arc::new(context);
        run(&runtime, call).await.unwrap();
        engine.queries().len()
    };
    assert_eq!(ask(None).await, 1);
    assert_eq!(ask(None).await, 1);
    assert_eq!(ask(Some("a")).await, 2);
    assert_eq!(ask(Some("b")).await, 3);
    assert_eq!(ask(Some("a")).await, 3);
}
