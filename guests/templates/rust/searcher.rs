//! A searcher: finds documents for a query. This one asks a service of the server, and keeps what
//! scores well.

wit_bindgen::generate!({ path: "wit", world: "searcher" });

use exports::routir::extension::manifest::{Guest as Manifest, Info, Param, ParamKind};
use routir::extension::host::{self, SearchRequest};
use routir::extension::types::Value;

struct Extension;

impl Manifest for Extension {
    fn describe() -> Info {
        let param = |name: &str, kind, default: Option<&str>, description: &str| Param {
            name: name.into(),
            kind,
            default: default.map(Into::into),
            description: description.into(),
        };
        Info {
            name: "my-extension".into(),
            version: "0.1.0".into(),
            description: "what a service finds above a share of its best score".into(),
            params: Some(vec![
                param("service", ParamKind::Text, None, "who searches; needed"),
                param(
                    "share",
                    ParamKind::Number,
                    Some("0.5"),
                    "of the best score, 0 to 1",
                ),
            ]),
        }
    }
}

impl Guest for Extension {
    fn search(query: String, limit: u32, params: Params) -> Result<Hits, Error> {
        let (mut service, mut share) = (String::new(), 0.5);
        for (name, value) in params {
            match (name.as_str(), value) {
                ("service", Value::Text(text)) => service = text,
                ("share", Value::Number(number)) => share = number,
                _ => {}
            }
        }
        if service.is_empty() {
            return Err(Error::Invalid("`service` is needed".into()));
        }
        // Several requests in one call run at the same time.
        let mut answers = host::search(&[SearchRequest {
            pipeline: service,
            query,
            collection: None,
            limit,
            params: Vec::new(),
        }]);
        let found = answers.remove(0)?;
        let floor = found.scores.first().map_or(0.0, |best| best * share);
        let good = found.ids.into_iter().zip(found.scores);
        let (ids, scores) = good.filter(|(_, score)| *score >= floor).unzip();
        Ok(Hits { ids, scores })
    }
}

export!(Extension);
