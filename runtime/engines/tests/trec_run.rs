//! `TrecRun` through the search role.

mod common;

use common::{Home, ask, ids};
use routir_core::ErrorCode;
use serde_json::json;

const TOPICS: &str = "1\tred cars\n2\tBlue  boats\n3\tnothing found\n";
const RUN: &str = "1 Q0 a 1 3.5 x\n1 Q0 c 2 2.0 x\n1 Q0 b 3 2.0 x\n2 Q0 z 1 -1.0 x\n";

fn home() -> Home {
    Home::new().file("topics.tsv", TOPICS).file("run.txt", RUN)
}

#[tokio::test]
async fn replays_rankings_by_the_text_of_their_topics() {
    let config = json!({"run": "run.txt", "topics": "topics.tsv"});
    let engine = home().build("TrecRun", &config).unwrap().search.unwrap();
    assert!(engine.prefix_stable());
    let batch = vec![
        ask("red cars", 10),
        ask(" RED\n cars ", 2),
        ask("blue boats", 10),
        ask("nothing found", 10),
        ask("red car", 10),
        ask("red cars", 0),
    ];
    let answers = engine.search(batch).await;
    assert_eq!(
        ids(answers[0].as_ref().unwrap()),
        ["a", "b", "c"],
        "ties by id, not by rank column"
    );
    assert_eq!(ids(answers[1].as_ref().unwrap()), ["a", "b"]);
    assert_eq!(answers[2].as_ref().unwrap().hits()[0].score, -1.0);
    assert!(answers[3].as_ref().unwrap().is_empty());
    assert_eq!(
        answers[4].as_ref().unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    assert!(answers[5].as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn an_unknown_query_may_be_an_empty_ranking_and_runs_may_be_several() {
    let home = home().file("more.txt", "3 Q0 m 1 1 y\n");
    let config =
        json!({"run": ["run.txt", "more.txt"], "topics": "topics.tsv", "unknown_query": "empty"});
    let engine = home.build("TrecRun", &config).unwrap().search.unwrap();
    let answers = engine
        .search(vec![ask("what", 10), ask("nothing found", 10)])
        .await;
    assert!(answers[0].as_ref().unwrap().is_empty());
    assert_eq!(ids(answers[1].as_ref().unwrap()), ["m"]);
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    let twice = home().refusal(
        "TrecRun",
        &json!({"run": ["run.txt", "run.txt"], "topics": "topics.tsv"}),
    );
    assert!(
        twice.contains("topic `1` is in `run.txt` and in another run"),
        "{twice}"
    );

    let same_text = home().file("topics.tsv", "1\tred cars\n2\tRed cars\n");
    let refused = same_text.refusal(
        "TrecRun",
        &json!({"run": "run.txt", "topics": "topics.tsv"}),
    );
    assert!(
        refused.contains("topics `1` and `2` have the same text"),
        "{refused}"
    );

    let bad = home().file("run.txt", "1 Q0 a 1 high x\n");
    let refused = bad.refusal(
        "TrecRun",
        &json!({"run": "run.txt", "topics": "topics.tsv"}),
    );
    assert!(refused.contains("run.txt:1:"), "{refused}");

    let absent = home().refusal("TrecRun", &json!({"run": "no.txt", "topics": "topics.tsv"}));
    assert!(absent.contains("no.txt"), "{absent}");
}

#[test]
fn configuration_mistakes_are_told_at_once() {
    assert_eq!(
        home().refusal("TrecRun", &json!({"runs": "run.txt", "topics": 1})),
        "service `svc` (engine TrecRun): `run` is missing; `topics` must be a string, not 1; unknown \
         key `runs` in `config`; did you mean `run`?"
    );
}
