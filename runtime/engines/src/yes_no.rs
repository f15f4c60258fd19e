//! `mT5` and `Qwen3Reranker`: score passages by how much more likely a model says yes than no when it
//! is asked whether they answer the query.
//!
//! | key | means | default |
//! |---|---|---|
//! | `model_name_or_path` | the model: a folder, or `hf:owner/name` | required |
//! | `file` | which of its graphs | `model.onnx`, …, or encoder and decoder as optimum names them |
//! | `token_false`, `token_true` | the tokens for no and yes | by the model's name |
//! | `template` | what is asked, with `{query}` and `{document}` | as the models were trained |
//! | `score` | `log_probability`, `probability` or `difference` | the first of `mT5`, the second of `Qwen3Reranker`, as in RoutIR |
//! | `q_max_length`, `d_max_length` | of `mT5`: together, with 9, the most tokens | 180, 512 |
//! | `max_length` | of `Qwen3Reranker`: the most tokens | 8192, or what the model has |
//! | `instruction` | of `Qwen3Reranker`: what the task is | RoutIR's |
//! | `prefix`, `suffix` | of `Qwen3Reranker`: what stands around the template | the model's chat |
//!
//! With `upstream_service` it searches, too: see [`crate::search_rerank`].

use routir_compute::{YesNoKind, YesNoScore, YesNoSpec};
use routir_core::{Result, Roles};

use crate::build::{BuildEnv, EngineSpec};
use crate::models::{ModelKeys, source};
use crate::options::Options;
use crate::rerank::reranker;
use crate::search_rerank::SearchKeys;

/// RoutIR's lengths of a query, a passage and what is around them.
const QUERY_TOKENS: usize = 180;
const PASSAGE_TOKENS: usize = 512;
const AROUND_TOKENS: usize = 9;

const SCORES: [(&str, YesNoScore); 3] = [
    ("log_probability", YesNoScore::LogProbability),
    ("probability", YesNoScore::Probability),
    ("difference", YesNoScore::Difference),
];

/// `mT5`.
pub(crate) fn build_seq2seq(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    build(spec, env, YesNoKind::Seq2Seq)
}

/// `Qwen3Reranker`.
pub(crate) fn build_causal(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    build(spec, env, YesNoKind::Causal)
}

fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>, kind: YesNoKind) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let model = options.text("model_name_or_path");
    let model = options
        .require("model_name_or_path", model)
        .unwrap_or_default();
    let keys = ModelKeys::read(&mut options);
    let mut owned = |key| options.text(key).map(str::to_owned);
    let (no, yes, template) = (owned("token_false"), owned("token_true"), owned("template"));
    let (mut instruction, mut before, mut after) = (None, None, None);
    if kind == YesNoKind::Causal {
        (instruction, before, after) = (owned("instruction"), owned("prefix"), owned("suffix"));
    }
    let score = options.choice("score", &SCORES);
    let max_tokens = match kind {
        YesNoKind::Causal => options.count("max_length"),
        YesNoKind::Seq2Seq => {
            let (query, passage) = (options.count("q_max_length"), options.count("d_max_length"));
            query.or(passage).map(|_| {
                let passage = passage.unwrap_or(PASSAGE_TOKENS);
                let query = query.unwrap_or(QUERY_TOKENS);
                query.saturating_add(passage).saturating_add(AROUND_TOKENS)
            })
        }
    };
    if no.is_some() != yes.is_some() {
        options.problem("`token_false` and `token_true` go together");
    }
    let search = SearchKeys::read(&mut options);
    options.finish()?;
    let usual = YesNoSpec::new(source(model, keys.file, env)?, kind);
    let opened = YesNoSpec {
        file: keys.file.map(str::to_owned),
        max_tokens,
        template,
        instruction,
        before,
        after,
        no,
        yes,
        score: score.unwrap_or(usual.score),
        ..usual
    };
    let named = (model, &opened.source, keys.place);
    reranker(spec, env, search, named, |compute| compute.yes_no(&opened))
}
