//! Input that is large, deep or hostile: a clear error, little stack, linear work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use routir_dsl::{
    MAX_CALLS, MAX_DIAGNOSTICS, MAX_NESTING, MAX_SOURCE_BYTES, Parallel, Sequence, Stage, parse,
    render,
};

fn nested(depth: usize) -> String {
    format!("{}a{}", "{".repeat(depth), "}m".repeat(depth))
}

#[test]
fn the_source_may_be_so_long_and_no_longer() {
    let pad = |length: usize| format!("bm25{}", " ".repeat(length - 4));
    assert!(parse(&pad(MAX_SOURCE_BYTES)).is_ok());
    let problems = parse(&pad(MAX_SOURCE_BYTES + 1)).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].span, MAX_SOURCE_BYTES..MAX_SOURCE_BYTES + 1);
    assert_eq!(
        problems[0].message,
        "the pipeline is 65537 bytes long; at most 65536 are allowed"
    );
}

#[test]
fn braces_may_nest_so_deep_and_no_deeper() {
    assert!(parse(&nested(MAX_NESTING)).is_ok());
    let problems = parse(&nested(MAX_NESTING + 1)).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].span, MAX_NESTING..MAX_NESTING + 1);
    assert_eq!(problems[0].message, "braces nest deeper than 32 levels");
}

#[test]
fn there_may_be_so_many_calls_and_no_more() {
    let chain = |calls: usize| vec!["a[b]@c%1"; calls].join(" >> ");
    assert!(parse(&chain(MAX_CALLS)).is_ok());
    let problems = parse(&chain(MAX_CALLS + 1)).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "more than 1024 calls in one pipeline");
    assert_eq!(problems[0].span.start, MAX_CALLS * "a[b]@c%1 >> ".len());
}

#[test]
fn mistakes_beyond_the_first_few_are_counted() {
    let problems = parse(&"a%,".repeat(500)).unwrap_err();
    assert_eq!(problems.len(), MAX_DIAGNOSTICS + 1);
    assert_eq!(
        problems[MAX_DIAGNOSTICS].message,
        "980 more mistakes are not shown"
    );
}

/// Each of these fills the source to its limit.
fn hostile() -> impl Iterator<Item = String> {
    let shapes = [
        "{",
        "}",
        "[",
        "]",
        "%",
        "@",
        ",",
        ">",
        ">>",
        ">> ",
        "{}",
        "{,",
        "}{",
        "a{",
        "{a}",
        "[a",
        "a[",
        "a[b",
        "a%",
        "%1",
        "@a",
        "1 ",
        "a ",
        "1",
        "-",
        "_",
        ".",
        "😀",
        "? ",
        "?",
        "|",
        "a|",
        "->",
        "- ",
        "a>",
        "{a,",
        "a}",
        "\n",
        "\u{a0}",
        "é",
        "é ",
        "{{{{a}b",
        "{a}b{",
        "a[]",
        "\u{202e}",
        "\0",
        "a%99999999999",
        "[[",
        "[1 2 3 ",
        "%%@@[[]]",
    ];
    let deep = format!("{}%", nested(MAX_NESTING));
    let broken = "{a, ".repeat(MAX_NESTING) + "} ".repeat(MAX_NESTING).as_str();
    let closed = "{a >> ".repeat(MAX_NESTING) + ">>,%[}".repeat(MAX_NESTING).as_str();
    shapes
        .into_iter()
        .map(str::to_owned)
        .chain([deep, broken, closed])
        .map(|shape| shape.repeat(MAX_SOURCE_BYTES / shape.len()))
}

/// With a quarter of the stack that a worker thread has.
#[test]
fn hostile_input_needs_little_stack() {
    let work = || {
        for source in hostile() {
            let problems = parse(&source).unwrap_err();
            assert!(!problems.is_empty() && problems.len() <= MAX_DIAGNOSTICS + 1);
            let text = render(&source, &problems);
            assert!(text.len() < 64 * 1024, "{} bytes of text", text.len());
        }
        let sequence = parse(&nested(MAX_NESTING)).unwrap();
        assert_eq!(sequence.to_string(), nested(MAX_NESTING));
        assert_eq!(depth(&sequence), MAX_NESTING);
        let copy = sequence.clone();
        drop(sequence);
        assert_eq!(copy.calls().count(), MAX_NESTING + 1);
    };
    let thread = std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(work)
        .unwrap();
    thread.join().unwrap();
}

fn depth(sequence: &Sequence) -> usize {
    let of = |parallel: &Parallel| 1 + parallel.branches.iter().map(depth).max().unwrap_or(0);
    let stages = sequence.stages.iter().map(|stage| match stage {
        Stage::Call(_) => 0,
        Stage::Parallel(parallel) => of(parallel),
    });
    stages.max().unwrap_or(0)
}

/// Were any rule tried twice, each level would double the time, and this would never end.
#[test]
fn mistakes_at_every_level_are_read_once() {
    let mistakes = [
        "%", "[", "@", ">>", ">> >>", ", ,", "a b", "[a b", "1", "2a", "?", "]", ">", "",
    ];
    for mistake in mistakes {
        let open = format!("e{mistake}{{a{mistake}, ").repeat(MAX_NESTING);
        let close = format!("}}m{mistake}").repeat(MAX_NESTING);
        for source in [
            format!("{open}b{close}"),
            open.clone(),
            format!("{open}{}", "}".repeat(40)),
        ] {
            let mistakes = parse(&source).map_or_else(|problems| problems.len(), |_| 0);
            assert!(
                mistakes > 0 || source == format!("{open}b{close}"),
                "{source}"
            );
        }
    }
}
