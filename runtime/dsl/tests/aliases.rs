//! Aliases: what they become, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use routir_dsl::{
    AliasProblem, Aliases, MAX_CALLS, MAX_NESTING, Position, Sequence, parse, render,
};

const SERVICES: [&str; 6] = [
    "bm25",
    "dense",
    "reranker",
    "RRF",
    "ScoreFusion",
    "expander",
];

fn aliases(definitions: &[(&str, &str)]) -> Aliases {
    build(definitions).unwrap()
}

fn build(definitions: &[(&str, &str)]) -> Result<Aliases, Vec<AliasProblem>> {
    Aliases::new(definitions.iter().copied(), |name| SERVICES.contains(&name))
}

fn expanded(definitions: &[(&str, &str)], source: &str) -> String {
    aliases(definitions)
        .expand(parse(source).unwrap())
        .unwrap()
        .to_string()
}

fn refused(definitions: &[(&str, &str)], source: &str, expected: &Expect) {
    let diagnostics = aliases(definitions)
        .expand(parse(source).unwrap())
        .unwrap_err();
    expected.assert_eq(&render(source, &diagnostics));
}

fn problems(definitions: &[(&str, &str)], expected: &Expect) {
    let problems = build(definitions).unwrap_err();
    expected.assert_eq(&listed(&problems));
}

