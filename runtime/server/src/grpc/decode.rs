//! From messages to the fields that REST has, so that both wires mean the same by them.

use prost_types::{Struct, value::Kind};
use routir_core::{BytesParts, Error, Passages, Payload, Result, shorten};
use routir_proto::PassageValue;
use routir_proto::rt::PipelineStreamRequest;
use routir_proto::v1::{ContentRequest, PipelineRequest, ScoreRequest, SearchRequest};
use serde_json::{Map, Number, Value};

use crate::fields::Fields;

/// Whole numbers up to here are the same as whole numbers and as what a `Struct` carries.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The fields of a search. What the message has a field for is not taken from the extras.
pub(crate) fn search(message: SearchRequest) -> Result<Fields> {
    let mut map = object("extras", message.extras.unwrap_or_default())?;
    text(&mut map, "service", message.service);
    text(&mut map, "query", message.query);
    if let Some(limit) = message.limit {
        map.insert("limit".to_owned(), limit.into());
    }
    optional(&mut map, "subset", message.subset);
    optional(&mut map, "instruction", message.instruction);
    Ok(Fields::of(map))
}

/// The fields of a scoring, and its passages.
pub(crate) fn score(message: ScoreRequest) -> Result<(Fields, Passages)> {
    let mut map = object("extras", message.extras.unwrap_or_default())?;
    text(&mut map, "service", message.service);
    text(&mut map, "query", message.query);
    optional(&mut map, "prompt", message.prompt);
    map.shift_remove("passages");
    let passages = message.passages.into_iter().enumerate();
    let payloads = passages.map(|(at, entry)| match PassageValue::read(entry) {
        Ok(PassageValue::Text(text)) => Ok(Payload::Text(text.into())),
        Ok(PassageValue::Parts(parts)) if !parts.is_empty() => {
            Ok(Payload::Bytes(BytesParts::new(parts)))
        }
        Ok(PassageValue::Parts(_)) => Err(Error::invalid(format!(
            "`passages[{at}]` is bytes of no part"
        ))),
        Err(why) => Err(Error::invalid(format!(
            "`passages[{at}]` is neither a Passage nor text in UTF-8: {why}"
        ))),
    });
    let payloads = payloads.collect::<Result<Vec<_>>>()?;
    Ok((Fields::of(map), Passages::gather(payloads)?))
}

/// The fields of a look-up.
pub(crate) fn content(message: ContentRequest) -> Fields {
    let mut map = Map::new();
    text(&mut map, "collection", message.collection);
    text(&mut map, "id", message.id);
    optional(&mut map, "view", message.view);
    Fields::of(map)
}

/// The fields of a pipeline call.
pub(crate) fn pipeline(message: PipelineRequest) -> Result<Fields> {
    Ok(Fields::of(pipeline_fields(message)?))
}

/// The fields of a pipeline call whose stages are told.
pub(crate) fn pipeline_stream(message: PipelineStreamRequest) -> Result<Fields> {
    let mut map = pipeline_fields(message.call.unwrap_or_default())?;
    map.insert("partial".to_owned(), message.partial.into());
    Ok(Fields::of(map))
}

fn pipeline_fields(message: PipelineRequest) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    text(&mut map, "pipeline", message.pipeline);
    text(&mut map, "query", message.query);
    optional(&mut map, "collection", message.collection);
    let stages = message.runtime_kwargs.into_iter();
    let stages = stages.map(|(stage, arguments)| {
        let arguments = object(&stage, arguments)?;
        Ok((stage, Value::Object(arguments)))
    });
    let stages = stages.collect::<Result<Map<_, _>>>()?;
    map.insert("runtime_kwargs".to_owned(), stages.into());
    Ok(map)
}

/// A required text, which is not there when it is empty.
fn text(map: &mut Map<String, Value>, name: &str, value: String) {
    if value.is_empty() {
        map.shift_remove(name);
    } else {
        map.insert(name.to_owned(), value.into());
    }
}

fn optional(map: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.into());
    }
}

/// `value` as JSON. Its depth is bounded by the decoder that made it.
fn object(name: &str, value: Struct) -> Result<Map<String, Value>> {
    let fields = value.fields.into_iter();
    let fields = fields.map(|(key, value)| {
        let value = json(&key, value).map_err(|error| error.at(format!("`{}`", shorten(name))))?;
        Ok((key, value))
    });
    fields.collect()
}

fn json(name: &str, value: prost_types::Value) -> Result<Value> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(number)) => number_of(name, number)?,
        Some(Kind::StructValue(inner)) => object(name, inner)?.into(),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(|value| json(name, value));
            values.collect::<Result<Vec<_>>>()?.into()
        }
    })
}

