//! What a worker is asked for beside its frames: its offer, and what its models are.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use routir_client::Avail;
use tokio::time::timeout;

use super::{Card, Offer, Worker, WorkerSettings, card};

/// The most names of one kind in an offer.
const MAX_NAMES: usize = 10_000;

/// What a worker can be asked.
pub(super) struct Question<T> {
    path: &'static str,
    /// The largest answer.
    most: usize,
    /// Reads it, for the router with this id.
    read: fn(&[u8], &str) -> Result<T, String>,
}

/// What it offers over RoutIR's endpoints.
pub(super) const OFFER: Question<Offer> = Question {
    path: "/avail",
    most: 8 << 20,
    read: offer,
};

/// What its models are.
pub(super) const CARDS: Question<BTreeMap<Arc<str>, Card>> = Question {
    path: "/v1/models",
    most: 2 << 20,
    read: cards,
};

/// The answer to a question, if it came with status 200 and in time. It is read on a thread for what
/// takes long.
pub(super) async fn read<T: Send + 'static>(
    worker: &Worker,
    settings: &WorkerSettings,
    question: &Question<T>,
    time: Duration,
) -> Result<T, String> {
    let failed = |why: &dyn Display| format!("GET {}: {why}", question.path);
    let asked = ask(worker, settings, question.path, question.most);
    let bytes = match timeout(time, asked).await {
        Ok(answer) => answer.map_err(|why| failed(&why))?,
        Err(_) => return Err(failed(&format_args!("no answer within {time:?}"))),
    };
    let (read, own) = (question.read, Arc::clone(&settings.own));
    let reading = tokio::task::spawn_blocking(move || read(&bytes, &own));
    let answer = reading.await.map_err(|why| failed(&why))?;
    answer.map_err(|why| failed(&why))
}

async fn ask(
    worker: &Worker,
    settings: &WorkerSettings,
    path: &str,
    most: usize,
) -> Result<Bytes, String> {
    let uri = worker.uri(path).map_err(|why| why.to_string())?;
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(target)
        .header(HOST, worker.authority().as_str())
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(key) = &settings.authorization {
        request = request.header(AUTHORIZATION, key.clone());
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|why| why.to_string())?;
    let stream = settings.dialer.dial(worker).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|why| why.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|why| why.to_string())?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!("HTTP {}", status.as_u16()));
        }
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|why| format!("the answer cannot be read: {why}"))?;
        Ok(body.to_bytes())
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        // The connection may end before its last bytes are taken.
        _ = connection => {}
    }
    answer.await
}

/// An offer as `/avail` tells it, to the router whose id is `own`.
fn offer(bytes: &[u8], own: &str) -> Result<Offer, String> {
    let avail: Avail =
        serde_json::from_slice(bytes).map_err(|why| format!("the answer is no offer: {why}"))?;
    let counts = [
        avail.search.len(),
        avail.score.len(),
        avail.fuse.len(),
        avail.decompose_query.len(),
        avail.content.len(),
        avail.collection.len(),
        avail.pipeline_aliases.len(),
    ];
    if let Some(count) = counts.into_iter().find(|count| *count > MAX_NAMES) {
        return Err(format!(
            "it offers {count} names of one kind; {MAX_NAMES} are taken"
        ));
    }
    Offer::of(avail, own)
}

fn cards(bytes: &[u8], _: &str) -> Result<BTreeMap<Arc<str>, Card>, String> {
    card::read(bytes).ok_or_else(|| "the answer is no list of models".to_owned())
}

#[cfg(test)]
mod tests {
    use routir_core::Role;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_offer_names_each_service_with_its_roles() {
        let avail = json!({
            "search": ["a", "b"], "score": ["b"], "fuse": ["RRF"], "decompose_query": [],
            "content": ["c1"], "collection": {"c2": {"views": {"text": "text"}}},
            "pipeline_aliases": {"best": "{a,b}RRF"}, "grpc_port": 5001, "server": {"id": "x"}
        });
        let offer = offer(avail.to_string().as_bytes(), "me").unwrap();
        let s = |role, name: &str| (role, Arc::<str>::from(name));
        assert!(offer.holds(&[s(Role::Search, "b"), s(Role::Score, "b")], &["c2".into()]));
        assert!(!offer.holds(&[s(Role::Score, "a")], &[]));
        assert!(!offer.holds(&[], &["c3".into()]));
        assert_eq!(offer.aliases["best"], "{a,b}RRF");
        assert_eq!(
            (offer.grpc_port, offer.server_id.as_deref()),
            (Some(5001), Some("x"))
        );
    }

    #[test]
    fn lists_without_end_are_refused() {
        let names: Vec<_> = (0..=MAX_NAMES).map(|name| name.to_string()).collect();
        for key in ["search", "content"] {
            assert!(offer(json!({key: names}).to_string().as_bytes(), "me").is_err());
        }
        assert!(offer(b"[]x", "me").is_err());
    }
}
