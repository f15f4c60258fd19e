//! Encoders for whoever asks for vectors themselves, over tiny models with random weights, against
//! the numbers of an independent reference; and over all-MiniLM-L6-v2.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Home, cached, score_request, tiny};
use routir_core::{
    EncodeRequest, Encoded, ErrorCode, HostedModel, RequestContext, Result, VectorKind, Vectors,
};
use serde_json::{Value, json};

fn request(texts: &[&str], query: bool, instruction: Option<&str>) -> EncodeRequest {
    EncodeRequest {
        texts: texts.iter().map(|text| Arc::from(*text)).collect(),
        query,
        instruction: instruction.map(Arc::from),
        context: Arc::default(),
    }
}

async fn encode(model: &HostedModel, request: EncodeRequest) -> Result<Encoded> {
    let encoder = &model.encoder.as_ref().unwrap().encoder;
    encoder.encode(request).await
}

async fn dense(
    model: &HostedModel,
    texts: &[&str],
    query: bool,
    said: Option<&str>,
) -> Vec<Vec<f32>> {
    match encode(model, request(texts, query, said))
        .await
        .unwrap()
        .vectors
    {
        Vectors::Dense(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn close(one: &[f32], other: &[f32]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4)
}

fn texts(expected: &Value) -> Vec<&str> {
    let texts = expected["texts"].as_array().unwrap().iter();
    texts.map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dense_service_hosts_its_encoder_in_its_own_words() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-mean") else {
        return;
    };
    let config = json!({"embedding_model_name": folder, "instruction": "q: {query}"});
    home.build("SentenceTransformerEngine", &config).unwrap();
    let models = home.models.hosted();
    let model = &models[0];
    assert_eq!(
        (&*model.id, &*model.entry, model.service),
        ("dense-mean", "svc", true)
    );
    let texts = texts(&expected);
    let rows = dense(model, &texts, false, None).await;
    let encoder = model.encoder.as_ref().unwrap();
    assert_eq!(
        (encoder.kind, encoder.width),
        (VectorKind::Dense, Some(rows[0].len()))
    );
    for (row, expected) in rows.iter().zip(expected["vectors"].as_array().unwrap()) {
        let expected = expected.as_array().unwrap().iter();
        let expected: Vec<f32> = expected.map(|it| it.as_f64().unwrap() as f32).collect();
        assert!(close(row, &expected));
    }
    let words = dense(model, &["q: hello", "say: hello", "say hello"], false, None).await;
    assert!(close(
        &dense(model, &["hello"], true, None).await[0],
        &words[0]
    ));
    let said = |said| async move { dense(model, &["hello"], true, Some(said)).await.remove(0) };
    assert!(close(&said("say: {query}").await, &words[1]));
    assert!(
        close(&said("say").await, &words[2]),
        "as SIE's workers put it before a text"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sparse_and_late_encoders_are_hosted_without_services() {
    let home = Home::new();
    let (Some((splade, expected)), Some((late, _))) =
        (tiny(&home, "splade"), tiny(&home, "multi-vector"))
    else {
        return;
    };
    home.host("LSR", &json!({"model_name": splade, "max_terms": 3}))
        .unwrap();
    home.host("PLAIDX", &json!({"checkpoint": late})).unwrap();
    let models = home.models.hosted();
    assert!(models.iter().all(|model| !model.service));
    let text = texts(&expected)[0];
    let weights = |query| {
        let asked = encode(&models[0], request(&[text; 300], query, None));
        async move {
            match asked.await.unwrap().vectors {
                Vectors::Sparse(rows) => rows,
                other => panic!("{other:?}"),
            }
        }
    };
    let (queries, documents) = (weights(true).await, weights(false).await);
    assert_eq!((queries.len(), documents.len()), (300, 300));
    assert!(
        queries[299].len() <= 3 && documents[299].len() > 3,
        "limits are for queries"
    );
    let Vectors::Multivector { width, rows } =
        encode(&models[1], request(&["one two", "one"], false, None))
            .await
            .unwrap()
            .vectors
    else {
        panic!("no multivector");
    };
    assert_eq!(models[1].encoder.as_ref().unwrap().width, Some(width));
    assert!(rows[0].len() > rows[1].len() && rows.iter().all(|row| row.len() % width == 0));
    for model in models.iter() {
        let error = encode(model, request(&["x"], true, Some("say")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_much_or_too_long_is_refused() {
    let home = Home::new();
    let Some((folder, _)) = tiny(&home, "dense-mean") else {
        return;
    };
    home.host(
        "SentenceTransformerEngine",
        &json!({"embedding_model_name": folder}),
    )
    .unwrap();
    let models = home.models.hosted();
    let width = models[0].encoder.as_ref().unwrap().width.unwrap();
    let many = EncodeRequest {
        texts: vec![Arc::from(""); (16 << 20) / width + 1],
        ..request(&[], false, None)
    };
    let error = encode(&models[0], many).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    let late = EncodeRequest {
        context: Arc::new(RequestContext {
            deadline: std::time::Instant::now().checked_sub(Duration::from_secs(1)),
            ..RequestContext::default()
        }),
        ..request(&["x"], false, None)
    };
    let error = encode(&models[0], late).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
}

#[test]
fn what_hosts_no_encoder_is_told() {
    let home = Home::new();
    for (engine, config, word) in [
        ("BM25", json!({}), "hosts no encoder"),
        ("Qwen", json!({}), "did you mean `Qwen3`?"),
        (
            "LSR",
            json!({"model_name": "m", "index_path": "i"}),
            "`index_path`",
        ),
        (
            "Qwen3",
            json!({"embedding_base_url": "http://x"}),
            "another server's",
        ),
        ("LSR", json!({"model": "m"}), "model_name"),
    ] {
        let error = home.host(engine, &config).unwrap_err();
        assert!(error.message().contains(word), "{engine}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minilms_vectors_are_those_that_its_service_scores_with() {
    let home = Home::new();
    let Some(folder) = cached("models/minilm") else {
        return;
    };
    // Told already if ONNX Runtime is not there.
    if tiny(&home, "dense-mean").is_none() {
        return;
    }
    let config =
        json!({"embedding_model_name": folder.to_str().unwrap(), "file": "model_int8.onnx"});
    let roles = home.build("SentenceTransformerEngine", &config).unwrap();
    let models = home.models.hosted();
    assert_eq!(
        (&*models[0].id, models[0].encoder.as_ref().unwrap().width),
        ("minilm", Some(384))
    );
    let (query, passage) = (
        "where do honeybees dance",
        "the waggle dance of bees tells where food is",
    );
    let scores = roles
        .score
        .unwrap()
        .score(vec![score_request(query, &[passage])])
        .await;
    let score = scores[0].as_ref().unwrap()[0];
    let rows = dense(&models[0], &[query, passage], false, None).await;
    let product: f64 = rows[0]
        .iter()
        .zip(&rows[1])
        .map(|(a, b)| f64::from(a * b))
        .sum();
    assert!((score - product).abs() < 1e-3, "{score} {product}");
    assert!(score > 0.5, "{score}");
}
