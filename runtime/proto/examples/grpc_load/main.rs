//! The client of the gRPC benchmark: what `tests/bench/load.lua` is to REST.
//!
//! ```text
//! cargo run --release -p routir-proto --example grpc_load -- ADDRESS REQUESTS CONNECTIONS SECONDS
//! ```
//!
//! `REQUESTS` holds one JSON object per line: those with `pipeline` are sent to `Pipeline`, others to
//! `Search`. Each connection has one call at a time; they take the requests in turn. Before the
//! measurement each request is asked once and its answer read; after that an answer must be as long
//! as that one and say that it is whole; the first that is not ends the program with an error. Prints
//! one line of JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod line;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use line::{Frames, Line};
use prost::Message;
use routir_proto::v1::{PipelineRequest, PipelineResponse, SearchRequest, SearchResponse};
use serde::Deserialize;

type Failure = Box<dyn Error + Send + Sync>;

/// A request of either kind.
#[derive(Deserialize)]
struct Ask {
    query: String,
    pipeline: Option<String>,
    collection: Option<String>,
    #[serde(default)]
    service: String,
    limit: Option<i32>,
}

/// A request as it is sent, and how long its answer is.
struct Known {
    frames: Frames,
    length: usize,
}

impl Ask {
    fn frames(&self, authority: &str) -> Result<Frames, Failure> {
        let query = self.query.clone();
        let (method, message) = match &self.pipeline {
            Some(pipeline) => {
                let request = PipelineRequest {
                    pipeline: pipeline.clone(),
                    query,
                    collection: self.collection.clone(),
                    ..PipelineRequest::default()
                };
                ("/routir.v1.Routir/Pipeline", request.encode_to_vec())
            }
            None => {
                let request = SearchRequest {
                    service: self.service.clone(),
                    query,
                    limit: self.limit,
                    ..SearchRequest::default()
                };
                ("/routir.v1.Routir/Search", request.encode_to_vec())
            }
        };
        Frames::new(method, authority, &message)
    }

    /// Asks it and reads the answer.
    async fn learn(&self, line: &mut Line, authority: &str) -> Result<Known, Failure> {
        let frames = self.frames(authority)?;
        let mut body = Vec::new();
        let length = line
            .ask(&frames, |piece| body.extend_from_slice(piece))
            .await?;
        let message = body.get(5..).ok_or("an answer holds no message")?;
        let (query, found) = match &self.pipeline {
            Some(_) => {
                let answer = PipelineResponse::decode(message)?;
                (answer.query, answer.scores.len())
            }
            None => {
                let answer = SearchResponse::decode(message)?;
                (answer.query, answer.scores.len())
            }
        };
        let wanted = self.limit.and_then(|limit| usize::try_from(limit).ok());
        if query != self.query || found == 0 || wanted.is_some_and(|wanted| wanted != found) {
            return Err(format!("{found} documents were found for `{query}`").into());
        }
        Ok(Known { frames, length })
    }
}

/// What one connection measured, in microseconds per call.
async fn connection(
    authority: Arc<str>,
    asks: Arc<Vec<Known>>,
    next: Arc<AtomicUsize>,
    span: Duration,
) -> Result<Vec<f64>, Failure> {
    let mut line = Line::open(&authority).await?;
    let (start, mut taken) = (Instant::now(), Vec::new());
    while start.elapsed() < span {
        let at = next.fetch_add(1, Ordering::Relaxed) % asks.len().max(1);
        let Some(known) = asks.get(at) else { break };
        let sent = Instant::now();
        let length = line.ask(&known.frames, |_| {}).await?;
        taken.push(sent.elapsed().as_secs_f64() * 1e6);
        if length != known.length {
            let expected = known.length;
            return Err(format!("an answer has {length} bytes and not {expected}").into());
        }
    }
    Ok(taken)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, requests, connections, seconds] = arguments.as_slice() else {
        return Err("ADDRESS, REQUESTS, CONNECTIONS and SECONDS are needed".into());
    };
    let authority: Arc<str> = address.trim_start_matches("http://").into();
    let mut line = Line::open(&authority).await?;
    let mut asks = Vec::new();
    for text in std::fs::read_to_string(requests)?.lines() {
        let ask: Ask = serde_json::from_str(text)?;
        asks.push(ask.learn(&mut line, &authority).await?);
    }
    drop(line);
    let learned = asks.len();
    let (asks, next) = (Arc::new(asks), Arc::default());
    let span = Duration::from_secs(seconds.parse()?);
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections.parse()? {
        running.spawn(connection(
            Arc::clone(&authority),
            Arc::clone(&asks),
            Arc::clone(&next),
            span,
        ));
    }
    let mut taken = Vec::new();
    while let Some(done) = running.join_next().await {
        taken.append(&mut done??);
    }
    let took = start.elapsed().as_secs_f64();
    taken.sort_by(f64::total_cmp);
    let at = |share: usize| {
        let place = taken.len() * share / 100;
        taken.get(place).copied().unwrap_or_default() / 1e3
    };
    println!(
        "{}",
        serde_json::json!({
            "requests": taken.len(), "seconds": took, "rate": taken.len() as f64 / took,
            "p50_ms": at(50), "p99_ms": at(99), "learned": learned,
        })
    );
    Ok(())
}