fn listed(problems: &[AliasProblem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect();
    lines.join("\n")
}

const LANGUAGES: (&str, &str) = ("ragtime", "{zho%100, rus%100}ScoreFusion");
const RERANKED: (&str, &str) = ("ragtime-rr", "ragtime%100 >> reranker%20");

#[test]
fn a_limit_at_the_alias_replaces_that_of_its_last_stage() {
    assert_eq!(
        expanded(&[LANGUAGES], "ragtime"),
        "{zho%100, rus%100}ScoreFusion"
    );
    assert_eq!(
        expanded(&[LANGUAGES], "ragtime%20"),
        "{zho%100, rus%100}ScoreFusion%20"
    );
    let both = [LANGUAGES, RERANKED];
    let whole = "{zho%100, rus%100}ScoreFusion%100 >> reranker%20";
    assert_eq!(expanded(&both, "ragtime-rr"), whole);
    assert_eq!(expanded(&both, "ragtime-rr%0"), whole.replace("%20", "%0"));
}

#[test]
fn an_alias_stands_where_a_stage_or_a_branch_can() {
    let two = [("first", "bm25%100 >> reranker"), ("last", "reranker%5")];
    assert_eq!(
        expanded(&two, "first >> last"),
        "bm25%100 >> reranker >> reranker%5"
    );
    assert_eq!(
        expanded(&two, "expander{first%7, dense >> last}RRF >> last%3"),
        "expander{bm25%100 >> reranker%7, dense >> reranker%5}RRF >> reranker%3"
    );
}

#[test]
fn what_is_no_alias_stays() {
    let source = "expander[e]%3{dense@v, bm25[b]}RRF%50 >> reranker";
    assert_eq!(expanded(&[LANGUAGES], source), source);
    assert_eq!(
        Aliases::default().expand(parse(source).unwrap()),
        Ok(parse(source).unwrap())
    );
}

#[test]
fn what_came_from_an_alias_says_so() {
    let aliases = aliases(&[LANGUAGES, RERANKED]);
    let pipeline = aliases
        .expand(parse("bm25 >> ragtime-rr%5").unwrap())
        .unwrap();
    let calls: Vec<_> = pipeline
        .calls()
        .map(|(_, call)| (&*call.name.text, call.origin.as_deref(), call.span.clone()))
        .collect();
    let expected = [
        ("bm25", None, 0..4),
        ("zho", Some("ragtime"), 8..20),
        ("rus", Some("ragtime"), 8..20),
        ("ScoreFusion", Some("ragtime"), 8..20),
        ("reranker", Some("ragtime-rr"), 8..20),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn an_alias_can_be_looked_up() {
    let aliases = aliases(&[LANGUAGES, RERANKED]);
    let body = aliases.get("ragtime-rr").map(Sequence::to_string);
    assert_eq!(
        body.as_deref(),
        Some("{zho%100, rus%100}ScoreFusion%100 >> reranker%20")
    );
    assert_eq!(aliases.get("bm25"), None);
}

#[test]
fn an_alias_neither_merges_nor_expands_nor_takes_other_suffixes() {
    refused(
        &[LANGUAGES],
        "ragtime{bm25, ragtime[r]@title%5}ragtime%10",
        &expect![[r#"
            error: alias `ragtime` cannot make sub-queries
              1 | ragtime{bm25, ragtime[r]@title%5}ragtime%10
                | ^^^^^^^
              help: an alias stands for stages; name a service here

            error: alias `ragtime` cannot merge branches
              1 | ragtime{bm25, ragtime[r]@title%5}ragtime%10
                |                                  ^^^^^^^
              help: an alias stands for stages; name a service here

            error: alias `ragtime` cannot take a label
              1 | ragtime{bm25, ragtime[r]@title%5}ragtime%10
                |                       ^
              help: put the label on a call in the alias's definition, or write the definition here instead of the alias

            error: alias `ragtime` cannot take a view
              1 | ragtime{bm25, ragtime[r]@title%5}ragtime%10
                |                          ^^^^^
              help: put the view on a call in the alias's definition, or write the definition here instead of the alias
        "#]],
    );
}

#[test]
fn bad_aliases_are_reported_all_at_once() {
    problems(
        &[
            ("bm25", "dense"),
            ("2nd", "dense"),
            ("", "dense"),
            ("twice", "dense"),
            ("twice", "bm25"),
            ("broken", "{dense, bm25} >>"),
            ("uses-broken", "broken >> reranker"),
            ("good", "dense"),
            ("merges", "{dense}good >> good[g]"),
        ],
        &expect![[r#"
            alias `bm25` has the name of a service; rename one of them

            alias `2nd` is not a name; a name is a letter, then letters, digits, `_` or `-` (ASCII only)

            alias `` is not a name; a name is a letter, then letters, digits, `_` or `-` (ASCII only)

            alias `twice` is defined twice

            alias `broken` is wrong:
            error: no merger after `}`
              1 | {dense, bm25} >>
                |             ^ expected a name
              help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`

            error: no stage after `>>`
              1 | {dense, bm25} >>
                |               ^^ expected a name or `{`

            alias `merges` is wrong:
            error: alias `good` cannot merge branches
              1 | {dense}good >> good[g]
                |        ^^^^
              help: an alias stands for stages; name a service here

            error: alias `good` cannot take a label
              1 | {dense}good >> good[g]
                |                     ^
              help: put the label on a call in the alias's definition, or write the definition here instead of the alias
        "#]],
    );
}

#[test]
fn an_alias_that_leads_back_to_itself_is_shown_with_its_way_round() {
    problems(
        &[
            ("a", "b >> x"),
            ("b", "{y, c}RRF"),
            ("c", "a%3"),
            ("d", "a"),
        ],
        &expect![[r#"
            aliases lead back to themselves: a -> b -> c -> a
        "#]],
    );
    problems(
        &[("a", "a"), ("b", "{c}RRF"), ("c", "dense >> b")],
        &expect![[r#"
            aliases lead back to themselves: a -> a

            aliases lead back to themselves: b -> c -> b
        "#]],
    );
}

#[test]
fn one_alias_used_in_two_places_is_no_cycle() {
    let definitions = [
        ("a", "{b, c}RRF"),
        ("b", "d%1"),
        ("c", "d%2"),
        ("d", "dense"),
    ];
    assert_eq!(expanded(&definitions, "a"), "{dense%1, dense%2}RRF");
}

#[test]
fn aliases_that_double_are_measured_before_they_are_built() {
    let doubling = |levels: usize| -> Vec<(String, String)> {
        let level = |n: usize| (format!("a{n}"), format!("a{} >> a{}", n - 1, n - 1));
        std::iter::once(("a0".into(), "x".into()))
            .chain((1..=levels).map(level))
            .collect()
    };
    let aliases = Aliases::new(doubling(10), |_| false).unwrap();
    assert_eq!(
        aliases.get("a10").map(|body| body.calls().count()),
        Some(MAX_CALLS)
    );

    let source = "a9 >> y >> a9";
    let diagnostics = aliases.expand(parse(source).unwrap()).unwrap_err();
    expect![[r#"
        error: with alias `a9`, the pipeline has more than 1024 calls
          1 | a9 >> y >> a9
            |            ^^
    "#]]
    .assert_eq(&render(source, &diagnostics));

    // Two to the ten thousandth.
    let problems = Aliases::new(doubling(10_000), |_| false).unwrap_err();
    expect![[r#"
        alias `a11` is wrong:
        error: with alias `a10`, the pipeline has more than 1024 calls
          1 | a10 >> a10
            |        ^^^
    "#]]
    .assert_eq(&listed(&problems));
}

#[test]
fn aliases_do_not_nest_deeper_than_braces_may() {
    let level = |n: usize| (format!("a{n}"), format!("{{a{}}}m", n - 1));
    let levels =
        |count: usize| std::iter::once(("a0".into(), "x".into())).chain((1..=count).map(level));
    let aliases = Aliases::new(levels(MAX_NESTING), |_| false).unwrap();
    assert!(aliases.expand(parse("a32").unwrap()).is_ok());
    let source = "{x, a32}m";
    let diagnostics = aliases.expand(parse(source).unwrap()).unwrap_err();
    expect![[r#"
        error: with alias `a32`, braces nest deeper than 32 levels
          1 | {x, a32}m
            |     ^^^
    "#]]
    .assert_eq(&render(source, &diagnostics));
    assert_eq!(
        Aliases::new(levels(MAX_NESTING + 1), |_| false)
            .unwrap_err()
            .len(),
        1
    );
}

#[test]
fn a_long_chain_of_aliases_needs_no_stack() {
    let chain = (1..50_000).map(|n| (format!("a{n}"), format!("a{}", n + 1)));
    let aliases = Aliases::new(chain, |_| false).unwrap();
    assert_eq!(
        aliases.expand(parse("a1").unwrap()).unwrap().to_string(),
        "a50000"
    );

    let ring = (0..50_000).map(|n| (format!("a{n}"), format!("a{}", (n + 1) % 50_000)));
    let problems = Aliases::new(ring, |_| false).unwrap_err();
    assert!(matches!(problems.as_slice(), [AliasProblem::Cycle { path }] if path.len() == 50_001));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the aliases refer to, either they are refused or no alias is left at a stage.
    #[test]
    fn nothing_is_left_to_expand(bodies in prop::collection::vec(
        prop::sample::select(vec![
            "x", "b%1", "c >> d", "{b, e >> x}m%2", "d%3 >> {c}m", "{x, f}m >> e", "a", "f >> y",
        ]),
        6,
    )) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let known: BTreeSet<_> = names.into();
        match Aliases::new(names.into_iter().zip(bodies), |_| false) {
            Ok(aliases) => {
                let once = aliases.expand(parse("a%9 >> {b, c >> d}m >> e >> f").unwrap()).unwrap();
                let stages = once.calls().filter(|(position, _)| *position == Position::Stage);
                for (_, call) in stages {
                    prop_assert!(!known.contains(&*call.name.text), "{once}");
                }
                prop_assert!(parse(&once.to_string()).unwrap().same(&once));
                prop_assert!(aliases.expand(once.clone()).unwrap().same(&once));
            }
            Err(problems) => {
                for problem in problems {
                    prop_assert!(matches!(problem, AliasProblem::Cycle { .. }), "{problem}");
                }
            }
        }
    }
}
