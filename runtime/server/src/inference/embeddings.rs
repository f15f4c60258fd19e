//! `POST /v1/embeddings`: dense vectors, as OpenAI's clients ask for them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use routir_core::{
    EncodeRequest, Encoded, Error, Result as CoreResult, VectorKind, Vectors, shown,
};
use routir_sie::Form;
use serde::Serialize;
use serde_json::Value;

use super::{encode, timing, wire};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::handlers::Call;
use crate::reply::Reply;

#[derive(Serialize)]
struct EmbeddingsReply {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

/// A vector: its numbers, or the base64 of their bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// What is asked.
struct Asked {
    model: String,
    texts: Vec<Arc<str>>,
    base64: bool,
    dimensions: Option<usize>,
}

impl Call<'_> {
    /// Dense vectors of texts, which are read as passages.
    pub(super) async fn embeddings(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let (bytes, most) = (body.len(), self.app.options.max_passages);
        let asked = wire::apart(bytes, move || asked(Fields::parse(&body)?, most)).await??;
        let Asked {
            model: name,
            texts,
            base64,
            dimensions,
        } = asked;
        let model = self.shelf()?.get(&name)?;
        let Some((entry, encoder)) = model.encoder(VectorKind::Dense) else {
            let outputs = model.outputs().join(", ");
            let message = format!("model `{name:.64}` makes no dense vectors; it has: {outputs}");
            return Err(Error::invalid(message).into());
        };
        if let (Some(asked), Some(width)) = (dimensions, encoder.width)
            && asked != width
        {
            let message = format!(
                "`dimensions` is {asked}, and the vectors of model `{name:.64}` have {width} numbers; \
                 leave it out"
            );
            return Err(Error::invalid(message).into());
        }
        model.check_loaded()?;
        let counted = self.app.worker.loads.count(&model.name, texts.len());
        let request = EncodeRequest {
            texts,
            query: false,
            instruction: None,
            context: self.context(None)?,
        };
        let answer = self.app.encoded(entry, encoder, request).await?;
        drop(counted);
        let timing = encode::timing_of(std::slice::from_ref(&answer), self.started.elapsed());
        let bytes = answer.tokens.max(1024);
        let bytes = bytes.max(encoder.width.unwrap_or(0) * vectors(&answer) * 4);
        let make = move || Ok(reply(name, answer, base64));
        let mut reply = wire::reply(Form::Json, bytes, make).await?;
        timing::tell(&timing, &mut reply.headers);
        Ok(reply)
    }
}

fn vectors(answer: &Encoded) -> usize {
    match &answer.vectors {
        Vectors::Dense(rows) => rows.len(),
        _ => 0,
    }
}

fn reply(model: String, answer: Encoded, base64: bool) -> EmbeddingsReply {
    let rows = match answer.vectors {
        Vectors::Dense(rows) => rows,
        _ => Vec::new(),
    };
    let data = rows.into_iter().enumerate().map(|(index, row)| Embedding {
        object: "embedding",
        index,
        embedding: if base64 {
            let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
            Numbers::Base64(STANDARD.encode(bytes))
        } else {
            Numbers::Floats(row)
        },
    });
    EmbeddingsReply {
        object: "list",
        data: data.collect(),
        model,
        usage: Usage {
            prompt_tokens: answer.tokens,
            total_tokens: answer.tokens,
        },
    }
}

/// Reads a body. Fields that it does not know are ignored, as OpenAI's servers add some.
fn asked(mut fields: Fields, most: usize) -> CoreResult<Asked> {
    let model = fields.required_text("model");
    let texts = match fields.take("input") {
        None => {
            fields.problem("`input` is missing: a text, or a list of texts".to_owned());
            Vec::new()
        }
        Some(Value::String(text)) => vec![Arc::from(text)],
        Some(Value::Array(list)) => texts(list, most, &mut fields),
        Some(other) => {
            let shown = shown(&other);
            fields.problem(format!(
                "`input` must be a text or a list of texts, not {shown}"
            ));
            Vec::new()
        }
    };
    let base64 = match fields.take("encoding_format") {
        None => false,
        Some(Value::String(format)) if format == "float" => false,
        Some(Value::String(format)) if format == "base64" => true,
        Some(other) => {
            let shown = shown(&other);
            fields.problem(format!(
                "`encoding_format` must be `float` or `base64`, not {shown}"
            ));
            false
        }
    };
    let dimensions = fields.take("dimensions").and_then(|value| {
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        if count.is_none() {
            let shown = shown(&value);
            fields.problem(format!("`dimensions` must be a whole number, not {shown}"));
        }
        count
    });
    fields.finish()?;
    Ok(Asked {
        model,
        texts,
        base64,
        dimensions,
    })
}

fn texts(list: Vec<Value>, most: usize, fields: &mut Fields) -> Vec<Arc<str>> {
    let count = list.len();
    if count == 0 || count > most {
        fields.problem(format!(
            "`input` has {count} entries; 1 to {most} are allowed"
        ));
        return Vec::new();
    }
    let texts = list.into_iter().map(|text| match text {
        Value::String(text) => Some(Arc::from(text)),
        _ => None,
    });
    texts.collect::<Option<_>>().unwrap_or_else(|| {
        fields.problem(
            "`input` has entries that are no texts; tokens are not read, send the texts".to_owned(),
        );
        Vec::new()
    })
}
