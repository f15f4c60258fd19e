//! Texts of guests that people read: explanations and log lines.

use std::fmt::Write;

use super::limits::MAX_SAID;

/// An explanation as an answer may repeat it: one line, no control characters, cut short.
pub(crate) fn said(text: &str) -> String {
    let mut shown = String::new();
    let mut chars = text
        .trim()
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !unprintable(*c));
    shown.extend(chars.by_ref().take(MAX_SAID));
    if chars.next().is_some() {
        shown.push('…');
    }
    if shown.is_empty() {
        shown.push_str("it does not say why");
    }
    shown
}

/// A line for the log: cut at `max` bytes, control characters escaped, so that a guest can neither
/// begin a line of its own nor speak to a terminal.
pub(crate) fn line(message: &str, max: usize) -> String {
    let text = cut(message, max);
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if unprintable(c) {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// The first `max` bytes of a text, less if a character would be torn.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Control characters, and those that turn the direction of the text around them.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_are_one_short_printable_line() {
        assert_eq!(said("  no\nsuch\tthing\u{1b}[31m "), "no such thing[31m");
        assert_eq!(said("\u{202e}abc"), "abc");
        assert_eq!(said(" \u{7} "), "it does not say why");
        let long = said(&"é".repeat(5000));
        assert_eq!(long.chars().count(), MAX_SAID + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn log_lines_cannot_forge_lines() {
        assert_eq!(line("a\nERROR b\r\u{1b}c", 100), "a\\nERROR b\\r\\u{1b}c");
        assert_eq!(line("éé", 3), "é");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 300), "aé");
        assert_eq!(cut("é", 0), "");
    }
}
