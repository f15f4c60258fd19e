//! Texts with named places, as Python's `str.format` reads them.

use std::fmt::Write as _;

use routir_core::{Error, ErrorCode, Result, shorten};

/// A text with places for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// One of the places, by its number among them.
    Place(usize),
}

impl Template {
    /// Reads a text with `places`, such as `{query}`, in it, each any number of times. `{{` and `}}`
    /// are braces.
    ///
    /// # Errors
    /// For another place, or a brace alone.
    pub(crate) fn parse(text: &str, places: &[&str]) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let named = brace.strip_prefix('{').and_then(|it| it.split_once('}'));
                let place = named.and_then(|(name, after)| {
                    let number = places.iter().position(|place| *place == name)?;
                    Some((number, after))
                });
                let (number, after) = place.ok_or_else(|| wrong(text, places))?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Place(number));
                rest = after;
            }
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self { pieces })
    }

    /// Whether the place with that number is in it.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.pieces.contains(&Piece::Place(place))
    }

    /// `text` and then the place, of which there is one.
    pub(crate) fn before(text: String) -> Self {
        Self {
            pieces: vec![Piece::Text(text), Piece::Place(0)],
        }
    }

    /// The text with `values` in the places.
    pub(crate) fn fill(&self, values: &[&str]) -> String {
        self.filled(values).collect()
    }

    /// The same, if it has at most `most` bytes.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] when it would have more.
    pub(crate) fn fill_within(&self, values: &[&str], most: usize) -> Result<String> {
        let pieces = self.filled(values);
        let bytes = pieces.fold(0, |sum: usize, piece| sum.saturating_add(piece.len()));
        if bytes > most {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!("the prompt would have {bytes} bytes; {most} are allowed"),
            ));
        }
        Ok(self.fill(values))
    }

    fn filled<'a>(&'a self, values: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Place(number) => values.get(*number).copied().unwrap_or_default(),
        })
    }
}

fn wrong(text: &str, places: &[&str]) -> Error {
    let mut message = format!("the template `{}` may have", shorten(text));
    for (number, place) in places.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(message, "{comma} `{{{place}}}`");
    }
    message.push_str(" and no other place in braces; a brace itself is written twice");
    Error::invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_filled_as_python_would() {
        let places = ["query", "document"];
        let filled = |text: &str| Template::parse(text, &places)?.fill_within(&["{q}", "d}"], 100);
        assert_eq!(filled("{query}: {document}").unwrap(), "{q}: d}");
        assert_eq!(filled("{{{query}}}{query}").unwrap(), "{{q}}{q}");
        assert_eq!(filled("no place").unwrap(), "no place");
        assert_eq!(filled("").unwrap(), "");
        for bad in [
            "{",
            "}",
            "{}",
            "{other}",
            "{query",
            "{query!r}",
            "{ query}",
            "a } b",
        ] {
            let error = filled(bad).unwrap_err();
            assert!(
                error.message().contains("`{query}`, `{document}`"),
                "{bad}: {error}"
            );
        }
        let long = filled(&"{query}".repeat(40)).unwrap_err();
        assert_eq!(long.code(), ErrorCode::TooLarge);
    }

    #[test]
    fn knows_its_places() {
        let template = Template::parse("{b}", &["a", "b"]).unwrap();
        assert!(template.has(1) && !template.has(0));
    }
}
