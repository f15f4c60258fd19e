//! `docs/dsl.md` tells the truth: its pipelines parse, its error messages are the real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use routir_dsl::{
    MAX_CALLS, MAX_DIAGNOSTICS, MAX_LIMIT_DIGITS, MAX_NESTING, MAX_SOURCE_BYTES, parse, render,
};

const MANUAL: &str = include_str!("../../../docs/dsl.md");

/// The fenced blocks of one kind.
fn blocks(kind: &str) -> Vec<&'static str> {
    let fenced = MANUAL.split("```").skip(1).step_by(2);
    let blocks: Vec<_> = fenced
        .filter_map(|block| block.strip_prefix(kind))
        .collect();
    assert!(!blocks.is_empty(), "the manual has no {kind} blocks");
    blocks
}

#[test]
fn its_pipelines_parse_and_are_canonical() {
    for source in blocks("pipeline\n").into_iter().flat_map(str::lines) {
        let pipeline = parse(source).unwrap_or_else(|found| panic!("{}", render(source, &found)));
        assert_eq!(pipeline.to_string(), source);
    }
}

#[test]
fn its_errors_are_what_people_see() {
    for block in blocks("console\n$ ") {
        let (source, shown) = block
            .split_once('\n')
            .expect("a source, then what is shown");
        assert_eq!(render(source, &parse(source).unwrap_err()), shown);
    }
}

#[test]
fn its_limits_are_the_real_ones() {
    let limits = MANUAL
        .split("## Limits")
        .nth(1)
        .expect("a section about limits");
    let cells = limits
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once("| "));
    let stated: Vec<_> = cells.skip(1).map(|(_, most)| most.to_owned()).collect();
    let kib = format!("{} KiB", MAX_SOURCE_BYTES / 1024);
    let real = [MAX_NESTING, MAX_CALLS, MAX_LIMIT_DIGITS, MAX_DIAGNOSTICS].map(|n| n.to_string());
    assert_eq!(stated, [vec![kib], real.to_vec()].concat());
}
