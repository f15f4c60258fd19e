//! Who this is, and what it takes.

use crate::TwoStage;
use crate::exports::routir::extension::manifest::{Guest, Info, Param, ParamKind};

impl Guest for TwoStage {
    fn describe() -> Info {
        let text = |name, description| param(name, ParamKind::Text, None, description);
        Info {
            name: "two-stage-engine".into(),
            version: "0.1.0".into(),
            description: "fuses the rankings of two services and reranks the best".into(),
            params: Some(vec![
                text("first", "a service or pipeline that searches; needed"),
                text("second", "another that searches; needed"),
                text("reranker", "a service that scores; needed"),
                text(
                    "collection",
                    "where the reranker's documents are read; needed",
                ),
                param(
                    "depth",
                    ParamKind::Count,
                    Some("100"),
                    "how many documents each of the two finds",
                ),
                param(
                    "rerank",
                    ParamKind::Count,
                    Some("50"),
                    "how many documents are reranked",
                ),
                param(
                    "rrf_k",
                    ParamKind::Number,
                    Some("60"),
                    "added to every rank where the two are fused, at least 0",
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
