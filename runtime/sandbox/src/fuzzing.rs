//! What the fuzzer throws bytes at; not part of the interface. Each function panics only for a
//! mistake of the sandbox's own.

#![expect(clippy::expect_used, reason = "a fuzzer wants to hear of it")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{
    BoxFuture, DecomposeRequest, Error, FuseRequest, FuseSource, Hit, Host, HostDocuments,
    HostScore, HostSearch, Params, Ranking, RequestContext, Result, Roles, ScoreRequest,
    SearchRequest,
};

use crate::bindings::types;
use crate::convert::{self, Candidates};
use crate::{Compiler, ExtensionSpec, Sandbox, SandboxSettings};

/// A sandbox with limits that even a hostile component reaches within milliseconds.
struct Lab {
    sandbox: Arc<Sandbox>,
    tokio: tokio::runtime::Runtime,
}

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let name = format!("routir-fuzz-{}", std::process::id());
    let cache_dir = std::env::temp_dir().join(name);
    let sandbox = Sandbox::new(SandboxSettings {
        cache_dir: cache_dir.clone(),
        instances: 4,
        compiler: Compiler::InProcess,
        compile_memory_mb: 512,
        compile_cpu_s: 10,
        threads: 1,
    })
    .expect("a sandbox");
    // Thousands of components a minute are not worth keeping; what cannot be kept runs all the same.
    std::fs::remove_dir_all(cache_dir).expect("a directory of its own");
    Lab {
        sandbox,
        tokio: tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime"),
    }
});

fn limits() -> ExtensionLimits {
    ExtensionLimits {
        memory_mb: 4,
        time_ms: 200,
        cpu_ms: 20,
        fuel: None,
        host_calls: 10,
        output_bytes: 64 << 10,
        log_bytes: 1 << 10,
        table_elements: 1_000,
        instances: 4,
        component_mb: 1,
    }
}

