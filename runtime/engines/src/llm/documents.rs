//! Passages cut to what the model reads.

use std::sync::Arc;

use routir_compute::{ModelSource, TOKENIZER_FILE, TextTokenizer};
use routir_core::{Error, Result};
use serde_json::{Map, Value};

use crate::build::{BuildEnv, EngineSpec};
use crate::models::opening;
use crate::options::Options;

/// How many tokens a model is taken to read whose files do not say.
const USUAL_CONTEXT: usize = 8192;

/// How many tokens are kept for the prompt, the query and the answer, as in RoutIR.
const AROUND_TOKENS: usize = 512;

/// How many bytes count as a token without a tokenizer: the rule of thumb for English.
const BYTES_PER_TOKEN: usize = 4;

/// What a configuration says of the length of passages.
pub(super) struct DocumentKeys<'a> {
    model: &'a str,
    tokenizer: Option<&'a str>,
    context: Option<usize>,
    most: Option<usize>,
}

impl<'a> DocumentKeys<'a> {
    pub(super) fn read(options: &mut Options<'a>, model: &'a str) -> Self {
        let context = options.count("max_model_len");
        if context.is_some_and(|context| context <= AROUND_TOKENS) {
            options.problem(format!("`max_model_len` must be above {AROUND_TOKENS}"));
        }
        Self {
            model,
            tokenizer: options.text("tokenizer_name"),
            context,
            most: options.count("max_doc_tokens"),
        }
    }

    /// Whose tokens are counted, if anybody's.
    ///
    /// # Errors
    /// When `tokenizer_name` names neither a folder nor a repository.
    fn source(&self, env: &BuildEnv<'_>) -> Result<Option<ModelSource>> {
        let folder = (env.resolve_path)(self.tokenizer.unwrap_or(self.model));
        if folder.join(TOKENIZER_FILE).is_file() {
            return Ok(Some(ModelSource::Folder(folder)));
        }
        let Some(name) = self.tokenizer else {
            return Ok(None);
        };
        if folder.is_dir() {
            return Err(Error::invalid(format!(
                "`tokenizer_name`: there is no {TOKENIZER_FILE} in `{}`",
                folder.display()
            )));
        }
        let parsed = ModelSource::parse(name);
        parsed.map(Some).map_err(|why| why.at("`tokenizer_name`"))
    }

    /// Finds what is wrong without opening anything.
    ///
    /// # Errors
    /// As [`DocumentKeys::open`], as far as that shows.
    pub(super) fn check(&self, env: &BuildEnv<'_>) -> Result<()> {
        self.source(env).map(drop)
    }

    /// Opens the tokenizer.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub(super) fn open(&self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Documents> {
        let (mut tokenizer, mut about) = (None, Map::new());
        if let Some(source) = self.source(env)? {
            opening(env, spec.name, "loading the tokenizer", &source, || {
                let files = source.files(env.models.compute().hub(), &[])?;
                tokenizer = Some(env.models.compute().tokenizer(&files.tokenizer())?);
                about = files.json("config.json")?.unwrap_or_default();
                Ok(())
            })?;
        }
        let said = ["max_position_embeddings", "n_positions"];
        let said = said
            .iter()
            .find_map(|key| about.get(*key).and_then(Value::as_u64));
        let said = said.and_then(|tokens| usize::try_from(tokens).ok());
        let context = self.context.or(said).unwrap_or(USUAL_CONTEXT);
        let most = context.saturating_sub(AROUND_TOKENS).max(1);
        let wanted = self.most.unwrap_or(most);
        if wanted > most {
            tracing::warn!(
                service = spec.name,
                max_doc_tokens = wanted,
                "the model reads {context} tokens; passages are cut to {most}"
            );
        }
        Ok(Documents {
            tokenizer,
            most: wanted.min(most),
        })
    }
}

/// Cuts passages.
pub(super) struct Documents {
    tokenizer: Option<Arc<TextTokenizer>>,
    /// The most tokens of a passage.
    pub(super) most: usize,
}

impl Documents {
    /// The beginning of a passage that the model reads.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub(super) fn cut<'a>(&self, passage: &'a str) -> Result<&'a str> {
        // No tokenizer makes two tokens of one byte.
        if passage.len() <= self.most {
            return Ok(passage);
        }
        match &self.tokenizer {
            Some(tokenizer) => tokenizer.prefix(passage, self.most),
            None => {
                let bytes = self.most.saturating_mul(BYTES_PER_TOKEN);
                let end = passage.floor_char_boundary(bytes);
                Ok(passage.get(..end).unwrap_or(passage))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tokenizer_four_bytes_are_a_token() {
        let documents = Documents {
            tokenizer: None,
            most: 2,
        };
        let cut = |text| documents.cut(text).unwrap();
        assert_eq!(cut("abcdefgh"), "abcdefgh");
        assert_eq!(cut("abcdefghi"), "abcdefgh");
        assert_eq!(cut("ééééé"), "éééé");
        assert_eq!(cut("abcdefgé"), "abcdefg");
        assert_eq!(cut(""), "");
    }
}
