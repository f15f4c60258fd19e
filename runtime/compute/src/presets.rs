//! What well-known models want, by name, where their own files do not say it.
//!
//! A preset is found by the last part of a model's name, so the original on the hub, its conversions
//! and local copies that kept the name all find it. What the configuration says comes first, then
//! the model's files, then the preset, then the defaults.

use crate::Pooling;

/// What a dense encoder puts before texts, and how it makes one vector of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DensePreset {
    /// How the vectors of tokens become one.
    pub pooling: Pooling,
    /// What goes before a query.
    pub query_prompt: &'static str,
    /// What goes before a document.
    pub document_prompt: &'static str,
}

/// Instruction of models that are told their task, as RoutIR words it.
pub const RETRIEVAL_TASK: &str =
    "Given a web search query, retrieve relevant passages that answer the query";

const REPRESENT: &str = "Represent this sentence for searching relevant passages: ";
const INSTRUCT: &str =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ";
const INSTRUCT_QWEN: &str =
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:";

/// Patterns of names in lower case, the more special first; `*` is any characters.
const DENSE: &[(&str, DensePreset)] = &[
    ("all-minilm-*", dense(Pooling::Mean, "", "")),
    ("all-mpnet-base*", dense(Pooling::Mean, "", "")),
    ("bge-m3*", dense(Pooling::Cls, "", "")),
    (
        "bge-*-zh*",
        dense(Pooling::Cls, "为这个句子生成表示以用于检索相关文章：", ""),
    ),
    ("bge-*-en*", dense(Pooling::Cls, REPRESENT, "")),
    (
        "multilingual-e5-*-instruct*",
        dense(Pooling::Mean, INSTRUCT, ""),
    ),
    (
        "multilingual-e5-*",
        dense(Pooling::Mean, "query: ", "passage: "),
    ),
    ("e5-small*", dense(Pooling::Mean, "query: ", "passage: ")),
    ("e5-base*", dense(Pooling::Mean, "query: ", "passage: ")),
    ("e5-large*", dense(Pooling::Mean, "query: ", "passage: ")),
    (
        "qwen3-embedding-*",
        dense(Pooling::LastToken, INSTRUCT_QWEN, ""),
    ),
    (
        "snowflake-arctic-embed-*-v2*",
        dense(Pooling::Cls, "query: ", ""),
    ),
    (
        "snowflake-arctic-embed-*",
        dense(Pooling::Cls, REPRESENT, ""),
    ),
    (
        "nomic-embed-text-*",
        dense(Pooling::Mean, "search_query: ", "search_document: "),
    ),
    (
        "modernbert-embed-*",
        dense(Pooling::Mean, "search_query: ", "search_document: "),
    ),
    ("mxbai-embed-large*", dense(Pooling::Cls, REPRESENT, "")),
    ("gte-*-v1.5*", dense(Pooling::Cls, "", "")),
    ("gte-modernbert-*", dense(Pooling::Cls, "", "")),
    ("gte-small*", dense(Pooling::Mean, "", "")),
    ("gte-base*", dense(Pooling::Mean, "", "")),
    ("gte-large*", dense(Pooling::Mean, "", "")),
];

const fn dense(
    pooling: Pooling,
    query_prompt: &'static str,
    document_prompt: &'static str,
) -> DensePreset {
    DensePreset {
        pooling,
        query_prompt,
        document_prompt,
    }
}

/// How a late-interaction model marks its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatePreset {
    /// The token after the first one of a query.
    pub query_marker: &'static str,
    /// The token after the first one of a document.
    pub document_marker: &'static str,
    /// To how many tokens a query is cut or filled up.
    pub query_tokens: usize,
    /// To how many tokens a document is cut.
    pub document_tokens: usize,
    /// Whether a query's tokens attend to those that fill it up.
    pub attend_to_expansion: bool,
}

const LATE: &[(&str, LatePreset)] = &[
    ("colbertv2*", late("[unused0]", "[unused1]", 32, 220)),
    (
        "answerai-colbert-*",
        late("[unused0]", "[unused1]", 32, 300),
    ),
    ("gte-moderncolbert-*", late("[Q] ", "[D] ", 32, 300)),
];

