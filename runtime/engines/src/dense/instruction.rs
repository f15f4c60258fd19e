//! What is put around a query: a text with a place for it, as Python's `str.format` reads it.

use routir_core::{Error, Result};

use crate::template::Template;

/// A text with `{query}` in it, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction(Template);

impl Instruction {
    /// Reads `Query: {query}`. `{{` and `}}` are braces.
    ///
    /// # Errors
    /// When there is no `{query}`, another place, or a brace alone.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let template = Template::parse(text, &["query"]).ok();
        let template = template.filter(|template| template.has(0));
        template.map(Self).ok_or_else(|| wrong(text))
    }

    /// The query comes after `text`.
    pub(crate) fn before(text: String) -> Self {
        Self(Template::before(text))
    }

    /// The text with `query` in its places.
    pub(crate) fn around(&self, query: &str) -> String {
        self.0.fill(&[query])
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
