//! Finding out what other servers offer, at the start and for as long as this server runs.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use routir_core::{Error, ImportStatus, Result, Ways};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::look::look;
use super::offer::Offer;
use super::union::{Source, union};
use super::{Peer, PeerSettings, Peers, RelayCache, RelayService, Union};

/// How soon a server that was there and did not answer is looked at again, before it counts as away.
const AGAIN: Duration = Duration::from_millis(250);
/// How soon a server that is away is looked at again: at first, and at the latest.
const SOONEST: Duration = Duration::from_millis(250);
const LATEST: Duration = Duration::from_secs(10);
/// How often a server may be looked at because calls found it away, or want it while it is.
const SUSPECT_PAUSE: Duration = Duration::from_secs(1);

/// A server whose services are to be offered here too.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    /// Where it is.
    pub peer: PeerSettings,
    /// Arguments that go along with every request.
    pub extras: Map<String, Value>,
    /// Whether this server is not ready without it.
    pub required: bool,
    /// How often it is asked what it offers, while it answers.
    pub refresh: Duration,
}

/// Is told what is offered whenever that changes; answers what of it was left out, for the log.
pub type Publish = dyn Fn(&Union) -> Vec<String> + Send + Sync;

/// The servers whose services are offered here too.
pub struct Imports {
    imports: Vec<Import>,
    cache: OnceLock<RelayCache>,
    state: Mutex<State>,
}

struct Import {
    peer: Arc<Peer>,
    required: bool,
    refresh: Duration,
}

struct State {
    sources: Vec<Source>,
    /// Why each is not ready, or what it is.
    details: Vec<String>,
    union: Arc<Union>,
    service_ways: Arc<Ways>,
    collection_ways: Arc<Ways>,
    /// What was said of names that are left out.
    left: Vec<String>,
}

