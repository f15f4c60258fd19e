//! The parameters of one call.

use crate::Error;
use crate::routir::extension::types::{Params, Value};

pub(crate) struct Settings<'a> {
    pub(crate) services: [&'a str; 2],
    pub(crate) reranker: &'a str,
    pub(crate) collection: &'a str,
    pub(crate) depth: u32,
    pub(crate) rerank: u32,
    pub(crate) rrf_k: f64,
}

impl<'a> Settings<'a> {
    pub(crate) fn read(params: &'a Params) -> Result<Self, Error> {
        let find = |name: &str| {
            let (_, value) = params.iter().find(|(found, _)| found == name)?;
            Some(value)
        };
        let text = |name: &str| match find(name) {
            Some(Value::Text(text)) if !text.is_empty() => Ok(text.as_str()),
            _ => Err(Error::Invalid(format!(
                "`{name}` is needed; give it in the service's `params`"
            ))),
        };
        let number = |name: &str, default| match find(name) {
            Some(Value::Number(number)) => *number,
            _ => default,
        };
        let settings = Self {
            services: [text("first")?, text("second")?],
            reranker: text("reranker")?,
            collection: text("collection")?,
            depth: number("depth", 100.0) as u32,
            rerank: number("rerank", 50.0) as u32,
            rrf_k: number("rrf_k", 60.0),
        };
        if settings.rrf_k < 0.0 {
            let message = format!("`rrf_k` must be at least 0, not {}", settings.rrf_k);
            return Err(Error::Invalid(message));
        }
        Ok(settings)
    }
}
