//! A query and a passage inside a sentence that asks whether they belong together, cut to a model's
//! length so that the sentence survives: only the two texts give way.

use std::ops::Range;

use routir_core::{Error, Result};
use tokenizers::Encoding;

use crate::TextTokenizer;
use crate::tokenizer::{BYTES_PER_TOKEN, MOST_BYTES_PER_TOKEN, beginning};

/// A sentence with a place for a query and one for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    before: String,
    between: String,
    after: String,
}

impl Template {
    /// Of a text with `{query}` and, after it, `{document}`, each once.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parts = text
            .split_once("{query}")
            .and_then(|(before, rest)| Some((before, rest.split_once("{document}")?)))
            .filter(|(_, (_, after))| !after.contains("{query}") && !after.contains("{document}"));
        let Some((before, (between, after))) = parts else {
            return Err(Error::invalid(format!(
                "the template `{text}` must have `{{query}}` and then `{{document}}`, each once"
            )));
        };
        Ok(Self {
            before: before.to_owned(),
            between: between.to_owned(),
            after: after.to_owned(),
        })
    }

    /// The ids of the filled template, at most `max` of them, and whether something was cut; `framed`
    /// puts the tokenizer's special tokens around it. Both texts are cut at their ends, the longer
    /// one first. Of long texts only a beginning is read, as in [`TextTokenizer::tokens`].
    ///
    /// # Errors
    /// When the tokenizer fails, or the template alone leaves no room for texts.
    pub(super) fn fill(
        &self,
        tokenizer: &TextTokenizer,
        query: &str,
        document: &str,
        max: usize,
        framed: bool,
    ) -> Result<(Vec<u32>, bool)> {
        let mut bytes = max.saturating_mul(BYTES_PER_TOKEN).max(1024);
        let most = max.saturating_mul(MOST_BYTES_PER_TOKEN).max(65_536);
        loop {
            let (first, second) = (beginning(query, bytes), beginning(document, bytes));
            let whole = first.len() == query.len() && second.len() == document.len();
            let encoding = tokenizer.spans(&self.text(first, second), framed)?;
            if encoding.len() <= max && (whole || bytes >= most) {
                return Ok((encoding.get_ids().to_vec(), !whole));
            }
            if encoding.len() > max {
                return Ok((self.cut(&encoding, first.len(), second.len(), max)?, true));
            }
            bytes = bytes.saturating_mul(8).min(most);
        }
    }

    fn text(&self, query: &str, document: &str) -> String {
        let Self {
            before,
            between,
            after,
        } = self;
        format!("{before}{query}{between}{document}{after}")
    }

    /// The tokens that stay of a template filled with texts of these lengths in bytes.
    fn cut(
        &self,
        encoding: &Encoding,
        query: usize,
        document: usize,
        max: usize,
    ) -> Result<Vec<u32>> {
        let query = self.before.len()..self.before.len() + query;
        let document_start = query.end + self.between.len();
        let document = document_start..document_start + document;
        let added = encoding.get_special_tokens_mask().iter();
        let tokens = encoding.get_offsets().iter().zip(added);
        let parts: Vec<Part> = tokens
            .map(|(&span, &added)| match added {
                0 => part(span, &query, &document),
                _ => Part::Template,
            })
            .collect();
        let kept = keep(&parts, max).ok_or_else(|| {
            Error::invalid(format!(
                "{max} tokens leave no room for a query and a passage beside what stands around them; \
                 allow more"
            ))
        })?;
        let ids = encoding.get_ids().iter().zip(kept);
        Ok(ids.filter_map(|(&id, kept)| kept.then_some(id)).collect())
    }
}

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Template,
    Query,
    Document,
}

/// A token that begins with a blank of the template belongs to the text that it ends in.
fn part((start, end): (usize, usize), query: &Range<usize>, document: &Range<usize>) -> Part {
    match end.checked_sub(1).filter(|_| start < end) {
        Some(last) if query.contains(&last) => Part::Query,
        Some(last) if document.contains(&last) => Part::Document,
        _ => Part::Template,
    }
}

