//! Which members of an archive belong to an id: a glob or a regular expression that the whole name
//! must match.
//!
//! The id stands for itself, whatever letters it has. What a name must begin with is looked up; only
//! names that begin so are matched.

use regex::bytes::{Regex, RegexBuilder};
use routir_core::{Error, Result};

/// How large a compiled expression may be, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// The gap for the id.
const GAP: &str = "{id}";

/// A pattern for names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matcher {
    /// What stands around the gaps.
    pieces: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Glob,
    Regex,
}

/// The names of one id.
pub(super) struct Names {
    /// What they begin with.
    pub(super) prefix: Vec<u8>,
    /// What they match; `None` is the prefix and nothing else.
    regex: Option<Regex>,
}

impl Names {
    /// Whether `name` is one of them.
    pub(super) fn hold(&self, name: &[u8]) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(name),
            None => name == self.prefix,
        }
    }
}

impl Matcher {
    /// A glob, as Python's `fnmatch` has it: `*`, `?`, `[…]` and `[!…]`, all of which match `/`, too.
    ///
    /// # Errors
    /// When it is no such pattern.
    pub(crate) fn glob(pattern: &str) -> Result<Self> {
        Self::of(pattern, Kind::Glob)
    }

    /// A regular expression.
    ///
    /// # Errors
    /// When it is none, or one that needs looking around or back.
    pub(crate) fn regex(pattern: &str) -> Result<Self> {
        Self::of(pattern, Kind::Regex)
    }

    fn of(pattern: &str, kind: Kind) -> Result<Self> {
        let pieces = pattern.split(GAP).map(str::to_owned).collect();
        let matcher = Self { pieces, kind };
        matcher.compile("id").map_err(|error| {
            Error::invalid(format!(
                "the pattern {pattern:?} cannot be used: {error}; it may not look around or \
                 refer back"
            ))
        })?;
        Ok(matcher)
    }

    /// The names of the members of `id`.
    ///
    /// # Errors
    /// When the id makes the expression too large.
    pub(super) fn names(&self, id: &str) -> Result<Names> {
        let (prefix, exact) = self.prefix(id);
        let regex = if exact {
            None
        } else {
            let compiled = self.compile(id);
            Some(compiled.map_err(|_| Error::invalid("the id is too long for the matcher"))?)
        };
        Ok(Names {
            prefix: prefix.into_bytes(),
            regex,
        })
    }

    fn compile(&self, id: &str) -> Result<Regex, regex::Error> {
        let pieces = self.pieces.iter().map(|piece| match self.kind {
            Kind::Glob => translate(piece),
            Kind::Regex => piece.clone(),
        });
        let pieces: Vec<_> = pieces.collect();
        let whole = format!(r"\A(?:{})\z", pieces.join(&regex::escape(id)));
        RegexBuilder::new(&whole).size_limit(MAX_COMPILED).build()
    }

    /// What every name of `id` begins with, and whether it ends there, too.
    fn prefix(&self, id: &str) -> (String, bool) {
        let mut prefix = String::new();
        // Where there is a choice, nothing is certain.
        if self.kind == Kind::Regex && self.pieces.iter().any(|piece| piece.contains('|')) {
            return (prefix, false);
        }
        for (at, piece) in self.pieces.iter().enumerate() {
            if at > 0 {
                prefix.push_str(id);
            }
            let certain = match self.kind {
                Kind::Glob => piece.find(['*', '?', '[']),
                Kind::Regex => {
                    let rest = literal(piece, &mut prefix);
                    if rest.is_some_and(repeats) {
                        prefix.pop();
                    }
                    if rest.is_some() {
                        return (prefix, false);
                    }
                    continue;
                }
            };
            match certain {
                None => prefix.push_str(piece),
                Some(end) => {
                    prefix.push_str(piece.get(..end).unwrap_or_default());
                    return (prefix, false);
                }
            }
        }
        (prefix, true)
    }
}

/// Adds to `prefix` what an expression surely begins with; returns what follows, if anything does.
fn literal<'p>(piece: &'p str, prefix: &mut String) -> Option<&'p str> {
    let mut rest = piece;
    while let Some(letter) = rest.chars().next() {
        let (letter, length) = match letter {
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' => {
                return Some(rest);
            }
            '\\' => match rest.chars().nth(1) {
                Some(escaped)
                    if escaped.is_ascii_punctuation() && escaped != '<' && escaped != '>' =>
                {
                    (escaped, 2)
                }
                _ => return Some(rest),
            },
            letter => (letter, letter.len_utf8()),
        };
        prefix.push(letter);
        rest = rest.get(length..).unwrap_or_default();
    }
    None
}

/// Whether what follows says how often the letter before it stands there.
fn repeats(rest: &str) -> bool {
    rest.starts_with(['*', '?', '+', '{'])
}

/// A glob as a regular expression.
fn translate(glob: &str) -> String {
    let mut expression = String::from("(?s-u:");
    let mut rest = glob;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = after;
        match letter {
            '*' => expression.push_str(".*"),
            '?' => expression.push_str("(?u:.)"),
            '[' => match class(after) {
                Some((class, after)) => {
                    expression.push_str(&class);
                    rest = after;
                }
                None => expression.push_str(r"\["),
            },
            letter => {
                let literal = regex::escape(letter.encode_utf8(&mut [0; 4]));
                expression.push_str(&format!("(?u:{literal})"));
            }
        }
    }
    expression.push(')');
    expression
}

