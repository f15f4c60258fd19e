//! What people see for the mistakes that they make.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use expect_test::{Expect, expect};
use routir_dsl::{parse, render};

fn shows(sources: &[&str], expected: &Expect) {
    let shown = |source: &&str| render(source, &parse(source).unwrap_err());
    expected.assert_eq(&sources.iter().map(shown).collect::<Vec<_>>().join("\n"));
}

#[test]
fn nothing_at_all() {
    shows(
        &["", " \n "],
        &expect![[r#"
            error: the pipeline is empty
              1 |
                | ^ expected a name or `{`
              help: name at least one service, such as `bm25%10`

            error: the pipeline is empty
              2 |
                |  ^ expected a name or `{`
              help: name at least one service, such as `bm25%10`
        "#]],
    );
}

#[test]
fn branches_without_a_merger() {
    shows(
        &["{dense, bm25} >> reranker%20", "{dense, bm25}%50"],
        &expect![[r#"
        error: no merger after `}`
          1 | {dense, bm25} >> reranker%20
            |             ^ expected a name
          help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`

        error: no merger after `}`
          1 | {dense, bm25}%50
            |             ^ expected a name
          help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`
    "#]],
    );
}

#[test]
fn a_branch_that_is_empty() {
    shows(
        &["{dense, }RRF", "{, dense}RRF", "{}RRF"],
        &expect![[r#"
        error: an empty branch
          1 | {dense, }RRF
            |       ^ expected a name or `{`
          help: write a branch there, or remove the comma

        error: an empty branch
          1 | {, dense}RRF
            |  ^ expected a name or `{`
          help: write a branch there, or remove the comma

        error: an empty branch
          1 | {}RRF
            | ^ expected a name or `{`
          help: braces hold at least one branch
    "#]],
    );
}

#[test]
fn stages_joined_by_something_else() {
    shows(
        &["bm25 > reranker", "bm25 | reranker -> other"],
        &expect![[r#"
        error: `>` does not join stages
          1 | bm25 > reranker
            |      ^ expected `>>`

        error: `|` does not join stages
          1 | bm25 | reranker -> other
            |      ^ expected `>>`

        error: `->` does not join stages
          1 | bm25 | reranker -> other
            |                 ^^ expected `>>`
    "#]],
    );
}

#[test]
fn stages_joined_by_nothing() {
    shows(
        &["bm25 reranker", "{dense bm25}RRF"],
        &expect![[r#"
        error: two stages with nothing between them
          1 | bm25 reranker
            |      ^^^^^^^^ expected `>>`
          help: `a >> b` hands the results of `a` to `b`

        error: two stages with nothing between them
          1 | {dense bm25}RRF
            |        ^^^^ expected `>>` or `,`
          help: `a >> b` hands the results of `a` to `b`; `a, b` runs both
    "#]],
    );
}

#[test]
fn an_arrow_that_leads_nowhere() {
    shows(
        &["bm25 >>", ">> bm25", "bm25 >> >> reranker"],
        &expect![[r#"
        error: no stage after `>>`
          1 | bm25 >>
            |      ^^ expected a name or `{`

        error: no stage before `>>`
          1 | >> bm25
            | ^^ expected a name or `{`

        error: no stage after `>>`
          1 | bm25 >> >> reranker
            |      ^^ expected a name or `{`
    "#]],
    );
}

#[test]
fn a_limit_that_is_no_number() {
    shows(
        &[
            "bm25% >> reranker",
            "bm25%-5",
            "bm25%99999999999",
            "bm25 20",
        ],
        &expect![[r#"
        error: no number after `%`
          1 | bm25% >> reranker
            |     ^ expected a number
          help: write `%20` to keep the 20 best

        error: `-5` is not a number
          1 | bm25%-5
            |      ^^ expected a number
          help: a limit is a whole number of at least 0, such as `%20`

        error: the limit `99999999999` is too large
          1 | bm25%99999999999
            |      ^^^^^^^^^^^ expected a number
          help: a limit has at most 10 digits

        error: `20` without `%` before it
          1 | bm25 20
            |      ^^ expected `%`
          help: a limit is written `%20`
    "#]],
    );
}

#[test]
fn braces_that_do_not_match() {
    shows(
        &["{dense, bm25", "dense, bm25}RRF"],
        &expect![[r#"
        error: `{` is never closed
          1 | {dense, bm25
            | ^ expected `}`
            |             - `}` and a merger are missing here

        error: `,` outside of braces
          1 | dense, bm25}RRF
            |      ^ expected `>>`
          help: branches stand in braces, with a merger after them: `{a, b}RRF`

        error: `}` without `{` before it
          1 | dense, bm25}RRF
            |            ^
    "#]],
    );
}

#[test]
fn brackets_that_do_not_match() {
    shows(
        &["dense[d >> bm25", "dense]", "dense[]", "dense[a b]"],
        &expect![[r#"
        error: `[` is never closed
          1 | dense[d >> bm25
            |      ^ expected `]`
            |        - `]` is missing here

        error: `]` without `[` before it
          1 | dense]
            |      ^

        error: the label is empty
          1 | dense[]
            |      ^^ expected a name

        error: a label is one name
          1 | dense[a b]
            |      ^^^^^ expected `]`
    "#]],
    );
}

#[test]
fn names_that_are_none() {
    shows(
        &["2stage%20", "bm25.v2", "modèle", "dense@"],
        &expect![[r#"
        error: `2stage` is not a name
          1 | 2stage%20
            | ^^^^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

        error: `bm25.v2` is not a name
          1 | bm25.v2
            | ^^^^^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

        error: `modèle` is not a name
          1 | modèle
            | ^^^^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

        error: no view after `@`
          1 | dense@
            |      ^ expected a name
          help: name a content view of the collection, such as `@text`
    "#]],
    );
}

#[test]
fn suffixes_too_many_or_alone() {
    shows(
        &["bm25%5[a]%6", "%20 >> bm25"],
        &expect![[r#"
        error: a second limit for the same call
          1 | bm25%5[a]%6
            |          ^^
            |     -- the first is here

        error: `%` without a name before it
          1 | %20 >> bm25
            | ^ expected a name
          help: suffixes follow the name of a service: `name[label]@view%20`
    "#]],
    );
}

#[test]
fn unknown_characters() {
    shows(
        &["bm25 (20)", "“bm25”%20", "bm25 ?!"],
        &expect![[r#"
        error: unknown character `(`
          1 | bm25 (20)
            |      ^
          help: branches stand in `{` and `}`

        error: `20` without `%` before it
          1 | bm25 (20)
            |       ^^ expected `%`
          help: a limit is written `%20`

        error: unknown character `)`
          1 | bm25 (20)
            |         ^
          help: branches stand in `{` and `}`

        error: unknown character `“`
          1 | “bm25”%20
            | ^
          help: names are written without quotes

        error: unknown character `”`
          1 | “bm25”%20
            |      ^
          help: names are written without quotes

        error: unknown characters `?!`
          1 | bm25 ?!
            |      ^^
    "#]],
    );
}

#[test]
fn several_at_once() {
    shows(
        &["{dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30"],
        &expect![[r#"
        error: no number after `%`
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |       ^ expected a number
          help: write `%20` to keep the 20 best

        error: `[` is never closed
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |              ^ expected `]`
            |                - `]` is missing here

        error: `x` is not a number
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |                     ^ expected a number
          help: a limit is a whole number of at least 0, such as `%20`

        error: `2stage` is not a name
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |                          ^^^^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

        error: no merger after `}`
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |                                         ^ expected a name
          help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`

        error: a second limit for the same call
          1 | {dense%, bm25[b}RRF%x >> 2stage >> {a, b} >> rr%20%30
            |                                                   ^^^
            |                                                --- the first is here
    "#]],
    );
}

#[test]
fn places_in_several_lines_and_under_wide_characters() {
    shows(
        &[
            "{\r\n  dense%,\r\n  bm25\r\n} >> rr",
            "{a,\n  b >>\n  c",
            "漢字\t>> a%",
            "ｂｍ25 e\u{301} a%",
        ],
        &expect![[r#"
            error: no number after `%`
              2 |   dense%,
                |        ^ expected a number
              help: write `%20` to keep the 20 best

            error: no merger after `}`
              4 | } >> rr
                | ^ expected a name
              help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`

            error: `{` is never closed
              1 | {a,
                | ^ expected `}`
              3 |   c
                |    - `}` and a merger are missing here

            error: `漢字` is not a name
              1 | 漢字 >> a%
                | ^^^^ expected a name
              help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

            error: no number after `%`
              1 | 漢字 >> a%
                |          ^ expected a number
              help: write `%20` to keep the 20 best

            error: `ｂｍ25` is not a name
              1 | ｂｍ25 e� a%
                | ^^^^^^ expected a name
              help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

            error: two stages with nothing between them
              1 | ｂｍ25 e� a%
                |        ^^ expected `>>`
              help: `a >> b` hands the results of `a` to `b`

            error: `e\u{301}` is not a name
              1 | ｂｍ25 e� a%
                |        ^^ expected a name
              help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

            error: two stages with nothing between them
              1 | ｂｍ25 e� a%
                |           ^ expected `>>`
              help: `a >> b` hands the results of `a` to `b`

            error: no number after `%`
              1 | ｂｍ25 e� a%
                |            ^ expected a number
              help: write `%20` to keep the 20 best
        "#]],
    );
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let long = format!("{}bm25% >> {}", "a >> ".repeat(60), "b >> ".repeat(60));
    let word = "x.".repeat(300);
    shows(
        &[&long, &word],
        &expect![[r#"
        error: no number after `%`
          1 | … a >> a >> a >> a >> a >> a >> a >> bm25% >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b…
            |                                          ^ expected a number
          help: write `%20` to keep the 20 best

        error: no stage after `>>`
          1 | … b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >> b >>
            |                                                                                               ^^ expected a name or `{`

        error: `x.x.x.x.x.x.x.x.x.x.x.x.…` is not a name
          1 | x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.…
            | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)
    "#]],
    );
}

#[test]
fn nothing_in_the_source_steers_a_terminal() {
    shows(
        &["a\u{1b}[31m] >> \u{202e}b\u{7}"],
        &expect![[r#"
        error: unknown character `\u{1b}`
          1 | a�[31m] >> �b�
            |  ^

        error: `31m` is not a name
          1 | a�[31m] >> �b�
            |    ^^^ expected a name
          help: a name is a letter, then letters, digits, `_` or `-` (ASCII only)

        error: unknown character `\u{202e}`
          1 | a�[31m] >> �b�
            |            ^

        error: unknown character `\u{7}`
          1 | a�[31m] >> �b�
            |              ^
    "#]],
    );
}

#[test]
fn machines_get_places_in_code_points_and_what_was_expected() {
    let source = "é >> {a, b} >> c";
    let [name, merger] = <[_; 2]>::try_from(parse(source).unwrap_err()).unwrap();
    assert_eq!((name.span.clone(), name.char_span(source)), (0..2, 0..1));
    assert_eq!(
        (merger.span.clone(), merger.char_span(source)),
        (11..12, 10..11)
    );
    assert_eq!(merger.expected, ["name"]);
}
