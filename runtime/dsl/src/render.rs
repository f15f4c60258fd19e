//! Diagnostics for people: the line, a caret under the place, and what to do.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

use crate::{Diagnostic, Span};

/// How many columns of a long line are shown.
const COLUMNS: usize = 96;

/// How many of them before the place itself, when the line is cut.
const BEFORE: usize = 40;

/// Shows each diagnostic with the line of `source` that it is about and carets under its place:
///
/// ```text
/// error: no merger after `}`
///   1 | {dense, bm25} >> reranker
///     |              ^ expected a name
///   help: name the service that fuses the branches right after the brace, such as `{a, b}RRF`
/// ```
///
/// Lines are numbered from 1, columns are those of a terminal (a wide character takes two), long
/// lines are cut, and characters that would steer a terminal are replaced.
#[must_use]
pub fn render(source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        put(&mut out, source, diagnostic);
    }
    out
}

fn put(out: &mut String, source: &str, diagnostic: &Diagnostic) {
    let place = Place::of(source, &diagnostic.span);
    let related = diagnostic
        .related
        .as_ref()
        .map(|related| (Place::of(source, &related.span), related.message.as_str()));
    let last = related
        .as_ref()
        .map_or(place.line, |(other, _)| place.line.max(other.line));
    let gutter = last.to_string().len().max(3);

    let _ = writeln!(out, "error: {}", diagnostic.message);
    place.put_line(out, gutter);
    place.put_carets(out, gutter, '^', &expectation(&diagnostic.expected));
    if let Some((other, message)) = related {
        if (other.line, &other.text) != (place.line, &place.text) {
            other.put_line(out, gutter);
        }
        other.put_carets(out, gutter, '-', message);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "  help: {help}");
    }
}

/// A span as a reader sees it: a line, perhaps cut, and the columns to mark in it.
struct Place {
    line: usize,
    text: String,
    indent: usize,
    width: usize,
}

impl Place {
    fn of(source: &str, span: &Span) -> Self {
        let start = source.floor_char_boundary(span.start);
        let end = source.floor_char_boundary(span.end).max(start);
        let (before, after) = source.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = after
            .find('\n')
            .map_or(source.len(), |newline| start + newline);
        let part = |from: usize, to: usize| source.get(from..to.max(from)).unwrap_or_default();

        let before = part(line_start, start);
        let marked = part(start, end.min(line_end)).trim_end_matches('\r');
        let after = part(start + marked.len(), line_end).trim_end_matches('\r');

        let (marked, width, marked_cut) = clip(marked.chars(), COLUMNS - BEFORE);
        let (after, after_width, after_cut) = clip(after.chars(), COLUMNS - width);
        // What is not needed behind the place may be shown before it.
        let room = COLUMNS.saturating_sub(width + after_width).max(BEFORE);
        let (before, indent, before_cut) = clip(before.chars().rev(), room);
        let before: String = before.chars().rev().collect();
        let (after, _, after_recut) = clip(after.chars(), COLUMNS.saturating_sub(indent + width));

        let left = if before_cut { "…" } else { "" };
        let right = if marked_cut || after_cut || after_recut {
            "…"
        } else {
            ""
        };
        let after = if marked_cut { "" } else { after.as_str() };
        let text = format!("{left}{before}{marked}{after}{right}");
        let indent = indent + usize::from(before_cut);
        let line = part(0, line_start).matches('\n').count() + 1;
        Self {
            line,
            text,
            indent,
            width: width.max(1),
        }
    }

    fn put_line(&self, out: &mut String, gutter: usize) {
        let line = format!("{:>gutter$} | {}", self.line, self.text);
        let _ = writeln!(out, "{}", line.trim_end());
    }

    fn put_carets(&self, out: &mut String, gutter: usize, mark: char, note: &str) {
        let marks = mark.to_string().repeat(self.width);
        let space = if note.is_empty() { "" } else { " " };
        let indent = self.indent;
        let _ = writeln!(out, "{:gutter$} | {:indent$}{marks}{space}{note}", "", "");
    }
}

/// The first characters, as they are shown, that fit into `room` columns; the columns that they
/// take; and whether there are more. Looks at few characters however many there are.
fn clip(chars: impl Iterator<Item = char>, room: usize) -> (String, usize, bool) {
    let (mut text, mut used) = (String::new(), 0);
    for (count, c) in chars.map(shown).enumerate() {
        let width = c.width().unwrap_or(0);
        // Characters without width would otherwise never fill the room.
        if used + width > room || count > 4 * COLUMNS {
            return (text, used, true);
        }
        used += width;
        text.push(c);
    }
    (text, used, false)
}

/// Whether `c` may reach a terminal as it is: neither a control nor invisible.
pub(crate) fn is_shown(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

fn shown(c: char) -> char {
    match c {
        c if c.is_whitespace() => ' ',
        c if is_shown(c) => c,
        _ => char::REPLACEMENT_CHARACTER,
    }
}

fn expectation(expected: &[String]) -> String {
    let phrase = |token: &String| match token.as_str() {
        "name" | "number" => format!("a {token}"),
        _ => format!("`{token}`"),
    };
    let phrases: Vec<_> = expected.iter().map(phrase).collect();
    match phrases.as_slice() {
        [] => String::new(),
        [one] => format!("expected {one}"),
        [most @ .., last] => format!("expected {} or {last}", most.join(", ")),
    }
}
