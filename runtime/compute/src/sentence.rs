//! How sentence-transformers would use a model, as its files say: which modules it is made of, how
//! long its texts may be, what is put before them.

use std::collections::BTreeMap;

use routir_core::{Error, Result};
use serde::Deserialize;

use crate::files::ModelFiles;
use crate::pooling::Pooling;
use crate::presets::DensePreset;

/// The longest texts of a model whose files do not say.
const USUAL_MAX_TOKENS: usize = 512;

/// Larger lengths stand for "no limit" in `tokenizer_config.json`.
const NO_LIMIT: f64 = 1e9;

/// What a model's files say about its use.
#[derive(Debug, Default)]
pub(crate) struct SentenceConfig {
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    pub(crate) max_tokens: usize,
    pub(crate) lower_case: bool,
    pub(crate) prompts: BTreeMap<String, String>,
    pub(crate) default_prompt: Option<String>,
    /// Whether the files say how the tokens' vectors become the text's.
    pub(crate) described: bool,
    /// A step after the tokens' vectors that only the graph itself can take.
    pub(crate) beyond: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Transformer {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default = "yes")]
    include_prompt: bool,
    #[serde(flatten)]
    modes: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Prompts {
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ModelConfig {
    model_type: Option<String>,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

impl SentenceConfig {
    /// Reads them.
    ///
    /// # Errors
    /// When one of the files cannot be read.
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        let mut config = Self {
            max_tokens: max_tokens(files)?,
            ..Self::default()
        };
        let modules: Option<Vec<Module>> = files.json("modules.json")?;
        config.described = modules.is_some();
        let mut transformer = String::new();
        for module in modules.unwrap_or_default() {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => transformer = module.path,
                "Pooling" => config.read_pooling(files, &module.path)?,
                "Normalize" => config.normalize = true,
                other => config.beyond = Some(format!("a module {other}")),
            }
        }
        let name = in_folder(&transformer, "sentence_bert_config.json");
        let transformer: Transformer = files.json(&name)?.unwrap_or_default();
        config.lower_case = transformer.do_lower_case;
        // Positions bound it all the same: a longer text would read beyond their table.
        config.max_tokens = transformer.max_seq_length.map_or(config.max_tokens, |it| {
            it.min(positions(files).ok().flatten().unwrap_or(it))
        });
        let prompts: Prompts = files
            .json("config_sentence_transformers.json")?
            .unwrap_or_default();
        config.default_prompt = prompts.default_prompt_name;
        config.prompts = prompts
            .prompts
            .into_iter()
            .filter_map(|(name, prompt)| Some((name, prompt?)))
            .collect();
        Ok(config)
    }

    /// What the files do not say as a preset has it. The vectors of all models with a preset are
    /// compared by their angles, so they have length 1.
    pub(crate) fn complete(&mut self, preset: DensePreset) {
        if !self.described {
            (self.pooling, self.normalize) = (preset.pooling, true);
        }
        if self.prompts.is_empty() {
            let prompts = [
                ("query", preset.query_prompt),
                ("document", preset.document_prompt),
            ];
            let prompts = prompts.into_iter().filter(|(_, prompt)| !prompt.is_empty());
            self.prompts = prompts
                .map(|(name, prompt)| (name.to_owned(), prompt.to_owned()))
                .collect();
        }
    }

    fn read_pooling(&mut self, files: &ModelFiles, folder: &str) -> Result<()> {
        let name = in_folder(folder, "config.json");
        let config: PoolingConfig = files.json(&name)?.ok_or_else(|| {
            Error::invalid(format!(
                "the model's modules.json names `{name}`, which it has not got"
            ))
        })?;
        let on =
            |name: &str| config.modes.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        let known = [
            ("pooling_mode_mean_tokens", Pooling::Mean),
            ("pooling_mode_cls_token", Pooling::Cls),
            ("pooling_mode_lasttoken", Pooling::LastToken),
            ("pooling_mode_max_tokens", Pooling::Max),
            ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ];
        let named = config
            .modes
            .get("pooling_mode")
            .and_then(serde_json::Value::as_str);
        let modes: Vec<&String> = config.modes.keys().filter(|name| on(name)).collect();
        let flagged = known
            .iter()
            .find(|(name, _)| on(name))
            .map(|(_, pooling)| *pooling);
        match (named.map(Pooling::parse), flagged, modes.len()) {
            (Some(Ok(pooling)), ..) | (None, Some(pooling), 1) => self.pooling = pooling,
            _ => self.beyond = Some(format!("a pooling by {modes:?}")),
        }
        if !config.include_prompt {
            self.beyond = Some("a pooling that leaves out the prompt".to_owned());
        }
        Ok(())
    }
}

