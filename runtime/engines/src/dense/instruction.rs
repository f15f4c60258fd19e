//! What is put around a query: a text with a place for it, as Python's `str.format` reads it.

use routir_core::{Error, Result};

/// A text with `{query}` in it, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// What stands before, between and after the places.
    parts: Vec<String>,
}

impl Instruction {
    /// Reads `Query: {query}`. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// When there is no `{query}`, another place, or a brace alone.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts = vec![String::new()];
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            let after = ["{query}", "{{", "}}"]
                .iter()
                .find_map(|known| Some((*known, brace.strip_prefix(known)?)));
            let Some((known, after)) = after else {
                return Err(wrong(text));
            };
            if let Some(part) = parts.last_mut() {
                part.push_str(before);
                part.extend(known.chars().next().filter(|_| known != "{query}"));
            }
            if known == "{query}" {
                parts.push(String::new());
            }
            rest = after;
        }
        match parts.last_mut() {
            Some(last) => last.push_str(rest),
            None => return Err(wrong(text)),
        }
        if parts.len() < 2 {
            return Err(wrong(text));
        }
        Ok(Self { parts })
    }

    /// The query comes after `text`.
    pub(crate) fn before(text: String) -> Self {
        Self {
            parts: vec![text, String::new()],
        }
    }

    /// The text with `query` in its places.
    pub(crate) fn around(&self, query: &str) -> String {
        self.parts.join(query)
    }
}

fn wrong(text: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::invalid(format!(
        "an instruction must have {{query}} where the query goes and no other place in braces (a \
         brace itself is written twice), not `{shown}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_the_query_where_python_would() {
        let filled = |text: &str| Instruction::parse(text).map(|it| it.around("{a} b"));
        assert_eq!(filled("Q: {query}").unwrap(), "Q: {a} b");
        assert_eq!(filled("{query}{{{query}}}").unwrap(), "{a} b{{a} b}");
        for bad in [
            "",
            "no place",
            "{}",
            "{quer}",
            "{query",
            "query}",
            "{query!r}",
            "{{query}}",
        ] {
            let error = filled(bad).unwrap_err();
            assert!(error.message().contains("{query}"), "{error}");
        }
    }
}