impl Imports {
    /// Of these servers, in the order in which names are theirs. Asks nobody yet.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] with the place in the list of whichever cannot
    /// work.
    pub fn new(
        settings: Vec<ImportSettings>,
        peers: &Peers,
    ) -> std::result::Result<Self, (usize, Error)> {
        let mut imports = Vec::with_capacity(settings.len());
        let mut sources = Vec::with_capacity(settings.len());
        for (at, settings) in settings.into_iter().enumerate() {
            let source = source(&settings, peers).map_err(|error| (at, error))?;
            imports.push(Import {
                peer: Arc::clone(&source.peer),
                required: settings.required,
                refresh: settings.refresh.max(AGAIN),
            });
            sources.push(source);
        }
        let state = State {
            details: vec!["not asked yet".to_owned(); sources.len()],
            sources,
            union: Arc::default(),
            service_ways: Arc::default(),
            collection_ways: Arc::default(),
            left: Vec::new(),
        };
        Ok(Self {
            imports,
            cache: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    /// Keeps documents of imported collections there, from the next answer of a server on. Only the
    /// first call counts.
    pub fn keep_documents(&self, cache: RelayCache) {
        let _ = self.cache.set(cache);
    }

    /// Asks every server once, side by side, and publishes what they offer. Takes no longer than
    /// five seconds, whoever does not answer.
    pub async fn discover(&self, publish: &Publish) {
        let looks = self
            .imports
            .iter()
            .map(|import| look(&import.peer, import.peer.own(), None));
        let found = join_all(looks).await;
        for (at, found) in found.into_iter().enumerate() {
            self.note(at, found);
        }
        self.publish(publish);
    }

    /// Keeps asking, in tasks of its own that end when what is returned is dropped. Must be called
    /// within a tokio runtime.
    #[must_use]
    pub fn watch(self: &Arc<Self>, publish: &Arc<Publish>) -> Importing {
        let watch = |at| {
            let (imports, publish) = (Arc::clone(self), Arc::clone(publish));
            tokio::spawn(async move { imports.follow(at, &*publish).await })
        };
        Importing((0..self.imports.len()).map(watch).collect())
    }

    async fn follow(&self, at: usize, publish: &Publish) {
        let Some(import) = self.imports.get(at) else {
            return;
        };
        let mut pause = SOONEST;
        let mut looked = Instant::now();
        loop {
            if self.is_ready(at) {
                pause = SOONEST;
                let suspected = async {
                    import.peer.suspected().await;
                    let wait = SUSPECT_PAUSE.saturating_sub(looked.elapsed());
                    tokio::time::sleep(wait).await;
                };
                tokio::select! {
                    () = tokio::time::sleep(import.refresh) => {}
                    () = suspected => {}
                }
            } else {
                let wanted = async {
                    import.peer.wanted().await;
                    let wait = SUSPECT_PAUSE.saturating_sub(looked.elapsed());
                    tokio::time::sleep(wait).await;
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = wanted => {}
                }
                pause = (pause * 2).min(LATEST);
            }
            let mut found = look(&import.peer, import.peer.own(), None).await;
            if found.is_err() && self.is_ready(at) {
                tokio::time::sleep(AGAIN).await;
                found = look(&import.peer, import.peer.own(), None).await;
            }
            looked = Instant::now();
            if self.note(at, found) {
                self.publish(publish);
            }
        }
    }

    fn is_ready(&self, at: usize) -> bool {
        let state = self.state.lock();
        state.sources.get(at).is_some_and(|source| source.ready)
    }

    /// Takes down what a look at a server found; whether that changes what is offered.
    fn note(&self, at: usize, found: std::result::Result<Offer, String>) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let (Some(source), Some(detail)) = (state.sources.get_mut(at), state.details.get_mut(at))
        else {
            return false;
        };
        let server = source.peer.label();
        match found {
            Ok(offer) => {
                let (services, collections) = (offer.services.len(), offer.collections.len());
                let before = source.ready;
                let changed = source.offer.as_deref() != Some(&offer);
                source.peer.set_away(false);
                source.ready = true;
                *detail = format!("offers {services} services and {collections} collections");
                if changed || !before {
                    tracing::info!(%server, services, collections, "another server answers");
                    source.offer = Some(Arc::new(offer));
                }
                changed || !before
            }
            Err(why) => {
                let first = source.ready || *detail != why;
                let before = source.ready;
                source.peer.set_away(true);
                source.ready = false;
                if first {
                    tracing::warn!(
                        %server,
                        %why,
                        "another server does not answer; what it offers is not there until it does"
                    );
                }
                *detail = why;
                before
            }
        }
    }

    fn publish(&self, publish: &Publish) {
        // Held meanwhile, so that an older union never follows a newer one.
        let mut state = self.state.lock();
        let union = Arc::new(union(&mut state.sources, self.cache.get()));
        state.service_ways = Arc::new(union.service_ways.clone());
        state.collection_ways = Arc::new(union.collection_ways.clone());
        let left = publish(&union);
        if left != state.left {
            for line in &left {
                tracing::info!("not taken from other servers: {line}");
            }
            state.left = left;
        }
        state.union = union;
    }
}

impl routir_core::Imports for Imports {
    fn status(&self) -> Vec<ImportStatus> {
        let state = self.state.lock();
        let imports = self.imports.iter().zip(&state.sources);
        let imports = imports.zip(&state.details).enumerate();
        let status = imports.map(|(at, ((import, source), detail))| {
            let taken = state.union.taken.get(at).cloned();
            let (services, collections) = taken.unwrap_or_default();
            ImportStatus {
                endpoint: Arc::clone(import.peer.label()),
                ready: source.ready,
                required: import.required,
                detail: detail.clone(),
                services,
                collections,
            }
        });
        status.collect()
    }

    fn services(&self) -> Arc<Ways> {
        Arc::clone(&self.state.lock().service_ways)
    }

    fn collections(&self) -> Arc<Ways> {
        Arc::clone(&self.state.lock().collection_ways)
    }
}

/// Ends the asking when it is dropped.
pub struct Importing(Vec<JoinHandle<()>>);

impl Drop for Importing {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn source(settings: &ImportSettings, peers: &Peers) -> Result<Source> {
    let peer = peers.get(&settings.peer)?;
    // Tried here, so that no service of the server can fail for it.
    RelayService::new(Arc::clone(&peer), "").sending(settings.extras.clone())?;
    Ok(Source::new(peer, settings.extras.clone()))
}
