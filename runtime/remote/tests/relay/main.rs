//! Other servers that come, go, change, lie, stall and send requests back.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod circles;
mod coming;
#[path = "../common/mod.rs"]
mod common;
mod handing_on;
mod hostile;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Server;
use routir_core::{
    BoxFuture, ErrorCode, Hit, ParamsSpec, Ranking, Result, Roles, SearchEngine, SearchRequest,
};
use routir_exec::Runtime;
use routir_server::ServerOptions;

/// Answers one document that says who found it, after a while, and notes who asked.
#[derive(Default)]
struct Noting {
    name: &'static str,
    takes: Duration,
    asked: Mutex<Vec<SearchRequest>>,
}

impl SearchEngine for Noting {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            let one = |_: &SearchRequest| Ranking::from_hits(vec![Hit::new(self.name, 1.0)]);
            let answers = batch.iter().map(one).collect();
            self.asked.lock().unwrap().extend(batch);
            answers
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }
}

fn noting(name: &'static str, takes: Duration) -> (Arc<Noting>, Roles) {
    let engine = Arc::new(Noting {
        name,
        takes,
        ..Noting::default()
    });
    let search = Some(Arc::clone(&engine) as Arc<dyn SearchEngine>);
    let roles = Roles {
        search,
        ..Roles::default()
    };
    (engine, roles)
}

async fn serve(runtime: &Runtime) -> Server {
    Server::start(runtime, ServerOptions::default()).await
}

fn code(result: Result<Vec<(String, f64)>>) -> ErrorCode {
    result.unwrap_err().code()
}
