//! Another server, as it is asked on behalf of requests here.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use routir_client::{CallOptions, Client, ClientError, ErrorKind, Settings};
use routir_core::{Error, ErrorCode, RequestContext, Result};
use tokio::sync::{Notify, Semaphore, watch};

use super::failure;

/// How many calls of one server are under way at once; more wait for their turn.
const AT_ONCE: usize = 256;

/// How many documents of bytes are fetched from one server at once, each as large as an answer may be.
const BYTES_AT_ONCE: usize = 16;

/// Another server. All that is relayed to it shares its connections and its bound of calls.
pub struct Peer {
    client: Client,
    settings: Settings,
    label: Arc<str>,
    /// This server's id.
    own: Arc<str>,
    places: Semaphore,
    bytes_places: Semaphore,
    /// Whether it did not answer when it was last looked at.
    away: watch::Sender<bool>,
    /// Told when a call found it away.
    suspect: Notify,
    /// Told when a call wanted it while it was away.
    wanted: Notify,
}

impl Peer {
    /// Its address, without credentials.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Whether it can be asked for what only servers of this project do.
    pub(crate) fn has_rest(&self) -> bool {
        self.client.has_rest()
    }

    /// Whether it can be asked over gRPC, as far as is known before it says where.
    pub(crate) fn has_grpc(&self) -> bool {
        !self.has_rest() || self.settings.grpc_endpoint.is_some()
    }

    /// This server's id.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// While it is away nobody waits for it: calls fail at once, those in turn for a place too.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// Resolves when a call found it away.
    pub(crate) async fn suspected(&self) {
        self.suspect.notified().await;
    }

    /// Resolves when a call wanted it while it was away.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// As [`Peer::ask`], for what is large.
    pub(crate) async fn ask_for_bytes<T, Fut>(
        &self,
        context: &RequestContext,
        call: impl FnOnce(Client, Via) -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        // It is never closed.
        let _place = self.bytes_places.acquire().await;
        self.ask(context, call).await
    }

    /// Makes a call in a request's name, when it is its turn.
    pub(crate) async fn ask<T, Fut>(
        &self,
        context: &RequestContext,
        call: impl FnOnce(Client, Via) -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let way = match &context.via {
            Some(via) => format!("{via},{}", self.own).into(),
            None => Arc::clone(&self.own),
        };
        self.ask_by(Some(way), context, call).await
    }

    /// As [`Peer::ask`], for what cannot come back here: this server is not named as one that the
    /// request came through, so that it may ask itself.
    pub(crate) async fn ask_unnamed<T, Fut>(
        &self,
        context: &RequestContext,
        call: impl FnOnce(Client, Via) -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        self.ask_by(context.via.clone(), context, call).await
    }

    async fn ask_by<T, Fut>(
        &self,
        way: Option<Arc<str>>,
        context: &RequestContext,
        call: impl FnOnce(Client, Via) -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let mut away = self.away.subscribe();
        let went = async {
            let _ = away.wait_for(|away| *away).await;
        };
        let _place = tokio::select! {
            biased;
            () = went => {
                self.wanted.notify_one();
                let message = format!("server {} is away; try again soon", self.label);
                return Err(Error::new(ErrorCode::Unavailable, message));
            }
            // It is never closed.
            place = self.places.acquire() => place,
        };
        let via = Via {
            way,
            request_id: Arc::clone(&context.request_id),
            deadline: context.deadline,
        };
        let answer = call(self.client.clone(), via).await;
        answer.map_err(|error| {
            if error.kind() == ErrorKind::Unavailable {
                self.suspect.notify_one();
            }
            failure::of_call(&self.label, &error)
        })
    }
}

/// What a call tells about the request that it is made for.
pub(crate) struct Via {
    way: Option<Arc<str>>,
    request_id: Arc<str>,
    deadline: Option<std::time::Instant>,
}

impl Via {
    pub(crate) fn options(&self) -> CallOptions<'_> {
        CallOptions {
            request_id: Some(&self.request_id),
            via: self.way.as_deref(),
            deadline: self.deadline,
            retries: None,
        }
    }
}

/// The servers that are asked, each once, and the id of the one that asks.
pub struct Peers {
    own: Arc<str>,
    known: Mutex<Vec<Arc<Peer>>>,
}

impl Default for Peers {
    /// Of a server with an id of its own, made at random.
    fn default() -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        Self {
            own: format!("{random:016x}").into(),
            known: Mutex::default(),
        }
    }
}

impl Peers {
    /// The id by which this server tells its own requests when they come back.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.own
    }

    /// The server that `settings` describe; the same for the same settings. Opens no connection.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for addresses and keys that cannot work.
    pub fn get(&self, settings: &Settings) -> Result<Arc<Peer>> {
        let mut known = self.known.lock();
        if let Some(peer) = known.iter().find(|peer| is_same(&peer.settings, settings)) {
            return Ok(Arc::clone(peer));
        }
        let client = Client::new(settings.clone());
        let client = client.map_err(|error| Error::invalid(error.message()))?;
        let address = settings
            .endpoint
            .as_ref()
            .or(settings.grpc_endpoint.as_ref());
        let peer = Arc::new(Peer {
            client,
            label: without_credentials(address.map_or("", String::as_str)).into(),
            settings: settings.clone(),
            own: Arc::clone(&self.own),
            places: Semaphore::new(AT_ONCE),
            bytes_places: Semaphore::new(BYTES_AT_ONCE),
            away: watch::Sender::new(false),
            suspect: Notify::new(),
            wanted: Notify::new(),
        });
        known.push(Arc::clone(&peer));
        Ok(peer)
    }
}

fn is_same(one: &Settings, other: &Settings) -> bool {
    one.endpoint == other.endpoint
        && one.grpc_endpoint == other.grpc_endpoint
        && one.api_key == other.api_key
        && one.transport == other.transport
        && one.timeout == other.timeout
        && one.retries == other.retries
        && one.tls == other.tls
        && one.max_answer_bytes == other.max_answer_bytes
}

fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{}", host.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_are_one_peer_and_passwords_are_not_shown() {
        let peers = Peers::default();
        let settings = Settings::new("http://user:secret@host:5000/");
        let one = peers.get(&settings).unwrap();
        assert!(Arc::ptr_eq(&one, &peers.get(&settings).unwrap()));
        assert_eq!(&**one.label(), "http://host:5000");
        let other = Settings {
            retries: 7,
            ..settings
        };
        assert!(!Arc::ptr_eq(&one, &peers.get(&other).unwrap()));
    }
}