/// Which tokens stay so that `max` do; `None` when the template's are more.
fn keep(parts: &[Part], max: usize) -> Option<Vec<bool>> {
    let count = |wanted| parts.iter().filter(|&&it| it == wanted).count();
    let (query, document) = (count(Part::Query), count(Part::Document));
    let room = max
        .checked_sub(count(Part::Template))
        .filter(|&room| room > 0)?;
    let mut queries = query.min(room.saturating_sub(document).max(room.div_ceil(2)));
    let mut documents = document.min(room - queries);
    let take = |left: &mut usize| {
        let taken = *left > 0;
        *left = left.saturating_sub(1);
        taken
    };
    let kept = parts.iter().map(|part| match part {
        Part::Template => true,
        Part::Query => take(&mut queries),
        Part::Document => take(&mut documents),
    });
    Some(kept.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A token per character, as byte-level tokenizers have, and `</s>` at the end.
    fn characters() -> TextTokenizer {
        let letters = (b' '..=b'~').map(|byte| char::from(byte).to_string().replace(' ', "Ġ"));
        let vocabulary: serde_json::Map<String, serde_json::Value> = letters
            .zip(1..)
            .map(|(letter, id)| (letter, json!(id)))
            .collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [0], "tokens": ["</s>"]}}
            },
            "decoder": null,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []}
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), tokenizer.to_string()).unwrap();
        TextTokenizer::open(file.path()).unwrap()
    }

    fn filled(query: &str, document: &str, max: usize) -> (String, bool) {
        let template = Template::parse("Q: {query} D: {document} R:").unwrap();
        let (ids, cut) = template
            .fill(&characters(), query, document, max, true)
            .unwrap();
        let letter = |&id: &u32| match id {
            0 => '$',
            id => char::from(b' ' + u8::try_from(id).unwrap() - 1),
        };
        (ids.iter().map(letter).collect(), cut)
    }

    #[test]
    fn the_document_is_cut_and_the_sentence_survives() {
        let cut = |text: &str| (text.to_owned(), true);
        assert_eq!(
            filled("ab", "cdefgh", 100),
            ("Q: ab D: cdefgh R:$".to_owned(), false)
        );
        assert_eq!(filled("ab", "cdefgh", 16), cut("Q: ab D: cde R:$"));
        assert_eq!(filled("abcdefgh", "i", 16), cut("Q: abcd D: i R:$"));
        let long = "word ".repeat(100_000);
        assert_eq!(filled("ab", &long, 16), cut("Q: ab D: wor R:$"));
    }

    #[test]
    fn a_template_needs_both_places_in_order() {
        for wrong in [
            "",
            "{query}",
            "{document} {query}",
            "{query}{document}{document}",
        ] {
            assert!(
                Template::parse(wrong)
                    .unwrap_err()
                    .message()
                    .contains("`{query}`"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_template_longer_than_the_model_is_an_error() {
        let template = Template::parse("Q: {query} D: {document} R:").unwrap();
        let error = template.fill(&characters(), "a", "b", 5, true).unwrap_err();
        assert!(error.message().contains("no room"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_allowed_and_short_texts_are_whole(
            query in 0_usize..30, document in 0_usize..30, template in 0_usize..10, room in 1_usize..40,
        ) {
            let parts: Vec<Part> = std::iter::empty()
                .chain(vec![Part::Template; template])
                .chain(vec![Part::Query; query])
                .chain(vec![Part::Document; document])
                .collect();
            let kept = keep(&parts, template + room).unwrap();
            let count = |wanted| parts.iter().zip(&kept).filter(|&(&it, &kept)| kept && it == wanted).count();
            prop_assert_eq!(count(Part::Template), template);
            prop_assert_eq!(count(Part::Query) + count(Part::Document), room.min(query + document));
            if query <= room / 2 { prop_assert_eq!(count(Part::Query), query); }
            if document <= room / 2 { prop_assert_eq!(count(Part::Document), document); }
        }
    }
}