const fn late(
    query_marker: &'static str,
    document_marker: &'static str,
    query_tokens: usize,
    document_tokens: usize,
) -> LatePreset {
    LatePreset {
        query_marker,
        document_marker,
        query_tokens,
        document_tokens,
        attend_to_expansion: false,
    }
}

/// The two words whose chances a sequence-to-sequence reranker compares, as tokens: no, yes.
const YES_NO: &[(&str, [&str; 2])] = &[
    ("mt5-13b-mmarco*", ["▁", "▁true"]),
    ("mt5-3b-mmarco*", ["▁", "▁true"]),
    ("mt5-*", ["▁no", "▁yes"]),
    ("ptt5-*", ["▁não", "▁sim"]),
    ("monot5-*", ["▁false", "▁true"]),
];

/// What a dense encoder of this name wants.
#[must_use]
pub fn dense_preset(name: &str) -> Option<DensePreset> {
    find(DENSE, name)
}

/// What a late-interaction model of this name wants.
#[must_use]
pub fn late_preset(name: &str) -> Option<LatePreset> {
    find(LATE, name)
}

/// The tokens for no and yes of a sequence-to-sequence reranker of this name.
#[must_use]
pub fn yes_no_preset(name: &str) -> Option<[&'static str; 2]> {
    find(YES_NO, name)
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    let last = last_part(name).to_lowercase();
    let mut found = table.iter().filter(|(pattern, _)| matches(pattern, &last));
    found.next().map(|(_, preset)| *preset)
}

/// `name` of `hf:owner/name@revision` and of `some/folder/name/`.
fn last_part(name: &str) -> &str {
    let name = name.trim_end_matches('/');
    let name = name.rsplit(['/', ':']).next().unwrap_or(name);
    name.split('@').next().unwrap_or(name)
}

/// Whether `name` has the parts of `pattern` between its stars, in order, the first at its start and
/// the last at its end.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            match rest.split_once(between) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_found_under_all_the_names_of_a_model() {
        for name in [
            "BAAI/bge-small-en-v1.5",
            "hf:Xenova/bge-small-en-v1.5@main",
            "/models/bge-small-en-v1.5/",
            "bge-small-en-v1.5-onnx",
        ] {
            let preset = dense_preset(name).unwrap();
            assert_eq!(
                (preset.pooling, preset.query_prompt),
                (Pooling::Cls, REPRESENT),
                "{name}"
            );
        }
        assert_eq!(dense_preset("some/thing"), None);
        assert_eq!(dense_preset(""), None);
    }

    #[test]
    fn the_more_special_name_wins() {
        let prompt = |name| dense_preset(name).map(|it| it.query_prompt);
        assert_eq!(prompt("intfloat/multilingual-e5-large"), Some("query: "));
        assert_eq!(
            prompt("intfloat/multilingual-e5-large-instruct"),
            Some(INSTRUCT)
        );
        assert_eq!(
            prompt("Snowflake/snowflake-arctic-embed-l-v2.0"),
            Some("query: ")
        );
        assert_eq!(
            prompt("Snowflake/snowflake-arctic-embed-m-v1.5"),
            Some(REPRESENT)
        );
        assert_eq!(
            yes_no_preset("unicamp-dl/mt5-13b-mmarco-100k"),
            Some(["▁", "▁true"])
        );
        assert_eq!(
            yes_no_preset("unicamp-dl/mt5-base-mmarco-v2"),
            Some(["▁no", "▁yes"])
        );
        assert_eq!(
            yes_no_preset("castorini/monot5-base-msmarco"),
            Some(["▁false", "▁true"])
        );
    }

    #[test]
    fn stars_stand_for_any_characters() {
        assert!(matches("a*b*c", "abc") && matches("a*b*c", "axxbyyc") && matches("a*", "a"));
        assert!(!matches("a*b*c", "acb") && !matches("a", "ab") && !matches("a*b", "ba"));
    }
}
