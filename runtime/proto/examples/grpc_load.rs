//! The client of the gRPC benchmark: what `tests/bench/load.lua` is to REST.
//!
//! ```text
//! cargo run --release -p routir-proto --example grpc_load -- URL REQUESTS CONNECTIONS SECONDS
//! ```
//!
//! `REQUESTS` holds one JSON object per line: those with `pipeline` are sent to `Pipeline`, others to
//! `Search`. Each connection is a channel of its own with one call at a time; they take the requests in
//! turn. Prints one line of JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use routir_proto::v1::routir_client::RoutirClient;
use routir_proto::v1::{PipelineRequest, SearchRequest};
use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

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

async fn ask(client: &mut RoutirClient<Channel>, ask: &Ask) -> Result<usize, Failure> {
    let query = ask.query.clone();
    let found = match &ask.pipeline {
        Some(pipeline) => {
            let request = PipelineRequest {
                pipeline: pipeline.clone(),
                query,
                collection: ask.collection.clone(),
                ..PipelineRequest::default()
            };
            client.pipeline(request).await?.into_inner().scores.len()
        }
        None => {
            let request = SearchRequest {
                service: ask.service.clone(),
                query,
                limit: ask.limit,
                ..SearchRequest::default()
            };
            client.search(request).await?.into_inner().scores.len()
        }
    };
    if found == 0 {
        return Err("nothing was found".into());
    }
    Ok(found)
}

/// What one connection measured, in microseconds per call.
async fn connection(
    endpoint: Endpoint,
    asks: Arc<Vec<Ask>>,
    next: Arc<AtomicUsize>,
    span: Duration,
) -> Result<Vec<f64>, Failure> {
    let mut client = RoutirClient::new(endpoint.connect().await?);
    let (start, mut taken) = (Instant::now(), Vec::new());
    while start.elapsed() < span {
        let at = next.fetch_add(1, Ordering::Relaxed) % asks.len().max(1);
        let Some(request) = asks.get(at) else { break };
        let sent = Instant::now();
        ask(&mut client, request).await?;
        taken.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(taken)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, requests, connections, seconds] = arguments.as_slice() else {
        return Err("URL, REQUESTS, CONNECTIONS and SECONDS are needed".into());
    };
    let endpoint = Endpoint::from_shared(url.clone())?.tcp_nodelay(true);
    let lines = std::fs::read_to_string(requests)?;
    let asks = lines.lines().map(serde_json::from_str);
    let asks = Arc::new(asks.collect::<Result<Vec<Ask>, _>>()?);
    let (next, span) = (Arc::default(), Duration::from_secs(seconds.parse()?));
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections.parse()? {
        running.spawn(connection(
            endpoint.clone(),
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
        taken
            .get(taken.len() * share / 100)
            .copied()
            .unwrap_or_default()
            / 1e3
    };
    println!(
        "{}",
        serde_json::json!({
            "requests": taken.len(), "seconds": took, "rate": taken.len() as f64 / took,
            "p50_ms": at(50), "p99_ms": at(99), "errors": 0,
        })
    );
    Ok(())
}
