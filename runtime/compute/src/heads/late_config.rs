//! How a late-interaction model reads its texts, as its files say: ColBERT's `artifact.metadata`,
//! PyLate's `config_sentence_transformers.json`, or else its name.

use routir_core::{Error, Result};
use serde::Deserialize;

use super::token_encoder::TokenSpec;
use crate::TextTokenizer;
use crate::files::ModelFiles;
use crate::presets::{LatePreset, late_preset};

const QUERY_TOKENS: usize = 32;
const DOCUMENT_TOKENS: usize = 300;

/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// How texts are marked, cut and filled up.
#[derive(Debug)]
pub(super) struct LateConfig {
    pub(super) query_marker: Option<u32>,
    pub(super) document_marker: Option<u32>,
    pub(super) query_tokens: usize,
    pub(super) document_tokens: usize,
    /// What queries are filled up with.
    pub(super) mask: Option<u32>,
    pub(super) attend_to_expansion: bool,
    /// Tokens of documents that leave no vectors; sorted.
    pub(super) skipped: Vec<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    query_token_id: Option<String>,
    doc_token_id: Option<String>,
    query_maxlen: Option<usize>,
    doc_maxlen: Option<usize>,
    mask_punctuation: Option<bool>,
    attend_to_mask_tokens: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PyLate {
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    query_length: Option<usize>,
    document_length: Option<usize>,
    attend_to_expansion_tokens: Option<bool>,
    do_query_expansion: Option<bool>,
    skiplist_words: Option<Vec<String>>,
}

impl LateConfig {
    /// Reads it; what `spec` says comes first. A model of which nothing is known has no markers, fills
    /// up nothing and skips nothing.
    pub(super) fn read(
        files: &ModelFiles,
        spec: &TokenSpec,
        tokenizer: &TextTokenizer,
        max_tokens: usize,
    ) -> Result<Self> {
        let metadata: Option<Metadata> = files.json("artifact.metadata")?;
        let pylate: Option<PyLate> = files.json("config_sentence_transformers.json")?;
        let pylate = pylate.filter(|it| it.query_length.is_some() || it.query_prefix.is_some());
        let preset = late_preset(&spec.source.to_string());
        let known = metadata.is_some() || pylate.is_some() || preset.is_some();
        let (metadata, pylate) = (metadata.unwrap_or_default(), pylate.unwrap_or_default());
        let preset = |of: fn(LatePreset) -> &'static str| preset.map(of).map(str::to_owned);

        let query = (spec.query_marker.clone())
            .or(pylate.query_prefix)
            .or(metadata.query_token_id)
            .or_else(|| preset(|it| it.query_marker));
        let document = (spec.document_marker.clone())
            .or(pylate.document_prefix)
            .or(metadata.doc_token_id)
            .or_else(|| preset(|it| it.document_marker));
        let query_marker = marker(tokenizer, query)?;
        let document_marker = marker(tokenizer, document)?;

        let expand = spec.expand.or(pylate.do_query_expansion).unwrap_or(known);
        let mask = match expand {
            true => Some(mask(tokenizer)?),
            false => None,
        };
        let punctuation = spec.skip_punctuation.or(metadata.mask_punctuation);
        let skipped = match (punctuation, pylate.skiplist_words) {
            (Some(false), _) => Vec::new(),
            (None, Some(words)) => skipped(tokenizer, words.iter().map(String::as_str)),
            (None, None) if !known => Vec::new(),
            _ => skipped(tokenizer, PUNCTUATION.split("").filter(|it| !it.is_empty())),
        };
        if query_marker == document_marker && (mask.is_some() || !skipped.is_empty()) {
            return Err(Error::invalid(
                "a model that fills up queries or skips punctuation of documents needs markers that \
                 tell them apart; set `query_marker` and `document_marker`",
            ));
        }
        let tokens = |asked: Option<usize>, usual: usize| match asked {
            Some(asked) => asked,
            None => usual,
        };
        let config = Self {
            query_marker,
            document_marker,
            query_tokens: tokens(
                spec.query_tokens
                    .or(pylate.query_length)
                    .or(metadata.query_maxlen),
                QUERY_TOKENS,
            )
            .min(max_tokens),
            document_tokens: tokens(
                spec.document_tokens
                    .or(pylate.document_length)
                    .or(metadata.doc_maxlen),
                DOCUMENT_TOKENS,
            )
            .min(max_tokens),
            mask,
            attend_to_expansion: (spec.attend_to_expansion)
                .or(pylate.attend_to_expansion_tokens)
                .or(metadata.attend_to_mask_tokens)
                .unwrap_or(false),
            skipped,
        };
        Ok(config)
    }
}

/// The id of a marker; PyLate writes some with a space that the vocabulary may not have.
fn marker(tokenizer: &TextTokenizer, token: Option<String>) -> Result<Option<u32>> {
    let Some(token) = token.filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let id = tokenizer.id(&token).or_else(|| tokenizer.id(token.trim()));
    let id = id.ok_or_else(|| {
        Error::invalid(format!(
            "its vocabulary has no token `{token}` to mark texts with"
        ))
    })?;
    Ok(Some(id))
}

fn mask(tokenizer: &TextTokenizer) -> Result<u32> {
    let mut usual = ["[MASK]", "<mask>", "<|mask|>"].into_iter();
    usual.find_map(|token| tokenizer.id(token)).ok_or_else(|| {
        Error::invalid(
            "its vocabulary has no mask token to fill up queries with; set `expand` to false",
        )
    })
}

fn skipped<'a>(tokenizer: &TextTokenizer, words: impl Iterator<Item = &'a str>) -> Vec<u32> {
    let mut ids: Vec<u32> = words.filter_map(|word| tokenizer.id(word)).collect();
    ids.sort_unstable();
    ids
}

/// The special tokens around a text.
#[derive(Debug)]
pub(super) struct Frame {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Frame {
    /// Looks what the tokenizer puts around a text.
    pub(super) fn of(tokenizer: &TextTokenizer) -> Result<Self> {
        let (inside, _) = tokenizer.plain("a", usize::MAX)?;
        let framed = tokenizer.tokens("a", inside.len() + tokenizer.added())?;
        let mut places = framed.ids.windows(inside.len().max(1));
        let at = places.position(|window| *window == *inside);
        let (before, rest) = at
            .and_then(|at| framed.ids.split_at_checked(at))
            .ok_or_else(|| {
                Error::invalid("its tokenizer changes texts beside putting tokens around them")
            })?;
        Ok(Self {
            before: before.to_vec(),
            after: rest.get(inside.len()..).unwrap_or_default().to_vec(),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Where in a text a marker stands.
    pub(super) fn marker_at(&self) -> usize {
        self.before.len()
    }

    /// A text with its marker and what is around it.
    pub(super) fn around(
        &self,
        marker: Option<u32>,
        inside: impl IntoIterator<Item = u32>,
    ) -> Box<[u32]> {
        let before = self.before.iter().copied().chain(marker);
        before
            .chain(inside)
            .chain(self.after.iter().copied())
            .collect()
    }
}