/// Admits a file as a component and, where it is let in, calls each role that it plays.
pub fn load(file: &[u8]) {
    LAB.tokio.block_on(async {
        let limits = limits();
        let grants = ExtensionGrants::default();
        let admitted = LAB.sandbox.admit(None, file.into(), &limits, &grants).await;
        let Ok(admitted) = admitted else { return };
        let roles = admitted.component.roles(ExtensionSpec {
            identity: Arc::from("fuzz"),
            owner: None,
            params: Params::default(),
            trusted: false,
            limits,
            grants,
            collection: None,
            host: Arc::new(Nobody),
        });
        call(roles).await;
        // A guest whose caller ran out of time is taken down at its next tick, beside this thread.
        let account = LAB.sandbox.account(None);
        for _ in 0..2000 {
            if account.memory() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(account.memory(), 0, "bytes are held after the call");
    });
}

async fn call(roles: Roles) {
    let context = Arc::new(RequestContext::new("fuzz"));
    let query: Arc<str> = Arc::from("query");
    let params = Params::default();
    if let Some(fuse) = &roles.fuse {
        let source = FuseSource {
            stage: Arc::clone(&query),
            query: Arc::clone(&query),
        };
        let request = FuseRequest {
            query: Arc::clone(&query),
            rankings: rankings(),
            sources: vec![source; 2],
            sub_queries: None,
            limit: Some(10),
            params: params.clone(),
            context: Arc::clone(&context),
        };
        if let Ok(ranking) = fuse.fuse(request).await {
            assert_ranking(&ranking, 3);
        }
    }
    if let Some(search) = &roles.search {
        let request = SearchRequest {
            query: Arc::clone(&query),
            limit: 3,
            params: params.clone(),
            context: Arc::clone(&context),
        };
        for answer in search.search(vec![request]).await.into_iter().flatten() {
            assert_ranking(&answer, 3);
        }
    }
    if let Some(score) = &roles.score {
        let request = ScoreRequest {
            query: Arc::clone(&query),
            passages: vec![Arc::clone(&query); 2].into(),
            params: params.clone(),
            context: Arc::clone(&context),
        };
        for scores in score.score(vec![request]).await.into_iter().flatten() {
            assert_eq!(scores.len(), 2, "one score per passage");
            assert!(scores.iter().all(|s| s.is_finite()), "{scores:?}");
        }
    }
    if let Some(decompose) = &roles.decompose {
        let request = DecomposeRequest {
            query,
            limit: Some(4),
            params,
            context,
        };
        let made = decompose.decompose(vec![request]).await;
        for queries in made.into_iter().flatten() {
            assert!(queries.len() <= 4 && queries.iter().all(|q| !q.is_empty()));
        }
    }
}

/// Two rankings of three documents.
fn rankings() -> Vec<Arc<Ranking>> {
    [["a", "b"], ["b", "c"]]
        .map(|ids| {
            let hits = ids.iter().zip([2.0, 1.0]);
            let hits = hits.map(|(id, score)| Hit::new(*id, score)).collect();
            Arc::new(Ranking::from_hits(hits).expect("finite scores"))
        })
        .to_vec()
}

/// What every ranking is that comes out of the sandbox.
fn assert_ranking(ranking: &Ranking, limit: usize) {
    let hits = ranking.hits();
    assert!(hits.len() <= limit, "{} of {limit} hits", hits.len());
    assert!(hits.iter().all(|hit| hit.score.is_finite()), "{hits:?}");
    assert!(
        hits.is_sorted_by(|a, b| a.rank_order(b).is_lt()),
        "{hits:?}"
    );
}

/// Puts values that are made of the bytes before the conversion layer, as a guest's answers.
pub fn convert(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let limit = usize::from(bytes.next() % 8);
    match bytes.next() % 6 {
        0 => {
            let found = types::Hits {
                ids: bytes.texts(),
                scores: bytes.numbers(),
            };
            if let Ok(ranking) = convert::hits(found, limit) {
                assert_ranking(&ranking, limit);
                let hits = ranking.hits();
                let once = |n: usize, hit: &Hit| hits.iter().skip(n + 1).all(|h| h.doc != hit.doc);
                assert!(
                    hits.iter().enumerate().all(|(n, hit)| once(n, hit)),
                    "{hits:?}"
                );
            }
        }
        1 => {
            let (candidates, _) = Candidates::new(rankings()).expect("few hits");
            if let Ok(ranking) = convert::fused(&bytes.numbers(), &candidates, Some(limit)) {
                assert_ranking(&ranking, limit.min(3));
            }
        }
        2 => {
            if let Ok(scores) = convert::scores(bytes.numbers(), limit) {
                assert_eq!(scores.len(), limit);
                assert!(scores.iter().all(|score| score.is_finite()));
            }
        }
        3 => {
            if let Ok(queries) = convert::sub_queries(bytes.texts(), Some(limit)) {
                assert!(queries.len() <= limit && queries.iter().all(|q| !q.is_empty()));
            }
        }
        4 => {
            let stated = bytes.texts().into_iter().map(|name| {
                let value = match bytes.next() % 5 {
                    0 => types::Value::Flag(bytes.next() > 127),
                    1 => types::Value::Number(bytes.number()),
                    2 => types::Value::Text(bytes.text()),
                    3 => types::Value::Numbers(bytes.numbers()),
                    _ => types::Value::Json(bytes.text()),
                };
                (name, value)
            });
            let stated: Vec<_> = stated.collect();
            let count = stated.len();
            if let Ok(params) = convert::params_from_guest(stated) {
                assert_eq!(params.as_map().len(), count, "each name once");
            }
        }
        _ => {
            let text = bytes.text();
            let said = convert::said(&text);
            assert!(!said.is_empty() && said.len() <= text.len() + 30);
            assert!(!said.chars().any(char::is_control), "{said:?}");
            let line = convert::line(&text, 4096);
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(text.starts_with(convert::cut(&text, limit)));
        }
    }
}

/// Bytes as values; where they end, zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn number(&mut self) -> f64 {
        match self.next() % 4 {
            0 => f64::from_bits(u64::from_le_bytes([(); 8].map(|()| self.next()))),
            1 => f64::NEG_INFINITY,
            _ => f64::from(self.next()) - 128.0,
        }
    }

    fn numbers(&mut self) -> Vec<f64> {
        let count = self.next() % 16;
        (0..count).map(|_| self.number()).collect()
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.next()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn texts(&mut self) -> Vec<String> {
        let count = self.next() % 16;
        (0..count).map(|_| self.text()).collect()
    }
}

/// A runtime that has nothing.
struct Nobody;

fn nothing<T>() -> Result<T> {
    Err(Error::invalid("no such service"))
}

impl Host for Nobody {
    fn search(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        Box::pin(async move { requests.iter().map(|_| nothing()).collect() })
    }

    fn score(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        Box::pin(async move { requests.iter().map(|_| nothing()).collect() })
    }

    fn content(
        &self,
        _: Arc<RequestContext>,
        _: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        Box::pin(async { nothing() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// What the fuzzer starts from, and whatever it once found, without the fuzzer.
    fn replay(target: &str, run: fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(target);
        let files: Vec<_> = fs::read_dir(seeds).unwrap().collect();
        assert!(files.len() > 5);
        for file in files {
            run(&fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_loader_stands_its_seeds() {
        replay("loader", super::load);
    }

    #[test]
    fn the_conversion_stands_its_seeds() {
        replay("conversion", super::convert);
    }
}
