//! From a request's fields, whatever wire they came by, to the call that it asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use routir_core::{DocId, Passages, Result, ScoreRequest, SearchRequest, shown};
use routir_exec::{PipelineCall, RunOptions};
use serde_json::Value;

use crate::ServerOptions;
use crate::fields::Fields;

/// `POST /search`.
#[derive(Debug)]
pub(crate) struct SearchBody {
    pub(crate) service: String,
    pub(crate) request: SearchRequest,
    pub(crate) options: RunOptions,
    pub(crate) timeout: Option<Duration>,
}

/// `POST /score`.
#[derive(Debug)]
pub(crate) struct ScoreBody {
    pub(crate) service: String,
    pub(crate) request: ScoreRequest,
    pub(crate) timeout: Option<Duration>,
}

/// `POST /content`.
#[derive(Debug)]
pub(crate) struct ContentBody {
    pub(crate) collection: String,
    pub(crate) id: DocId,
    pub(crate) view: Option<String>,
    /// The status that answers an unknown id.
    pub(crate) missing: StatusCode,
}

/// `POST /pipeline` and `POST /explain`.
#[derive(Debug)]
pub(crate) struct PipelineBody {
    pub(crate) call: PipelineCall,
    pub(crate) timeout: Option<Duration>,
}

/// Reads a search. What it does not know is for the engine.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] with all that is wrong, here and below.
pub(crate) fn search(mut fields: Fields, limits: &ServerOptions) -> Result<SearchBody> {
    let service = fields.required_text("service");
    let query = fields.query(limits.max_query_chars);
    let limit = fields.limit(limits.max_limit);
    let options = run_options(&mut fields);
    let timeout = fields.seconds("timeout");
    let params = fields.finish()?;
    Ok(SearchBody {
        service,
        request: SearchRequest {
            query,
            limit,
            params,
            context: Arc::default(),
        },
        options,
        timeout,
    })
}

/// Reads a scoring. What it does not know is for the engine.
pub(crate) fn score(mut fields: Fields, limits: &ServerOptions) -> Result<ScoreBody> {
    let service = fields.required_text("service");
    let query = fields.query(limits.max_query_chars);
    let passages = fields.texts("passages", limits.max_passages);
    score_rest(fields, service, query, passages.into())
}

/// Reads what a scoring of `passages` says beside them.
pub(crate) fn score_of(
    mut fields: Fields,
    passages: Passages,
    limits: &ServerOptions,
) -> Result<ScoreBody> {
    let service = fields.required_text("service");
    let query = fields.query(limits.max_query_chars);
    let (count, most) = (passages.len(), limits.max_passages);
    if count > most {
        fields.problem(format!(
            "`passages` has {count} entries, over this server's limit of {most}"
        ));
    }
    score_rest(fields, service, query, passages)
}

fn score_rest(
    mut fields: Fields,
    service: String,
    query: Arc<str>,
    passages: Passages,
) -> Result<ScoreBody> {
    // These are no engine's: a client that sends the same options to every endpoint is right.
    run_options(&mut fields);
    let timeout = fields.seconds("timeout");
    let params = fields.finish()?;
    Ok(ScoreBody {
        service,
        request: ScoreRequest {
            query,
            passages,
            params,
            context: Arc::default(),
        },
        timeout,
    })
}

/// Reads a look-up. Fields that it does not know are ignored, as RoutIR ignores them.
pub(crate) fn content(mut fields: Fields) -> Result<ContentBody> {
    let collection = fields.required_text("collection");
    let id = fields.required_text("id");
    let view = fields.text("view");
    let missing = match fields.take("missing_status") {
        None => StatusCode::BAD_REQUEST,
        Some(Value::Number(number)) if number.as_u64() == Some(400) => StatusCode::BAD_REQUEST,
        Some(Value::Number(number)) if number.as_u64() == Some(404) => StatusCode::NOT_FOUND,
        Some(other) => {
            fields.problem(format!(
                "`missing_status` must be 400 or 404, not {}",
                shown(&other)
            ));
            StatusCode::BAD_REQUEST
        }
    };
    fields.finish()?;
    Ok(ContentBody {
        collection,
        id: DocId::from(id),
        view,
        missing,
    })
}

/// Reads a pipeline call. Fields that it does not know are ignored, as RoutIR ignores them.
pub(crate) fn pipeline(mut fields: Fields, limits: &ServerOptions) -> Result<PipelineBody> {
    let pipeline = fields.required_text("pipeline");
    let query = fields.query(limits.max_query_chars);
    pipeline_rest(fields, pipeline, query)
}

