//! A decomposer: turns a query into sub-queries. This one splits it at a word.

wit_bindgen::generate!({ path: "wit", world: "decomposer" });

use exports::routir::extension::manifest::{Guest as Manifest, Info, Param, ParamKind};
use routir::extension::types::Value;

struct Extension;

impl Manifest for Extension {
    fn describe() -> Info {
        Info {
            name: "my-extension".into(),
            version: "0.1.0".into(),
            description: "splits a query at a word".into(),
            params: Some(vec![Param {
                name: "word".into(),
                kind: ParamKind::Text,
                default: Some("\"and\"".into()),
                description: "where the query is split".into(),
            }]),
        }
    }
}

impl Guest for Extension {
    fn decompose(query: String, limit: Option<u32>, params: Params) -> Result<Vec<String>, Error> {
        let mut word = "and".to_owned();
        for (name, value) in params {
            if let ("word", Value::Text(text)) = (name.as_str(), value) {
                word = text;
            }
        }
        if word.trim().is_empty() {
            return Err(Error::Invalid("`word` must not be empty".into()));
        }
        let word = format!(" {} ", word.trim());
        let parts = query.split(&word).filter(|part| *part != query);
        let mut queries = vec![query.clone()];
        queries.extend(parts.map(str::to_owned));
        queries.retain(|text| !text.trim().is_empty());
        queries.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(queries)
    }
}

export!(Extension);