/// A number, which a `Struct` carries as a double whatever it was: whole ones are whole again.
fn number_of(name: &str, number: f64) -> Result<Value> {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Ok(Value::from(number as i64));
    }
    let number = Number::from_f64(number).ok_or_else(|| {
        Error::invalid(format!(
            "`{}` must be a finite number, not {number}",
            shorten(name)
        ))
    })?;
    Ok(number.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost_types::ListValue;

    use super::*;
    use crate::ServerOptions;
    use crate::decode;

    fn value(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn fields<const N: usize>(fields: [(&str, Kind); N]) -> Struct {
        let fields = fields.map(|(name, kind)| (name.to_owned(), value(kind)));
        Struct {
            fields: fields.into(),
        }
    }

    fn limits() -> ServerOptions {
        ServerOptions {
            max_passages: 3,
            ..ServerOptions::default()
        }
    }

    #[test]
    fn extras_reach_the_engine_with_their_types() {
        let inner = fields([("deep", Kind::NumberValue(-2.0))]);
        let list = ListValue {
            values: vec![value(Kind::NumberValue(1.0)), value(Kind::NumberValue(0.5))],
        };
        let extras = fields([
            ("whole", Kind::NumberValue(60.0)),
            ("broken", Kind::NumberValue(0.1)),
            ("large", Kind::NumberValue(1e300)),
            ("flag", Kind::BoolValue(true)),
            ("list", Kind::ListValue(list)),
            ("none", Kind::NullValue(0)),
            ("object", Kind::StructValue(inner)),
            ("service", Kind::StringValue("another".to_owned())),
        ]);
        let message = SearchRequest {
            service: "bm25".to_owned(),
            query: "q".to_owned(),
            limit: Some(7),
            subset: Some("en".to_owned()),
            extras: Some(extras),
            ..SearchRequest::default()
        };
        let search = decode::search(search(message).unwrap(), &limits()).unwrap();
        assert_eq!((&*search.service, search.request.limit), ("bm25", 7));
        let mut params = search.request.params.as_map().clone();
        params.sort_keys();
        expect_test::expect![[r#"{"broken":0.1,"flag":true,"large":1e+300,"list":[1,0.5],"object":{"deep":-2},"subset":"en","whole":60}"#]]
            .assert_eq(&serde_json::to_string(&params).unwrap());
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let message = SearchRequest {
                extras: Some(fields([("k1", Kind::NumberValue(bad))])),
                ..SearchRequest::default()
            };
            let error = search(message).unwrap_err();
            assert!(
                error.message().contains("`k1` must be a finite number"),
                "{error}"
            );
        }
    }

    #[test]
    fn empty_fields_are_missing_ones() {
        let told = |fields: Result<Fields>| fields.unwrap();
        let search = decode::search(told(search(SearchRequest::default())), &limits());
        expect_test::expect!["No service provided; No query provided"]
            .assert_eq(search.unwrap_err().message());
        let pipeline = decode::pipeline(told(pipeline(PipelineRequest::default())), &limits());
        expect_test::expect!["No pipeline provided; No query provided"]
            .assert_eq(pipeline.unwrap_err().message());
        let stream = pipeline_stream(PipelineStreamRequest::default());
        assert!(decode::pipeline(told(stream), &limits()).is_err());
        let content = decode::content(content(ContentRequest::default()));
        expect_test::expect!["No collection provided; No id provided"]
            .assert_eq(content.unwrap_err().message());
    }

    #[test]
    fn passages_of_both_levels_are_understood() {
        let score = |passages: &[&'static [u8]]| {
            let entries = passages
                .iter()
                .map(|entry| prost::bytes::Bytes::from_static(entry));
            let message = ScoreRequest {
                service: "s".to_owned(),
                query: "q".to_owned(),
                passages: entries.collect(),
                ..ScoreRequest::default()
            };
            let decoded = score(message);
            decoded
                .and_then(|(fields, passages)| decode::score_of(fields, passages, &limits()))
                .map(|body| body.request.passages)
                .map_err(|error| error.message().to_owned())
        };
        let texts = score(&[b"a", b"\x0a\x01b"]).unwrap();
        assert_eq!(
            texts.into_texts().unwrap(),
            ["a", "b"].map(Arc::<str>::from)
        );
        assert_eq!(score(&[]), Ok(Passages::default()));
        let bytes = score(&[b"\x12\x03\x0a\x01b"]).unwrap();
        let part = prost::bytes::Bytes::from_static(b"b");
        assert_eq!(bytes, Passages::Bytes(vec![BytesParts::new([part])]));
        for (wrong, what) in [
            (&[&b"a"[..], b"\x12\x03\x0a\x01b"][..], "some are bytes"),
            (&[b"\x12\x00"], "`passages[0]` is bytes of no part"),
            (&[b"a", b"\xff"], "`passages[1]` is neither"),
            (&[b"a", b"b", b"c", b"d"], "limit of 3"),
        ] {
            let error = score(wrong).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
