//! A fusion: answers one score per document. This one is reciprocal rank fusion.

wit_bindgen::generate!({ path: "wit", world: "fusion" });

use exports::routir::extension::manifest::{Guest as Manifest, Info, Param, ParamKind};
use routir::extension::types::Value;

struct Extension;

impl Manifest for Extension {
    fn describe() -> Info {
        Info {
            name: "my-extension".into(),
            version: "0.1.0".into(),
            description: "reciprocal rank fusion".into(),
            params: Some(vec![Param {
                name: "k".into(),
                kind: ParamKind::Number,
                default: Some("60".into()),
                description: "added to every rank, at least 0".into(),
            }]),
        }
    }
}

impl Guest for Extension {
    fn fuse(
        _query: String,
        lists: Vec<RankedList>,
        doc_count: u32,
        params: Params,
    ) -> Result<Vec<f64>, Error> {
        let mut k = 60.0;
        for (name, value) in params {
            if let ("k", Value::Number(number)) = (name.as_str(), value) {
                k = number;
            }
        }
        if k < 0.0 {
            return Err(Error::Invalid(format!("`k` must be at least 0, not {k}")));
        }
        let mut scores = vec![0.0; doc_count as usize];
        for list in lists {
            for (place, doc) in list.docs.into_iter().enumerate() {
                scores[doc as usize] += 1.0 / (k + (place + 1) as f64);
            }
        }
        Ok(scores)
    }
}

export!(Extension);
