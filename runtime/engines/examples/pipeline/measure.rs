//! What is measured, and what is compared before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use routir_core::{EncodeRequest, Error, Params, Ranking, Result, SearchRequest};
use serde_json::{Value, json};

use crate::place::Service;

/// Words that texts are made of.
const WORDS: [&str; 16] = [
    "river", "market", "engine", "winter", "doctor", "garden", "signal", "harbour", "of", "and",
    "the", "with", "painted", "growing", "between", "early",
];

/// Texts of one request for vectors, and how many of those are under way at once.
const PASSAGES: usize = 256;
const REQUESTS: usize = 4;

/// Scores that differ by no more are equal: queries are rounded to half precision.
const TOLERANCE: f64 = 2e-2;

/// A measurement.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) tokens_per_second: Option<f64>,
    pub(crate) queries_per_second: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

impl Row {
    pub(crate) fn as_json(&self) -> Value {
        json!({
            "what": self.what,
            "tokens_per_second": self.tokens_per_second,
            "queries_per_second": self.queries_per_second,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
        })
    }
}

fn text(rng: &mut fastrand::Rng, words: std::ops::Range<usize>) -> Arc<str> {
    let count = rng.usize(words);
    let word = |_| rng.choice(WORDS).unwrap_or_default();
    let words: Vec<&str> = (0..count).map(word).collect();
    words.join(" ").into()
}

async fn search(service: &Service, query: Arc<str>) -> Result<Ranking> {
    let engine = service.roles.search.as_ref();
    let engine = engine.ok_or_else(|| Error::internal("the service does not search"))?;
    let request = SearchRequest {
        query,
        limit: 10,
        params: Params::default(),
        context: Arc::default(),
    };
    let mut answers = engine.search(vec![request]).await;
    answers
        .pop()
        .ok_or_else(|| Error::internal("the service did not answer"))?
}

/// Compares rankings of some queries.
///
/// # Errors
/// With the first that differs.
pub(crate) async fn verify(service: &Service, here: &Service) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(7);
    for number in 0..64 {
        let query = text(&mut rng, 1..40);
        let got = search(service, Arc::clone(&query)).await?;
        let wanted = search(here, query).await?;
        let pairs = got.hits().iter().zip(wanted.hits());
        let near = |(a, b): (&routir_core::Hit, &routir_core::Hit)| {
            (a.score - b.score).abs() <= TOLERANCE * b.score.abs().max(1.0)
        };
        if got.len() != wanted.len() || !pairs.into_iter().all(near) {
            return Err(Error::internal(format!(
                "query {number} is answered {got:?}, and {wanted:?} by the processor"
            )));
        }
    }
    Ok(())
}

/// Measures a service.
///
/// # Errors
/// When it fails.
pub(crate) async fn all(service: &Service, seconds: f64) -> Result<Vec<Row>> {
    let time = Duration::from_secs_f64(seconds);
    let mut rows = Vec::new();
    for (words, name) in [(8..24, "short"), (20..120, "long")] {
        let rate = encode(service, words, time).await?;
        rows.push(Row {
            what: format!("encoder, {name} passages, {}", service.name()),
            tokens_per_second: Some(rate),
            queries_per_second: None,
            p50_ms: None,
            p99_ms: None,
        });
    }
    for clients in [1, 16, 128] {
        rows.push(queries(service, clients, time).await?);
    }
    Ok(rows)
}

/// Tokens that become vectors in a second.
async fn encode(service: &Service, words: std::ops::Range<usize>, time: Duration) -> Result<f64> {
    let mut rng = fastrand::Rng::with_seed(8);
    let texts: Vec<Arc<str>> = (0..PASSAGES)
        .map(|_| text(&mut rng, words.clone()))
        .collect();
    let encode = async |end: Instant| {
        let mut tokens = 0;
        loop {
            let request = EncodeRequest {
                texts: texts.clone(),
                query: false,
                instruction: None,
                context: Arc::default(),
            };
            tokens += service.encoder.encoder.encode(request).await?.tokens;
            if Instant::now() >= end {
                return Ok::<_, Error>(tokens);
            }
        }
    };
    encode(Instant::now()).await?;
    let start = Instant::now();
    let all = try_join_all((0..REQUESTS).map(|_| encode(start + time))).await?;
    Ok(all.into_iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}

/// From a query's text to its ranking, by so many who ask one after another.
async fn queries(service: &Service, clients: usize, time: Duration) -> Result<Row> {
    let ask = async |seed: u64, end: Instant| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut times = Vec::new();
        loop {
            let query = text(&mut rng, 3..12);
            let start = Instant::now();
            search(service, query).await?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if Instant::now() >= end {
                return Ok::<_, Error>(times);
            }
        }
    };
    try_join_all((0..clients as u64).map(|seed| ask(seed, Instant::now()))).await?;
    let start = Instant::now();
    let end = start + time;
    let all = try_join_all((0..clients as u64).map(|seed| ask(seed, end))).await?;
    let took = start.elapsed().as_secs_f64();
    let mut times = all.concat();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
    Ok(Row {
        what: format!(
            "text to ranking, {} vectors, {clients} at once, {}",
            service.vectors,
            service.name()
        ),
        tokens_per_second: None,
        queries_per_second: Some(times.len() as f64 / took),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}