/// The set that a glob opens with `[`, and what follows it; `None` when it is not closed.
fn class(after: &str) -> Option<(String, &str)> {
    let (negated, inner) = match after.strip_prefix('!') {
        Some(inner) => (true, inner),
        None => (false, after),
    };
    // A bracket that comes first stands for itself.
    let from = usize::from(inner.starts_with(']'));
    let end = inner.get(from..)?.find(']')? + from;
    let (letters, rest) = inner.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    let mut class = String::from(if negated { "(?u:[^" } else { "(?u:[" });
    let letters: Vec<char> = letters.chars().collect();
    let mut left = letters.as_slice();
    let escaped = |letter: &char| format!(r"\x{{{:x}}}", u32::from(*letter));
    let mut empty = true;
    while let Some((first, others)) = left.split_first() {
        left = others;
        if let [dash, last, others @ ..] = others
            && *dash == '-'
        {
            left = others;
            // A range that runs backwards holds nothing.
            if first <= last {
                class.push_str(&format!("{}-{}", escaped(first), escaped(last)));
                empty = false;
            }
            continue;
        }
        class.push_str(&escaped(first));
        empty = false;
    }
    if empty {
        let nothing = if negated { "(?u:.)" } else { "(?u:[^\\s\\S])" };
        return Some((nothing.to_owned(), rest));
    }
    class.push_str("])");
    Some((class, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(matcher: &Matcher, id: &str, name: &str) -> bool {
        let names = matcher.names(id).unwrap();
        let found = names.hold(name.as_bytes());
        if found {
            // What is looked up by its beginning must not be missed.
            assert!(name.as_bytes().starts_with(&names.prefix), "{name}");
        }
        found
    }

    // Each row was checked with Python 3: `re.match(fnmatch.translate(…), name)`.
    #[test]
    fn globs_match_as_pythons_do() {
        for (pattern, id, name, expected) in [
            ("{id}.jpg", "a", "a.jpg", true),
            ("{id}.jpg", "a", "a.jpgx", false),
            ("{id}.jpg", "a", "xa.jpg", false),
            ("{id}_*.jpg", "v1", "v1_000.jpg", true),
            ("{id}_*.jpg", "v1", "v10_000.jpg", false),
            ("*/{id}.jpg", "a", "x/y/a.jpg", true),
            ("{id}.t?.jpg", "a", "a.té.jpg", true),
            ("{id}.[0-9].x", "a", "a.7.x", true),
            ("{id}.[!0-9].x", "a", "a.7.x", false),
            ("{id}.[]]", "a", "a.]", true),
            ("{id}.[z-a]", "a", "a.z", false),
            ("{id}[", "a", "a[", true),
            ("{id}.*", "a", "a.x\ny", true),
            ("{id}.jpg", "a*", "ab.jpg", false),
            ("{id}.jpg", "a*", "a*.jpg", true),
            ("{id}.*", ".*", "x.jpg", false),
            ("{id}/{id}.x", "a", "a/a.x", true),
            ("{id}/{id}.x", "a", "a/b.x", false),
        ] {
            let matcher = Matcher::glob(pattern).unwrap();
            assert_eq!(
                matches(&matcher, id, name),
                expected,
                "{pattern} {id} {name:?}"
            );
        }
    }

    #[test]
    fn expressions_are_anchored_and_ids_are_literal() {
        for (pattern, id, name, expected) in [
            (r"{id}\.t\d+\.jpg", "v", "v.t12.jpg", true),
            (r"{id}\.t\d+\.jpg", "v", "v.t12.jpg2", false),
            (r"{id}\.t\d+\.jpg", "v", "xv.t12.jpg", false),
            (r"{id}\.jpg", "v.", "v.x.jpg", false),
            (r"{id}|x", "v", "x", true),
            (r"{id}|x", "v", "xv", false),
            (r"{id}?\.jpg", "ab", "a.jpg", true),
            (r"frames?/{id}", "a", "frame/a", true),
            (r"{id}\.\w{3}", "a", "a.jpg", true),
            (r"(?i){id}\.JPG", "a", "A.jpg", true),
            (r"{id}\.jpg", "a", "a.jpg\n", false),
        ] {
            let matcher = Matcher::regex(pattern).unwrap();
            assert_eq!(
                matches(&matcher, id, name),
                expected,
                "{pattern} {id} {name:?}"
            );
        }
        for bad in ["{id}(", r"(?={id})x", r"({id})\1", "{id}{9999}{9999}"] {
            assert!(Matcher::regex(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_id_finds_its_own_name_and_no_other(id in "\\PC{1,12}", other in "\\PC{1,12}") {
            for matcher in [
                Matcher::glob("d/{id}.j*g").unwrap(),
                Matcher::glob("d/{id}.jpg").unwrap(),
                Matcher::regex(r"d/{id}\.j?p+g").unwrap(),
            ] {
                let own = format!("d/{id}.jpg");
                prop_assert!(matches(&matcher, &id, &own));
                if other != id && !other.starts_with(&format!("{id}.j")) {
                    let name = format!("d/{other}.jpg");
                    prop_assert!(!matches(&matcher, &id, &name));
                }
            }
        }

        #[test]
        fn no_glob_is_refused(pattern in "[a-z*?!\\[\\]\\-é{}]{0,12}") {
            prop_assert!(Matcher::glob(&pattern).is_ok());
        }
    }
}