/// The longest text that a model without further files reads: what its tokenizer says, and not more
/// than it has positions.
pub(crate) fn max_tokens(files: &ModelFiles) -> Result<usize> {
    let tokenizer: TokenizerConfig = files.json("tokenizer_config.json")?.unwrap_or_default();
    let said = tokenizer.model_max_length;
    let said = said
        .filter(|&it| (1.0..NO_LIMIT).contains(&it))
        .map(|it| it as usize);
    let least = said.into_iter().chain(positions(files)?).min();
    Ok(least.unwrap_or(USUAL_MAX_TOKENS))
}

/// For how many tokens the model has positions; `None` when its positions have no end.
pub(crate) fn positions(files: &ModelFiles) -> Result<Option<usize>> {
    let config: ModelConfig = files.json("config.json")?.unwrap_or_default();
    // These count positions from behind that of padding.
    let offset = match config.model_type.as_deref() {
        Some("roberta" | "xlm-roberta" | "xlm-roberta-xl" | "camembert" | "mpnet") => {
            config.pad_token_id.unwrap_or(1) + 1
        }
        _ => 0,
    };
    let positions = config.max_position_embeddings;
    Ok(positions
        .map(|it| it.saturating_sub(offset))
        .filter(|&it| it > 0))
}

fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<SentenceConfig> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files
            .iter()
            .chain(&[("model.onnx", ""), ("tokenizer.json", "{}")])
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        SentenceConfig::read(&ModelFiles::open(dir.path(), &[crate::files::GRAPH_FILES])?)
    }

    const MODULES: &str = r#"[
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    ]"#;

    #[test]
    fn reads_how_a_model_of_sentence_transformers_is_used() {
        let config = read(&[
            ("modules.json", MODULES),
            ("1_Pooling/config.json", r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#),
            ("config.json", r#"{"model_type": "bert", "max_position_embeddings": 512}"#),
            ("config_sentence_transformers.json", r#"{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": null}"#),
        ])
        .unwrap();
        assert_eq!(config.pooling, Pooling::Cls);
        assert!(config.normalize && !config.lower_case && config.beyond.is_none());
        assert_eq!(config.max_tokens, 256);
        assert_eq!(config.prompts.get("query").unwrap(), "query: ");
    }

    #[test]
    fn a_bare_model_is_pooled_by_its_mean_and_as_long_as_its_positions() {
        let config = read(&[(
            "config.json",
            r#"{"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}"#,
        )])
        .unwrap();
        assert_eq!((config.pooling, config.normalize), (Pooling::Mean, false));
        assert_eq!(config.max_tokens, 512);
        assert_eq!(read(&[]).unwrap().max_tokens, USUAL_MAX_TOKENS);
        let tokenizer = r#"{"model_max_length": 1000000000000000019884624838656}"#;
        assert_eq!(
            read(&[("tokenizer_config.json", tokenizer)])
                .unwrap()
                .max_tokens,
            USUAL_MAX_TOKENS
        );
    }

    #[test]
    fn a_preset_says_what_the_files_leave_out() {
        let preset = crate::dense_preset("hf:Xenova/bge-small-en-v1.5").unwrap();
        let mut bare = read(&[]).unwrap();
        bare.complete(preset);
        assert_eq!((bare.pooling, bare.normalize), (Pooling::Cls, true));
        assert_eq!(bare.prompts.get("query").unwrap(), preset.query_prompt);
        assert_eq!(bare.prompts.get("document"), None);
        let mut described = read(&[
            ("modules.json", MODULES),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_mean_tokens": true}"#,
            ),
            (
                "config_sentence_transformers.json",
                r#"{"prompts": {"query": "ask: "}}"#,
            ),
        ])
        .unwrap();
        described.complete(preset);
        assert_eq!(described.pooling, Pooling::Mean);
        assert_eq!(described.prompts.get("query").unwrap(), "ask: ");
    }

    #[test]
    fn what_cannot_be_done_outside_of_the_graph_is_noticed() {
        let dense = r#"[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]"#;
        assert!(read(&[("modules.json", dense)]).unwrap().beyond.is_some());
        let two = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;
        let two = read(&[("modules.json", MODULES), ("1_Pooling/config.json", two)]).unwrap();
        assert!(two.beyond.is_some());
        assert!(read(&[("modules.json", MODULES)]).is_err());
    }
}
