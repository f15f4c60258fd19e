//! SIE's and OpenAI's endpoints, in both forms.

use std::time::Duration;

use routir_core::ModelState;
use routir_sie::{EncodeReply, Form};
use serde_json::{Value, json};

use crate::admin::{ACME, OPERATOR, shared};
use crate::encoders::{self, Host};
use crate::harness::Server;

const JSON: &str = "accept: application/json\r\n";

async fn hosting() -> (Server, std::sync::Arc<Host>) {
    encoders::hosting(|options| options.worker.machine_profile = "l4-spot".to_owned()).await
}

/// The JSON that answers a body at a path.
async fn ok(server: &Server, path: &str, body: &Value) -> Value {
    let response = server
        .call(&format!("POST {path}"), JSON, body.to_string().as_bytes())
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// The code and message with which a body is refused.
async fn refused(server: &Server, path: &str, body: &Value, status: u16) -> (String, String) {
    let response = server
        .call(&format!("POST {path}"), JSON, body.to_string().as_bytes())
        .await;
    assert_eq!(response.status, status, "{path} {body}: {response:?}");
    assert_eq!(response.header("x-sie-server-version"), Some("0.3.0"));
    let error = response.json();
    assert_eq!(error["message"], error["detail"]["message"]);
    let text = |name: &str| error["detail"][name].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

#[tokio::test]
async fn every_kind_of_vector_is_answered_in_json_and_msgpack_alike() {
    let (server, _) = hosting().await;
    let body = json!({"items": [{"id": "a", "text": "one"}, {"text": "three"}],
        "params": {"output_types": ["dense", "sparse", "multivector"], "options": {"is_query": true}}});
    let answer = ok(&server, "/v1/encode/owner/m3", &body).await;
    assert_eq!(answer["model"], "owner/m3");
    let dense = json!({"dims": 4, "dtype": "float32", "values": [3.0, 1.0, 0.0, 0.1]});
    assert_eq!(answer["items"][0]["id"], "a");
    assert_eq!(answer["items"][0]["dense"], dense);
    let sparse = json!({"dims": 100, "dtype": "float32", "indices": [7], "values": [5.0]});
    assert_eq!(answer["items"][1]["sparse"], sparse);
    let late = json!({"token_dims": 2, "num_tokens": 2, "dtype": "float32",
        "values": [[5.0, -1.0], [0.5, 0.25]]});
    assert_eq!(answer["items"][1]["multivector"], late);
    assert_eq!(answer["items"][1].get("id"), None);
    assert_eq!(answer["timing"]["queue_ms"], 2.0);

    // The same as msgpack, there and back.
    let msgpack = rmp_serde::to_vec_named(&body).unwrap();
    let headers = "content-type: application/msgpack\r\naccept: application/msgpack\r\n";
    let path = "POST /v1/encode/OWNER%2Fm3";
    let response = server.bytes(path, headers, &msgpack).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/msgpack"));
    assert_eq!(response.header("x-queue-time"), Some("2.00"));
    let told: EncodeReply = Form::Msgpack.read(&response.bytes).unwrap();
    // Numbers of single precision, which JSON has in as few digits as tell them apart.
    let told: Value = serde_json::from_slice(&Form::Json.write(&told.items).unwrap()).unwrap();
    assert_eq!(told, answer["items"]);
}

#[tokio::test]
async fn numbers_are_cut_as_asked_and_instructions_reach_the_model() {
    let (server, _) = hosting().await;
    let ask = |dtype: &str| json!({"items": [{"text": "12345678"}], "params": {"output_types": ["multivector", "sparse"], "output_dtype": dtype}});
    for (dtype, told, values) in [
        ("float16", "float16", json!([[8.0, -1.0], [0.5, 0.25]])),
        ("int8", "int8", json!([[127, -16], [127, 64]])),
        ("uint8", "uint8", json!([[255, 0], [255, 0]])),
        ("ubinary", "binary", json!([[128], [192]])),
    ] {
        let answer = ok(&server, "/v1/encode/owner/m3", &ask(dtype)).await;
        let late = &answer["items"][0]["multivector"];
        assert_eq!(
            (&late["dtype"], &late["values"], &late["token_dims"]),
            (&json!(told), &values, &json!(2))
        );
        let kept = if dtype == "float16" {
            "float16"
        } else {
            "float32"
        };
        assert_eq!(answer["items"][0]["sparse"]["dtype"], kept);
    }
    let body = json!({"items": [{"text": "x"}], "params": {"instruction": "four"}});
    let answer = ok(&server, "/v1/encode/seek", &body).await;
    assert_eq!(
        answer["items"][0]["dense"]["values"],
        json!([1.0, 0.0, 4.0, 0.1])
    );
}

#[tokio::test]
async fn items_are_scored_best_first() {
    let (server, _) = hosting().await;
    let body = json!({"query": {"id": "q7", "text": "q"}, "items": [{"text": "a"}, {"id": "x", "text": "long"}, {"text": "b"}]});
    for model in ["owner/ranker", "length"] {
        let answer = ok(&server, &format!("/v1/score/{model}"), &body).await;
        let expected = json!({"model": model, "query_id": "q7", "scores": [
            {"item_id": "x", "score": 4.0, "rank": 0},
            {"item_id": "item-0", "score": 1.0, "rank": 1},
            {"item_id": "item-2", "score": 1.0, "rank": 2}]});
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn openais_clients_are_answered() {
    let (server, _) = hosting().await;
    let body =
        json!({"model": "owner/m3", "input": ["one", "three"], "user": "u", "dimensions": 4});
    let answer = ok(&server, "/v1/embeddings", &body).await;
    let expected = json!({"object": "list", "data": [
        {"object": "embedding", "index": 0, "embedding": [3.0, 0.0, 0.0, 0.1]},
        {"object": "embedding", "index": 1, "embedding": [5.0, 0.0, 0.0, 0.1]}],
        "model": "owner/m3", "usage": {"prompt_tokens": 11, "total_tokens": 11}});
    assert_eq!(answer, expected);
    let body = json!({"model": "owner/m3", "input": "", "encoding_format": "base64"});
    let answer = ok(&server, "/v1/embeddings", &body).await;
    assert_eq!(answer["data"][0]["embedding"], "AAAAAAAAAAAAAAAAzczMPQ==");
    for (body, status, code, word) in [
        (
            json!({"model": "nobody", "input": "x"}),
            404,
            "model_not_found",
            "nobody",
        ),
        (
            json!({"model": "owner/late", "input": "x"}),
            400,
            "invalid_argument",
            "no dense",
        ),
        (
            json!({"model": "owner/m3", "input": [1, 2]}),
            400,
            "invalid_argument",
            "tokens",
        ),
        (
            json!({"model": "owner/m3", "input": []}),
            400,
            "invalid_argument",
            "0 entries",
        ),
        (
            json!({"model": "owner/m3"}),
            400,
            "invalid_argument",
            "`input`",
        ),
        (
            json!({"model": "owner/m3", "input": "x", "dimensions": 3}),
            400,
            "invalid_argument",
            "4 numbers",
        ),
        (
            json!({"model": "owner/m3", "input": "x", "encoding_format": "hex"}),
            400,
            "invalid_argument",
            "base64",
        ),
        (
            json!({"model": "owner/m3", "input": "full"}),
            429,
            "rate_limit_exceeded",
            "no room",
        ),
        (
            json!({"model": "owner/m3", "input": "fail"}),
            500,
            "engine_failure",
            "gone",
        ),
    ] {
        let response = server.post("/v1/embeddings", &body.to_string()).await;
        assert_eq!(response.status, status, "{body}: {response:?}");
        let error = &response.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_told_with_its_code() {
    let (server, host) = hosting().await;
    let text = |text: &str| json!({"items": [{"text": text}]});
    let with = |params: Value| json!({"items": [{"text": "x"}], "params": params});
    let (encode, score) = ("/v1/encode/owner/m3", "/v1/score/length");
    for (path, body, status, code, word) in [
        (
            "/v1/encode/owner/m4",
            text("x"),
            404,
            "MODEL_NOT_FOUND",
            "did you mean `owner/m3`?",
        ),
        (
            "/v1/encode/length",
            text("x"),
            400,
            "INVALID_INPUT",
            "it has: score",
        ),
        (
            "/v1/encode/owner/late",
            text("x"),
            400,
            "INVALID_INPUT",
            "it has: multivector",
        ),
        (
            encode,
            json!({"items": []}),
            400,
            "INVALID_INPUT",
            "must not be empty",
        ),
        (
            encode,
            json!({"items": [{"text": "x"}, {}]}),
            400,
            "INVALID_INPUT",
            "`items[1]` has no `text`",
        ),
        (
            encode,
            json!({"items": [{"images": [{"data": "x"}]}]}),
            400,
            "INVALID_INPUT",
            "`images`",
        ),
        (
            encode,
            with(json!({"output_types": ["dense", "x"]})),
            400,
            "INVALID_INPUT",
            "`x`",
        ),
        (
            encode,
            with(json!({"output_dtype": "int4"})),
            400,
            "INVALID_INPUT",
            "ubinary",
        ),
        (
            encode,
            with(json!({"options": {"profile": "fast"}})),
            400,
            "INVALID_INPUT",
            "profile",
        ),
        (
            encode,
            with(json!({"options": {"lora_id": "z"}})),
            400,
            "INVALID_INPUT",
            "lora_id",
        ),
        (encode, text("fail"), 500, "INFERENCE_ERROR", "gone"),
        (encode, text("few"), 500, "INFERENCE_ERROR", "every text"),
        (encode, text("full"), 503, "MODEL_NOT_LOADED", "no room"),
        (score, text("x"), 400, "INVALID_INPUT", "no `query`"),
        (
            score,
            json!({"query": {}, "items": [{"text": "x"}]}),
            400,
            "INVALID_INPUT",
            "`query` has no `text`",
        ),
        (
            score,
            json!({"query": {"text": "fail"}, "items": [{"text": "x"}]}),
            500,
            "INFERENCE_ERROR",
            "gone",
        ),
        (
            score,
            json!({"query": {"text": "q"}, "items": [{"text": "x"}], "instruction": "i"}),
            400,
            "INVALID_INPUT",
            "instruction",
        ),
        (
            "/v1/score/owner/m3",
            json!({"query": {"text": "q"}, "items": [{"text": "x"}]}),
            400,
            "INVALID_INPUT",
            "scores nothing",
        ),
        (
            "/v1/extract/owner/m3",
            text("x"),
            400,
            "INVALID_INPUT",
            "extracts nothing",
        ),
    ] {
        let (told, message) = refused(&server, path, &body, status).await;
        assert!(
            told == code && message.contains(word),
            "{path} {body}: {told} {message}"
        );
    }
    let late = json!({"items": [{"text": "x"}], "params": {"output_types": ["multivector"]}});
    for (state, code, back) in [
        (ModelState::Loading, "MODEL_LOADING", Some("5")),
        (ModelState::Unloading, "MODEL_NOT_LOADED", None),
    ] {
        host.set(state);
        let response = server.post("/v1/encode/late", &late.to_string()).await;
        assert_eq!(
            (response.status, response.header("retry-after")),
            (503, back)
        );
        assert_eq!(response.json()["detail"]["code"], code);
    }
    host.set(ModelState::Loaded);
    for (profile, status) in [("L4-Spot ", 200), ("l4", 400), ("", 200)] {
        let headers = format!("{JSON}x-sie-machine-profile: {profile}\r\n");
        let body = text("x").to_string();
        let response = server
            .call("POST /v1/encode/seek", &headers, body.as_bytes())
            .await;
        assert_eq!(response.status, status, "{profile}: {response:?}");
    }
}

#[tokio::test]
async fn limits_hold_for_items_and_queries() {
    let server = Server::with_probe(|options, probe| {
        options.models = Some(Host::new(probe));
        options.max_passages = 2;
        options.max_query_chars = 3;
        options.request_timeout = Duration::from_millis(200);
    })
    .await;
    let many = json!({"items": [{"text": "x"}, {"text": "x"}, {"text": "x"}]});
    let (_, message) = refused(&server, "/v1/encode/seek", &many, 400).await;
    assert!(message.contains("more entries than the 2"), "{message}");
    let long = json!({"query": {"text": "four"}, "items": [{"text": "x"}]});
    let (_, message) = refused(&server, "/v1/score/length", &long, 400).await;
    assert!(message.contains("3 characters"), "{message}");
    let many = json!({"model": "seek", "input": ["x", "x", "x"]});
    assert_eq!(
        server
            .post("/v1/embeddings", &many.to_string())
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn models_are_listed_with_what_they_do() {
    let (server, _) = hosting().await;
    let list = server.get("/v1/models").await.json();
    let names: Vec<&str> = list["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "late",
            "length",
            "owner/late",
            "owner/m3",
            "owner/ranker",
            "seek",
            "terms",
            "tokens"
        ]
    );
    let response = server.get("/v1/models/owner/m3").await;
    assert_eq!(response.header("x-sie-server-version"), Some("0.3.0"));
    let expected = json!({"name": "owner/m3", "inputs": ["text"], "outputs": ["dense", "sparse", "multivector"],
        "dims": {"dense": 4, "multivector": 2, "sparse": 100}, "loaded": true, "max_sequence_length": 512,
        "profiles": {"default": {"is_default": true}}});
    assert_eq!(response.json(), expected);
    assert_eq!(server.get("/v1/models/owner/m5").await.status, 404);
    // A server that hosts none has the services that score.
    let bare = Server::start().await;
    assert_eq!(
        bare.get("/v1/models").await.json()["models"][0]["name"],
        "length"
    );
}

#[tokio::test]
async fn a_tenant_uses_the_models_of_services_that_it_may_call() {
    let (server, _) = shared(|options| {
        options.models = Some(Host::new(&std::sync::Arc::default()));
    })
    .await;
    let body = json!({"items": [{"text": "x"}]}).to_string();
    for (key, path, status) in [
        (OPERATOR, "/v1/encode/owner/m3", 200),
        (OPERATOR, "/v1/encode/late", 400),
        // It is granted `seek` alone.
        (ACME, "/v1/encode/owner/m3", 200),
        (ACME, "/v1/encode/late", 404),
        (ACME, "/v1/score/length", 404),
        ("", "/v1/encode/owner/m3", 401),
    ] {
        let response = server
            .call(
                &format!("POST {path}"),
                &format!("{key}{JSON}"),
                body.as_bytes(),
            )
            .await;
        assert_eq!(response.status, status, "{key} {path}: {response:?}");
        assert!(response.json()["detail"]["code"].is_string() || status == 200);
    }
    let list = server.call("GET /v1/models", ACME, b"").await.json();
    let names: Vec<_> = list["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["owner/m3", "seek"]);
    let body =
        json!({"items": [{"text": "x"}], "params": {"output_types": ["sparse"]}}).to_string();
    let response = server
        .call("POST /v1/encode/owner/m3", ACME, body.as_bytes())
        .await;
    assert_eq!(
        response.status, 400,
        "what another entry adds is not the tenant's: {response:?}"
    );
}

#[tokio::test]
async fn a_model_without_a_service_that_lost_its_device_is_told_by_readyz() {
    let (server, host) = hosting().await;
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    host.break_late();
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let checks = ready.json()["checks"].clone();
    let wrong: Vec<&Value> = checks
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ready"] == false)
        .collect();
    let wanted = json!({"name": "model late", "ready": false, "detail": "the GPU is gone"});
    assert_eq!(wrong, [&wanted]);
    // Others are asked as before.
    let items = json!({"items": [{"text": "four"}]});
    ok(&server, "/v1/encode/owner/m3", &items).await;
}
