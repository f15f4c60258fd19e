//! Small encoders that a test steers, hosted as models.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use routir_core::{
    BoxFuture, EncodeRequest, Encoded, Encoder, Error, ErrorCode, Health, HostedEncoder,
    HostedModel, ModelHost, ModelState, Result, VectorKind, Vectors,
};
use routir_server::ServerOptions;

use crate::engines::Probe;
use crate::harness::Server;

/// Makes vectors of the lengths of texts; some texts make it misbehave.
pub(crate) struct Lengths {
    kind: VectorKind,
    probe: Arc<Probe>,
}

impl Lengths {
    async fn answer(&self, request: EncodeRequest) -> Result<Encoded> {
        let texts = &request.texts;
        let told = request.instruction.as_ref().map_or(0, |said| said.len());
        match texts.first().map(AsRef::as_ref) {
            Some("fail") => return Err(Error::engine("the model is gone")),
            Some("full") => return Err(Error::new(ErrorCode::Overloaded, "no room")),
            Some("few") => {
                return Ok(encoded(Vectors::Dense(Vec::new())));
            }
            Some("slow") => {
                self.probe.started.notify_one();
                self.probe.release.notified().await;
            }
            _ => {}
        }
        let lengths = texts.iter().map(|text| text.len() as f32);
        let query = f32::from(u8::from(request.query));
        Ok(encoded(match self.kind {
            VectorKind::Dense => Vectors::Dense(
                lengths
                    .map(|it| vec![it, query, told as f32, 0.1])
                    .collect(),
            ),
            VectorKind::Sparse => Vectors::Sparse(lengths.map(|it| vec![(7, it)]).collect()),
            VectorKind::Multivector => Vectors::Multivector {
                width: 2,
                rows: lengths.map(|it| vec![it, -1.0, 0.5, 0.25]).collect(),
            },
        }))
    }
}

fn encoded(vectors: Vectors) -> Encoded {
    Encoded {
        vectors,
        tokens: 11,
        tokenized: Duration::from_millis(1),
        queued: Duration::from_millis(2),
        computed: Duration::from_millis(3),
    }
}

impl Encoder for Lengths {
    fn encode(&self, request: EncodeRequest) -> BoxFuture<'_, Result<Encoded>> {
        self.answer(request).boxed()
    }
}

/// Models that change while the server runs.
pub(crate) struct Host {
    models: Mutex<Arc<[HostedModel]>>,
    broken: Arc<Broken>,
}

/// A server with such models, and other options as `change` says.
pub(crate) async fn hosting(change: impl FnOnce(&mut ServerOptions)) -> (Server, Arc<Host>) {
    let mut host = None;
    let server = Server::with_probe(|options, probe| {
        let models = Host::new(probe);
        host = Some(Arc::clone(&models));
        options.models = Some(models);
        change(options);
    })
    .await;
    (server, host.unwrap())
}

/// What may fail for good.
#[derive(Default)]
struct Broken(AtomicBool);

impl Health for Broken {
    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::new(ErrorCode::Unavailable, "the GPU is gone")),
        }
    }
}

impl ModelHost for Host {
    fn models(&self) -> Arc<[HostedModel]> {
        Arc::clone(&self.models.lock().unwrap())
    }
}

impl Host {
    /// `owner/m3`, which makes everything, `owner/late`, whose state a test sets, and the reranker
    /// of the service `length`.
    pub(crate) fn new(probe: &Arc<Probe>) -> Arc<Self> {
        let broken = Arc::new(Broken::default());
        let encoder = |kind, width| {
            Some(HostedEncoder {
                kind,
                width: Some(width),
                max_tokens: Some(512),
                encoder: Arc::new(Lengths {
                    kind,
                    probe: Arc::clone(probe),
                }),
            })
        };
        let model = |id: &str, entry: &str, service, encoder| HostedModel {
            id: Arc::from(id),
            source: Arc::from(id),
            entry: Arc::from(entry),
            service,
            state: ModelState::Loaded,
            encoder,
            health: if entry == "late" {
                vec![Arc::clone(&broken) as Arc<dyn Health>]
            } else {
                Vec::new()
            },
        };
        let models = [
            model("owner/m3", "seek", true, encoder(VectorKind::Dense, 4)),
            model("owner/m3", "terms", false, encoder(VectorKind::Sparse, 100)),
            model(
                "owner/m3",
                "tokens",
                false,
                encoder(VectorKind::Multivector, 2),
            ),
            model(
                "owner/late",
                "late",
                false,
                encoder(VectorKind::Multivector, 2),
            ),
            model("owner/ranker", "length", true, None),
        ];
        Arc::new(Self {
            models: Mutex::new(Arc::from(models)),
            broken,
        })
    }

    /// Has `owner/late` lose what it cannot do without.
    pub(crate) fn break_late(&self) {
        self.broken.0.store(true, Ordering::Relaxed);
    }

    /// Puts `owner/late` in another state.
    pub(crate) fn set(&self, state: ModelState) {
        let mut models = self.models.lock().unwrap();
        let mut changed = models.to_vec();
        let late = changed.iter_mut().filter(|model| &*model.entry == "late");
        late.for_each(|model| model.state = state);
        *models = Arc::from(changed);
    }
}
