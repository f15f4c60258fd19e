//! Paths with a gap, written as Python's `str.format` has them: `{id}`, `{shard:06d}`.

use routir_core::{Error, Result};

/// The widest number.
const MAX_WIDTH: usize = 64;

/// A text with gaps for one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    source: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Value(Form),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    AsIs,
    Number { width: usize, fill: char },
}

impl Template {
    /// Reads `source`, whose gaps must be named `name`.
    ///
    /// # Errors
    /// When it is no such template.
    pub(crate) fn parse(source: &str, name: &str) -> Result<Self> {
        let wrong = |what: String| Error::invalid(format!("the template {source:?} {what}"));
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            text.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or(brace.strip_prefix("}}")) {
                text.push_str(brace.get(..1).unwrap_or_default());
                rest = after;
                continue;
            }
            let gap = brace.strip_prefix('{').and_then(|gap| gap.split_once('}'));
            let (gap, after) = gap.ok_or_else(|| {
                wrong("has a brace without its other half; write `{{` or `}}` for one".to_owned())
            })?;
            let (found, form) = gap.split_once(':').unwrap_or((gap, ""));
            if found != name {
                return Err(wrong(format!(
                    "has `{{{gap}}}`, and only `{{{name}}}` is known"
                )));
            }
            let form = Form::parse(form).ok_or_else(|| {
                wrong(format!(
                    "has the format `{form}`, and only numbers as in `{{{name}:06d}}` are known"
                ))
            })?;
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Value(form));
            rest = after;
        }
        text.push_str(rest);
        pieces.push(Piece::Text(text));
        Ok(Self {
            source: source.to_owned(),
            pieces,
        })
    }

    /// The text with `value` in every gap.
    ///
    /// # Errors
    /// When a number is wanted and `value` is none.
    pub(crate) fn fill(&self, value: &str) -> Result<String> {
        let mut filled = String::with_capacity(self.source.len() + value.len());
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => filled.push_str(piece),
                Piece::Value(Form::AsIs) => filled.push_str(value),
                Piece::Value(Form::Number { width, fill }) => {
                    let number: i64 = value.parse().map_err(|_| {
                        let source = &self.source;
                        Error::invalid(format!("{source:?} wants a number, not {value:?}"))
                    })?;
                    let number = match fill {
                        '0' => format!("{number:0width$}"),
                        _ => format!("{number:width$}"),
                    };
                    filled.push_str(&number);
                }
            }
        }
        Ok(filled)
    }
}

impl Form {
    fn parse(form: &str) -> Option<Self> {
        let Some(number) = form.strip_suffix('d') else {
            return matches!(form, "" | "s").then_some(Self::AsIs);
        };
        let fill = if number.starts_with('0') { '0' } else { ' ' };
        let width = match number {
            "" => 0,
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok()?,
            _ => return None,
        };
        (width <= MAX_WIDTH).then_some(Self::Number { width, fill })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(source: &str, value: &str) -> Result<String> {
        Template::parse(source, "shard")?.fill(value)
    }

    #[test]
    fn gaps_are_filled_as_python_fills_them() {
        for (source, value, expected) in [
            ("/d/{shard}.tar", "a7", "/d/a7.tar"),
            ("{shard}/{shard:s}", "x", "x/x"),
            ("{shard:06d}.tar", "42", "000042.tar"),
            ("{shard:06d}.tar", "0042", "000042.tar"),
            ("{shard:3d}|{shard:d}", "7", "  7|7"),
            ("{{{shard}}}", "x", "{x}"),
            ("none", "x", "none"),
        ] {
            assert_eq!(fill(source, value).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in [
            "{shard",
            "shard}",
            "{id}",
            "{}",
            "{0}",
            "{shard!r}",
            "{shard:x}",
            "{shard:+d}",
            "{shard:99999999d}",
            "{shard.x}",
        ] {
            assert!(Template::parse(bad, "shard").is_err(), "{bad}");
        }
        assert!(fill("{shard:06d}", "a").is_err());
    }
}
