//! The files of a model, in the layouts of sentence-transformers and optimum exports: a folder with
//! `tokenizer.json`, configurations, and graphs in it or in `onnx/`.

use std::path::{Path, PathBuf};

use routir_core::{Error, Result};
use serde::de::DeserializeOwned;

/// Where the graph of a model with one graph lies, likeliest first. A `*` stands for any characters.
pub const GRAPH_FILES: &[&str] = &[
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
    "model_int8.onnx",
    "onnx/model_int8.onnx",
    "model_qint8*.onnx",
    "onnx/model_qint8*.onnx",
];

/// What a model's tokenizer lies in.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Small files that say how a model is used, where it has them.
const CONFIGS: &[&str] = &[
    TOKENIZER_FILE,
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "artifact.metadata",
    "idf.json",
    "?_*/config.json",
    "document_*/config.json",
];

/// The largest configuration that is read.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// How deep a folder is looked into.
const DEPTH: usize = 2;

/// A model's files in a local folder.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    folder: PathBuf,
    graphs: Vec<PathBuf>,
}

impl ModelFiles {
    /// The files in `folder`. For each graph that the model has, `graphs` says what it may be called,
    /// relative to the folder, likeliest first; for most models `&[GRAPH_FILES]`.
    ///
    /// # Errors
    /// When the folder cannot be read, a graph is missing, or the tokenizer is.
    pub fn open(folder: &Path, graphs: &[&[&str]]) -> Result<Self> {
        let names = routir_hub::list(folder, DEPTH).map_err(|why| why.at("the model"))?;
        let graphs = choose(&names, graphs).map_err(|why| why.at(shown(folder)))?;
        Ok(Self {
            folder: folder.to_owned(),
            graphs: graphs.iter().map(|name| folder.join(name)).collect(),
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The graphs, in the order in which they were asked for.
    #[must_use]
    pub fn graphs(&self) -> &[PathBuf] {
        &self.graphs
    }

    /// The first graph.
    #[must_use]
    pub fn graph(&self) -> &Path {
        self.graphs.first().map_or(&self.folder, PathBuf::as_path)
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.folder.join(TOKENIZER_FILE)
    }

    /// A configuration by its name relative to the folder; `None` when the model has none of that
    /// name.
    ///
    /// # Errors
    /// When it cannot be read or does not say what `T` needs.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.folder.join(name);
        let damaged = |why: &dyn std::fmt::Display| {
            Error::engine(format!(
                "the model's file {} cannot be used: {why}",
                shown(&path)
            ))
        };
        let Ok(about) = std::fs::metadata(&path) else {
            return Ok(None);
        };
        if about.len() > MAX_CONFIG_BYTES {
            return Err(damaged(&format_args!(
                "it is larger than {MAX_CONFIG_BYTES} bytes"
            )));
        }
        let text = std::fs::read(&path).map_err(|why| damaged(&why))?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|why| damaged(&why))
    }
}

/// For each graph the first of its possible names that is among `names`.
pub(crate) fn choose(names: &[String], graphs: &[&[&str]]) -> Result<Vec<String>> {
    let chosen = graphs.iter().map(|candidates| {
        let found = candidates
            .iter()
            .find_map(|pattern| names.iter().find(|name| matches(pattern, name)));
        found.cloned().ok_or_else(|| {
            let there: Vec<&str> = names
                .iter()
                .filter(|name| name.ends_with(".onnx"))
                .map(String::as_str)
                .collect();
            let there = if there.is_empty() {
                "it has no .onnx file at all; export it, as with `optimum-cli export onnx`"
                    .to_owned()
            } else {
                format!("its graphs are {}; name one in `file`", there.join(", "))
            };
            Error::invalid(format!(
                "the model has no graph called {}; {there}",
                candidates.join(" or ")
            ))
        })
    });
    let chosen = chosen.collect::<Result<Vec<String>>>()?;
    if names.iter().any(|name| name == TOKENIZER_FILE) {
        return Ok(chosen);
    }
    Err(Error::invalid(format!(
        "the model has no {TOKENIZER_FILE}; write one with transformers' \
         `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
    )))
}

/// Which of `names` are needed to run these graphs: them, their weights beside them, and the
/// configurations. Graphs come last, so that a folder with a graph in it is whole.
pub(crate) fn needed(names: &[String], graphs: &[String]) -> Vec<String> {
    let config = |name: &&String| CONFIGS.iter().any(|pattern| matches(pattern, name));
    let weights = |name: &&String| {
        graphs.iter().any(|graph| {
            let rest = name.strip_prefix(graph.as_str());
            rest.is_some_and(|rest| rest.starts_with("_data") || rest.starts_with(".data"))
        })
    };
    let mut needed: Vec<String> = names.iter().filter(config).cloned().collect();
    needed.extend(names.iter().filter(weights).cloned());
    needed.extend(graphs.iter().cloned());
    needed
}

/// Whether a name fits a pattern, where `*` stands for any characters of one folder's or file's name
/// and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    fn within(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                within(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(first, others)| *first != b'/' && within(pattern, others))
            }
            (Some((b'?', rest)), Some((first, others))) => *first != b'/' && within(rest, others),
            (Some((wanted, rest)), Some((first, others))) => {
                wanted == first && within(rest, others)
            }
            _ => false,
        }
    }
    // A second star would make the work grow with the square of the name's length.
    pattern.bytes().filter(|&it| it == b'*').count() <= 1
        && within(pattern.as_bytes(), name.as_bytes())
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn takes_the_whole_graph_before_a_quantised_one() {
        let listed = names(&[
            "onnx/model.onnx",
            "onnx/model_O4.onnx",
            "onnx/model_qint8_avx512.onnx",
            "tokenizer.json",
        ]);
        assert_eq!(
            choose(&listed, &[GRAPH_FILES]).unwrap(),
            ["onnx/model.onnx"]
        );
        let quantised = &["onnx/model_qint8*.onnx"][..];
        assert_eq!(
            choose(&listed, &[quantised]).unwrap(),
            ["onnx/model_qint8_avx512.onnx"]
        );
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let listed = names(&["onnx/a.onnx", "onnx/b.onnx", "tokenizer.json"]);
        let error = choose(&listed, &[&["c.onnx"]]).unwrap_err();
        assert!(
            error.message().contains("onnx/a.onnx, onnx/b.onnx"),
            "{error}"
        );
        let error = choose(&names(&["model.onnx"]), &[GRAPH_FILES]).unwrap_err();
        assert!(error.message().contains("no tokenizer.json"), "{error}");
    }

    #[test]
    fn fetches_what_a_graph_needs_and_nothing_else() {
        let listed = names(&[
            "1_Pooling/config.json",
            "README.md",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model_fp16.onnx",
            "onnx/model_fp16.onnx_data",
            "pytorch_model.bin",
            "tokenizer.json",
        ]);
        assert_eq!(
            needed(&listed, &names(&["onnx/model.onnx"])),
            [
                "1_Pooling/config.json",
                "modules.json",
                "tokenizer.json",
                "onnx/model.onnx_data",
                "onnx/model.onnx"
            ]
        );
    }

    #[test]
    fn stars_do_not_reach_across_folders() {
        assert!(matches("?_*/config.json", "1_Pooling/config.json"));
        assert!(!matches("?_*/config.json", "1_Pooling/deep/config.json"));
        assert!(!matches("model*.onnx", "onnx/model.onnx"));
        assert!(matches("model*.onnx", "model.onnx"));
        assert!(!matches("a*b*c", "abc"));
    }
}
