//! What holds for every pipeline and for every string.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use routir_dsl::{
    Call, Limit, MAX_NESTING, Name, Parallel, Pipeline, Position, Sequence, Stage, parse, render,
};

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z][A-Za-z0-9_-]{0,6}".prop_map(|text| Name {
        text: text.into(),
        span: 0..0,
    })
}

fn call() -> impl Strategy<Value = Call> {
    let limit = prop_oneof![Just(0), 1..2000_usize, Just(9_999_999_999)];
    let limit = limit.prop_map(|value| Limit { value, span: 0..0 });
    (
        name(),
        option::of(name()),
        option::of(name()),
        option::of(limit),
    )
        .prop_map(|(name, label, view, limit)| Call {
            name,
            label,
            view,
            limit,
            ..Call::new("")
        })
}

fn sequence(stage: impl Strategy<Value = Stage>) -> impl Strategy<Value = Sequence> {
    vec(stage, 1..4).prop_map(|stages| Sequence { stages, span: 0..0 })
}

fn pipeline() -> impl Strategy<Value = Pipeline> {
    let stage = call()
        .prop_map(Stage::Call)
        .prop_recursive(4, 24, 3, |stage| {
            (option::of(call()), vec(sequence(stage), 1..4), call()).prop_map(
                |(expander, branches, merger)| {
                    Stage::Parallel(Box::new(Parallel {
                        expander,
                        branches,
                        merger,
                        span: 0..0,
                    }))
                },
            )
        });
    sequence(stage)
}

/// Tokens, things like tokens, and things that are none.
fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "{", "}", "[", "]", "@", "%", ",", ">>", ">", " ", "\n", "a", "RRF", "20", "0", "->", "|",
        "é", "漢", "😀", "\u{301}", "\u{202e}", "\0", "\r\n", "bm25.v2", "2a", "-", "(",
    ]);
    prop_oneof![9 => fixed.prop_map(str::to_owned), 1 => "\\PC{1,3}"]
}

/// Whatever it says, it must say it about places in the source.
fn check(source: &str) -> Result<(), TestCaseError> {
    match parse(source) {
        Ok(pipeline) => {
            let printed = pipeline.to_string();
            let again = parse(&printed).expect("the canonical form parses");
            prop_assert!(again.same(&pipeline), "{source:?} became {printed:?}");
            check_spans(&pipeline, source)?;
        }
        Err(diagnostics) => {
            prop_assert!(!diagnostics.is_empty());
            for diagnostic in &diagnostics {
                let related = diagnostic.related.iter().map(|related| &related.span);
                for span in related.chain([&diagnostic.span]) {
                    prop_assert!(source.get(span.clone()).is_some(), "{span:?} of {source:?}");
                }
                let chars = diagnostic.char_span(source);
                prop_assert!(chars.start <= chars.end && chars.end <= source.chars().count());
                let message = &diagnostic.message;
                prop_assert!(
                    !message.contains("cannot stand here"),
                    "{source:?}: {message}"
                );
            }
            let starts: Vec<_> = diagnostics
                .iter()
                .map(|diagnostic| diagnostic.span.start)
                .collect();
            prop_assert!(starts.is_sorted(), "{starts:?}");
            let text = render(source, &diagnostics);
            let harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
            prop_assert!(text.chars().all(harmless), "{text:?}");
        }
    }
    Ok(())
}

fn check_spans(pipeline: &Pipeline, source: &str) -> Result<(), TestCaseError> {
    for (_, call) in pipeline.calls() {
        let text = |span: &std::ops::Range<usize>| source.get(span.clone()).map(str::to_owned);
        prop_assert_eq!(text(&call.name.span), Some(call.name.text.to_string()));
        let written = text(&call.span).expect("a call's span is in the source");
        prop_assert!(
            parse(&written)
                .expect("a call alone parses")
                .same(&call.clone().into())
        );
    }
    for stage in &pipeline.stages {
        let written = source
            .get(stage.span())
            .expect("a stage's span is in the source");
        let alone = parse(written).expect("a stage alone parses");
        prop_assert!(matches!(alone.stages.as_slice(), [one] if one.same(stage)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same(pipeline in pipeline()) {
        let printed = pipeline.to_string();
        let parsed = parse(&printed).unwrap();
        prop_assert!(parsed.same(&pipeline), "{printed}");
        prop_assert_eq!(parsed.to_string(), printed);
    }

    #[test]
    fn white_space_and_the_order_of_suffixes_do_not_matter(
        pipeline in pipeline(),
        space in prop::sample::select(vec!["", " ", "\n\t", "\u{a0}"]),
    ) {
        let mut loose = String::new();
        for c in pipeline.to_string().replace(' ', "").chars() {
            // A space may not part what makes one token.
            match c {
                '{' | '}' | ',' | '[' | ']' | '@' | '%' => loose.extend([space, &c.to_string(), space]),
                _ => loose.push(c),
            }
        }
        let parsed = parse(&loose).map_err(|errors| TestCaseError::fail(render(&loose, &errors)))?;
        prop_assert!(parsed.same(&pipeline), "{loose}");
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        check(&text)?;
    }

    #[test]
    fn any_soup_of_tokens_is_read_or_refused(pieces in vec(piece(), 0..40)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn any_damage_to_a_pipeline_is_read_or_refused(
        pipeline in pipeline(),
        damage in vec((any::<prop::sample::Index>(), 0..4_usize, piece()), 1..4),
    ) {
        let mut chars: Vec<char> = pipeline.to_string().chars().collect();
        for (at, removed, piece) in damage {
            let start = at.index(chars.len() + 1);
            let end = chars.len().min(start + removed);
            chars.splice(start..end, piece.chars());
        }
        check(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn every_call_is_visited_once_in_the_order_of_the_source(pipeline in pipeline()) {
        let parsed = parse(&pipeline.to_string()).unwrap();
        let starts: Vec<_> = parsed.calls().map(|(_, call)| call.span.start).collect();
        prop_assert!(starts.is_sorted_by(|a, b| a < b));
        let mergers = parsed.calls().filter(|(position, _)| *position == Position::Merger);
        prop_assert_eq!(mergers.count(), pipeline.to_string().matches('}').count());
    }
}

#[test]
fn suffixes_come_in_any_order() {
    let canonical = "a[b]@c%3";
    for source in [
        "a[b]%3@c",
        "a@c[b]%3",
        "a@c%3[b]",
        "a%3[b]@c",
        "a %3 @ c [ b ]",
    ] {
        assert_eq!(parse(source).unwrap().to_string(), canonical);
    }
}

#[test]
fn a_limit_may_be_zero_or_ten_digits() {
    let limit = |source| match parse(source).unwrap().stages.remove(0) {
        Stage::Call(call) => call.limit.map(|limit| (limit.value, limit.span)),
        Stage::Parallel(_) => None,
    };
    assert_eq!(limit("a%0"), Some((0, 1..3)));
    assert_eq!(limit("a % 007"), Some((7, 2..7)));
    assert_eq!(limit("a%9999999999"), Some((9_999_999_999, 1..12)));
}

#[test]
fn the_deepest_pipeline_goes_round() {
    let source = format!("{}a{}", "{".repeat(MAX_NESTING), "}m".repeat(MAX_NESTING));
    assert_eq!(parse(&source).unwrap().to_string(), source);
}
