//! What the model is asked.

use std::sync::Arc;

use routir_core::{Error, Params, Result};

use crate::options::Options;
use crate::template::Template;

/// RoutIR's, for a passage.
const SCORE: &str = "Given the following query and document, determine if the document is relevant \
    to the query.\nAnswer with only \"{pos_token}\" or \"{neg_token}\".\n\nQuery: {query}\n\n\
    Document: {document}\n\nRelevance({pos_token}/{neg_token}): ";

/// RoutIR's, for sub-queries.
const DECOMPOSE: &str = "Input: {query}\n\n Generate 10 google-like queries based on the input.";

/// What RoutIR adds to it, so that the answer can be read.
const DECOMPOSE_FORMAT: &str = "\nReturn the sub-queries as a JSON array of strings, e.g. \
    [\"sub-query 1\", \"sub-query 2\"]. Output only the JSON array, no other text.";

/// The most bytes of a prompt: more than any model reads.
pub(super) const PROMPT_BYTES: usize = 4 << 20;

const SCORE_PLACES: [&str; 4] = ["query", "document", "pos_token", "neg_token"];
const DECOMPOSE_PLACES: [&str; 1] = ["query"];

/// The prompts and the words of an answer.
pub(super) struct Prompts {
    score: Arc<Template>,
    decompose: Arc<Template>,
    pub(super) yes: String,
    pub(super) no: String,
    /// Whether a request may bring its own.
    pub(super) custom: bool,
}

impl Prompts {
    /// Reads them; what is wrong is told with the other problems.
    ///
    /// # Errors
    /// When something was wrong.
    pub(super) fn read(options: &mut Options<'_>) -> Result<Self> {
        let score = options.text("score_prompt").unwrap_or(SCORE);
        let decompose = options.text("decompose_prompt").unwrap_or(DECOMPOSE);
        let custom = options.flag("allow_custom_prompts").unwrap_or(false);
        let yes = options.text("pos_token").unwrap_or("Yes").to_owned();
        let no = options.text("neg_token").unwrap_or("No").to_owned();
        if word(&yes).is_empty() || word(&no).is_empty() || word(&yes) == word(&no) {
            options.problem(format!(
                "`pos_token` and `neg_token` must be two words, not `{yes}` and `{no}`; case and \
                 white space around them do not tell them apart"
            ));
        }
        let (score, decompose) = (score_template(score), decompose_template(decompose));
        for (key, problem) in [
            ("score_prompt", score.as_ref().err()),
            ("decompose_prompt", decompose.as_ref().err()),
        ] {
            if let Some(problem) = problem {
                options.problem(format!("`{key}`: {}", problem.message()));
            }
        }
        Ok(Self {
            score: Arc::new(score?),
            decompose: Arc::new(decompose?),
            yes,
            no,
            custom,
        })
    }

    /// What is asked about a passage: the request's own, or the configured one.
    pub(super) fn score(&self, params: &Params) -> Result<Arc<Template>> {
        own(params, score_template, &self.score)
    }

    /// What is asked for sub-queries of a query.
    pub(super) fn decompose(&self, query: &str, params: &Params) -> Result<String> {
        let template = own(params, decompose_template, &self.decompose)?;
        let mut prompt = template.fill_within(&[query], PROMPT_BYTES)?;
        prompt.push_str(DECOMPOSE_FORMAT);
        Ok(prompt)
    }
}

fn own(
    params: &Params,
    parse: impl Fn(&str) -> Result<Template>,
    usual: &Arc<Template>,
) -> Result<Arc<Template>> {
    match params.text("prompt")? {
        Some(text) => Ok(Arc::new(parse(text).map_err(|why| why.at("`prompt`"))?)),
        None => Ok(Arc::clone(usual)),
    }
}

fn score_template(text: &str) -> Result<Template> {
    let template = Template::parse(text, &SCORE_PLACES)?;
    if template.has(0) && template.has(1) {
        return Ok(template);
    }
    Err(Error::invalid(
        "it must have `{query}` where the query goes and `{document}` where the passage goes",
    ))
}

fn decompose_template(text: &str) -> Result<Template> {
    let template = Template::parse(text, &DECOMPOSE_PLACES)?;
    if template.has(0) {
        return Ok(template);
    }
    Err(Error::invalid(
        "it must have `{query}` where the query goes",
    ))
}

/// A token as it is compared: without white space around it, in lower case.
pub(super) fn word(token: &str) -> String {
    token.trim().to_lowercase()
}