/// Reads a pipeline call that is only compiled: it needs no query.
pub(crate) fn explain(mut fields: Fields, limits: &ServerOptions) -> Result<PipelineBody> {
    let pipeline = fields.required_text("pipeline");
    let query = if fields.has("query") {
        fields.query(limits.max_query_chars)
    } else {
        Arc::default()
    };
    pipeline_rest(fields, pipeline, query)
}

fn pipeline_rest(mut fields: Fields, pipeline: String, query: Arc<str>) -> Result<PipelineBody> {
    let collection = fields.text("collection");
    let runtime_kwargs = fields.params_by_name("runtime_kwargs");
    let options = run_options(&mut fields);
    let timeout = fields.seconds("timeout");
    fields.finish()?;
    let call = PipelineCall {
        pipeline,
        query,
        collection,
        runtime_kwargs,
        options,
        context: Arc::default(),
    };
    Ok(PipelineBody { call, timeout })
}

fn run_options(fields: &mut Fields) -> RunOptions {
    RunOptions {
        explain: fields.flag("explain"),
        provenance: fields.flag("provenance"),
        partial: fields.flag("partial"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &[u8]) -> Fields {
        Fields::parse(body).unwrap()
    }

    fn limits() -> ServerOptions {
        ServerOptions {
            max_passages: 3,
            max_query_chars: 8,
            ..ServerOptions::default()
        }
    }

    #[test]
    fn a_search_hands_the_engine_what_is_not_the_servers() {
        let body = br#"{"service":"bm25","query":"q","limit":"3","subset":"en","instruction":null,
            "explain":true,"timeout":"1.5"}"#;
        let search = search(fields(body), &limits()).unwrap();
        assert_eq!((&*search.service, search.request.limit), ("bm25", 3));
        assert_eq!(
            search.options,
            RunOptions {
                explain: true,
                ..RunOptions::default()
            }
        );
        assert_eq!(search.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(
            serde_json::to_string(search.request.params.as_map()).unwrap(),
            r#"{"subset":"en"}"#
        );
    }

    #[test]
    fn passages_are_strings_and_not_too_many() {
        let score = |passages: &str| {
            let body = format!(r#"{{"service":"s","query":"q","passages":{passages}}}"#);
            score(fields(body.as_bytes()), &limits())
                .map(|body| body.request.passages.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(score(r#"["a","b"]"#), Ok(2));
        assert_eq!(score("[]"), Ok(0));
        assert_eq!(
            score(r#"["a",{}]"#).unwrap_err(),
            "`passages[1]` must be a string, not an object"
        );
        assert_eq!(
            score(r#""a""#).unwrap_err(),
            "`passages` must be a list of strings, not \"a\""
        );
        assert_eq!(
            score(r#"["a","b","c","d"]"#).unwrap_err(),
            "`passages` has 4 entries, over this server's limit of 3"
        );
    }

    #[test]
    fn a_pipeline_call_ignores_what_it_does_not_know() {
        let body = br#"{"pipeline":"a >> b","query":"q","collection":"c","service":"x",
            "runtime_kwargs":{"a":{"k1":1,"b":null},"b":null},"partial":true}"#;
        let call = pipeline(fields(body), &limits()).unwrap().call;
        assert_eq!((&*call.pipeline, &*call.query), ("a >> b", "q"));
        assert_eq!(call.collection.as_deref(), Some("c"));
        assert!(call.options.partial);
        assert_eq!(call.runtime_kwargs.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(call.runtime_kwargs["a"].as_map().len(), 1);
    }

    #[test]
    fn pipeline_fields_are_checked_together() {
        let body = br#"{"collection":1,"runtime_kwargs":{"a":[1]}}"#;
        expect_test::expect!["No pipeline provided; No query provided; `collection` must be a string, not 1; `runtime_kwargs.a` must be an object, not an array"]
            .assert_eq(pipeline(fields(body), &limits()).unwrap_err().message());
        assert!(explain(fields(br#"{"pipeline":"a"}"#), &limits()).is_ok());
        let long = br#"{"pipeline":"a","query":"123456789"}"#;
        assert!(explain(fields(long), &limits()).is_err());
    }

    #[test]
    fn an_unknown_document_is_404_only_on_request() {
        let missing = |extra: &str| {
            content(fields(
                format!(r#"{{"collection":"c","id":"d"{extra}}}"#).as_bytes(),
            ))
            .map(|body| body.missing.as_u16())
            .map_err(|error| error.to_string())
        };
        assert_eq!(missing(""), Ok(400));
        assert_eq!(missing(r#","missing_status":404"#), Ok(404));
        assert_eq!(
            missing(r#","missing_status":200"#).unwrap_err(),
            "`missing_status` must be 400 or 404, not 200"
        );
    }
}
