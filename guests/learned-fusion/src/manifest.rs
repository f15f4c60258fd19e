//! Who this is, and what it takes.

use crate::Learned;
use crate::exports::routir::extension::manifest::{Guest, Info, Param, ParamKind};

impl Guest for Learned {
    fn describe() -> Info {
        Info {
            name: "learned-fusion".into(),
            version: "0.1.0".into(),
            description: "linear combination of normalised scores with learned weights".into(),
            params: Some(vec![
                param(
                    "weights",
                    ParamKind::Json,
                    None,
                    "weights by source, such as {\"bm25\": 0.3, \"dense\": 0.7}, or one number per \
                     branch; needed",
                ),
                param(
                    "bias",
                    ParamKind::Number,
                    Some("0"),
                    "weight of a source that `weights` does not name",
                ),
                param(
                    "normalisation",
                    ParamKind::Text,
                    Some("\"min-max\""),
                    "of each list's scores: `min-max`, `z-score` or `none`",
                ),
                param(
                    "missing",
                    ParamKind::Text,
                    Some("\"min\""),
                    "what a list gives to documents that it does not hold: `min`, as its last, or \
                     `zero`",
                ),
            ]),
        }
    }
}

fn param(name: &str, kind: ParamKind, default: Option<&str>, description: &str) -> Param {
    Param {
        name: name.into(),
        kind,
        default: default.map(Into::into),
        description: description.into(),
    }
}
