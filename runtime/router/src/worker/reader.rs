//! Listening to a worker for as long as it is registered.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::fetch::{self, Question};
use super::frame::{self, Frame};
use super::socket::{self, Refusal, Socket};
use super::{Card, Facts, Offer, Worker, WorkerSettings};

/// The first pause before connecting again; it doubles.
const FIRST: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST: Duration = Duration::from_secs(5);
/// More frames than one in this time are made to wait.
const APART: Duration = Duration::from_millis(10);
/// Frames above this size are read on a thread for what takes long.
const LARGE: usize = 64 << 10;
/// How long the worker may take to answer what it is asked for beside its frames.
const ASKING: Duration = Duration::from_secs(5);
/// After a failure the offer is asked for again so late,
const OFFER_AGAIN: Duration = Duration::from_secs(1);
/// and what the models are so late.
const CARDS_AGAIN: Duration = Duration::from_secs(30);
/// How often a server without frames is asked whether it is there,
const POLL: Duration = Duration::from_secs(1);
/// how long it may take to answer,
const POLL_ANSWER: Duration = Duration::from_secs(2);
/// and how often it is asked for frames again.
const SOCKET_AGAIN: Duration = Duration::from_secs(30);

/// Why listening ended, until it begins anew.
struct End {
    /// Whether the worker said anything.
    spoke: bool,
    why: String,
}

/// Listens to the worker for as long as this future lives.
pub(super) async fn keep(worker: Arc<Worker>, settings: Arc<WorkerSettings>) {
    let listening = || run(Arc::clone(&worker), Arc::clone(&settings));
    let broken = || {
        worker.silent();
        tracing::error!(worker = %worker.url(), "listening to a worker broke; it begins anew");
    };
    for_ever(listening, broken).await;
}

/// Runs a task, and another whenever one ends; it ends with this future.
async fn for_ever<F>(task: impl Fn() -> F, ended: impl Fn())
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // Dropping the set aborts the task.
        let mut running = JoinSet::new();
        running.spawn(task());
        running.join_next().await;
        ended();
        sleep(LONGEST).await;
    }
}

/// Listens to the worker and says what it told. Ends only by being aborted.
async fn run(worker: Arc<Worker>, settings: Arc<WorkerSettings>) {
    let mut pause = FIRST;
    let mut told = String::new();
    loop {
        let end = match socket::open(&worker, &settings).await {
            Ok(socket) => listen(&worker, &settings, socket).await,
            Err(Refusal::NoSuchPath(status)) => poll(&worker, &settings, status).await,
            Err(Refusal::Failed(why)) => End { spoke: false, why },
        };
        worker.silent();
        if end.spoke {
            tracing::warn!(worker = %worker.url(), why = %end.why, "a worker is silent");
            pause = FIRST;
            told.clear();
        } else if told != end.why {
            // Once, since it may go on for long.
            tracing::warn!(worker = %worker.url(), why = %end.why, "a worker does not answer");
            told = end.why;
        } else {
            tracing::debug!(worker = %worker.url(), why = %end.why, "a worker does not answer");
        }
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Takes in frames until the connection ends or nothing comes any more.
async fn listen(worker: &Arc<Worker>, settings: &Arc<WorkerSettings>, mut socket: Socket) -> End {
    worker.reached();
    let mut asides = Asides::new(worker, settings);
    let mut spoke = false;
    let mut deadline = Instant::now() + settings.silence;
    loop {
        // Even who says much must say something that is a frame.
        if Instant::now() >= deadline {
            let why = format!("no frame for {:?}", settings.silence);
            return End { spoke, why };
        }
        let message = tokio::select! {
            message = timeout_at(deadline, socket.next()) => message,
            () = asides.settle() => continue,
        };
        let why = match message {
            Ok(Some(Ok(message))) => {
                // Pings, which the socket answers, say nothing of the worker.
                let Some(content) = socket::content(message) else {
                    continue;
                };
                match read(worker, content).await {
                    Some(frame) => {
                        spoke = true;
                        deadline = Instant::now() + settings.silence;
                        asides.told(frame);
                    }
                    None => {
                        worker.counts.bad_frames.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // Who floods is slowed down by its own full socket.
                sleep(APART).await;
                continue;
            }
            Ok(Some(Err(why))) => why.to_string(),
            Ok(None) => "the worker closed the connection".to_owned(),
            Err(_) => continue,
        };
        return End { spoke, why };
    }
}

async fn read(worker: &Arc<Worker>, content: Bytes) -> Option<Frame> {
    if content.len() <= LARGE {
        return frame::read(&content, worker.url());
    }
    let url = Arc::clone(worker.url());
    let reading = tokio::task::spawn_blocking(move || frame::read(&content, &url));
    reading.await.ok().flatten()
}

type Asked<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// What is asked for beside the frames, while those come on.
struct Asides<'a> {
    worker: &'a Arc<Worker>,
    settings: &'a Arc<WorkerSettings>,
    offer: Aside<Offer>,
    cards: Aside<BTreeMap<Arc<str>, Card>>,
    grpc_port: Option<u16>,
    server_id: Option<Arc<str>>,
    /// Whether the last frame said that it is ready.
    ready: bool,
    /// Whether it did not tell its offer when it was asked.
    mute: bool,
}

/// One thing that is asked for whenever a mark changes.
struct Aside<T> {
    asked: Option<(u64, Asked<T>)>,
    /// The mark under which it was last got.
    got: Option<u64>,
    not_before: Instant,
}

impl<T> Aside<T> {
    fn new() -> Self {
        Self {
            asked: None,
            got: None,
            not_before: Instant::now(),
        }
    }

    fn is_due(&self, mark: u64) -> bool {
        self.asked.is_none() && self.got != Some(mark) && Instant::now() >= self.not_before
    }

    /// The answer, once there is one; for ever without a question.
    async fn answer(&mut self, again: Duration) -> Result<T, String> {
        let Some((mark, asked)) = &mut self.asked else {
            return std::future::pending().await;
        };
        let answer = asked.await;
        match &answer {
            Ok(_) => self.got = Some(*mark),
            Err(_) => self.not_before = Instant::now() + again,
        }
        self.asked = None;
        answer
    }
}

impl<'a> Asides<'a> {
    fn new(worker: &'a Arc<Worker>, settings: &'a Arc<WorkerSettings>) -> Self {
        Self {
            worker,
            settings,
            offer: Aside::new(),
            cards: Aside::new(),
            grpc_port: None,
            server_id: None,
            ready: false,
            mute: false,
        }
    }

    /// Says what a frame told, and asks for what that makes necessary.
    fn told(&mut self, frame: Frame) {
        let bad_fields = &self.worker.counts.bad_fields;
        bad_fields.fetch_add(frame.bad_fields, Ordering::Relaxed);
        let mut facts = frame.facts;
        self.grpc_port = frame.grpc_port;
        self.server_id = frame.server_id;
        self.ready = facts.ready;
        if let Some(generation) = facts.generation {
            let kept = self.worker.facts_now().offer.clone();
            // An offer of the process that was there before says nothing of this one.
            let same = |offer: &Arc<Offer>| offer.server_id == self.server_id;
            facts.offer = kept.filter(|offer| self.offer.got.is_some() || same(offer));
            // Requests for what it offers would be told that nobody has it.
            facts.ready &= facts.offer.is_some() || self.mute;
            if self.offer.is_due(generation) {
                self.offer.asked = Some((generation, self.ask(&fetch::OFFER)));
            }
        }
        if !facts.models.is_empty() {
            let mark = names(&facts);
            if self.cards.is_due(mark) {
                self.cards.asked = Some((mark, self.ask(&fetch::CARDS)));
            }
        }
        self.worker.told(facts);
    }

    fn ask<T: Send + 'static>(&self, what: &'static Question<T>) -> Asked<T> {
        let (worker, settings) = (Arc::clone(self.worker), Arc::clone(self.settings));
        Box::pin(async move { fetch::read(&worker, &settings, what, ASKING).await })
    }

    /// Waits for an answer and says it.
    async fn settle(&mut self) {
        let worker = self.worker;
        tokio::select! {
            offer = self.offer.answer(OFFER_AGAIN) => match offer {
                Ok(mut offer) => {
                    offer.grpc_port = self.grpc_port.or(offer.grpc_port);
                    offer.server_id = self.server_id.clone().or(offer.server_id);
                    worker.offers(offer, self.ready);
                }
                Err(why) => {
                    tracing::warn!(worker = %worker.url(), why, "a worker does not tell what it offers");
                    self.mute = true;
                    worker.meet();
                }
            },
            cards = self.cards.answer(CARDS_AGAIN) => match cards {
                Ok(cards) => worker.carded(cards),
                Err(why) => tracing::debug!(worker = %worker.url(), why, "no models of a worker"),
            },
        }
    }
}

/// Tells lists of models apart.
fn names(facts: &Facts) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in facts.models.keys() {
        name.hash(&mut hasher);
    }
    hasher.finish()
}

/// Asks a server that has no frames, as RoutIR's own, whether it is there, until it is not or has.
async fn poll(worker: &Arc<Worker>, settings: &Arc<WorkerSettings>, status: StatusCode) -> End {
    let mut spoke = false;
    let mut socket_again = Instant::now() + SOCKET_AGAIN;
    loop {
        let offer = fetch::read(worker, settings, &fetch::OFFER, POLL_ANSWER).await;
        let offer = match offer {
            Ok(offer) => offer,
            Err(why) => {
                let why = format!("no web socket (HTTP {}), and {why}", status.as_u16());
                return End { spoke, why };
            }
        };
        if !spoke {
            worker.reached();
            spoke = true;
        }
        worker.told(Facts {
            heard: true,
            ready: true,
            name: Arc::clone(worker.url()),
            bundle: Arc::from("default"),
            capacity: 64,
            lists_models: true,
            offer: Some(Arc::new(offer)),
            ..Facts::default()
        });
        if Instant::now() >= socket_again {
            socket_again = Instant::now() + SOCKET_AGAIN;
            if let Ok(socket) = socket::open(worker, settings).await {
                return listen(worker, settings, socket).await;
            }
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_breaks_begins_anew_and_ends_with_who_waits_for_it() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let alive = Arc::new(());
        let task = || {
            let alive = Arc::clone(&alive);
            async move {
                if BEGUN.fetch_add(1, Ordering::SeqCst) < 2 {
                    panic!("as it was told to");
                }
                std::future::pending::<()>().await;
                drop(alive);
            }
        };
        let ended = AtomicUsize::new(0);
        let count = || {
            ended.fetch_add(1, Ordering::SeqCst);
        };
        let minute = Duration::from_secs(60);
        let running = tokio::time::timeout(minute, for_ever(task, count)).await;
        assert!(running.is_err(), "it never ends");
        assert_eq!(BEGUN.load(Ordering::SeqCst), 3);
        assert_eq!(ended.load(Ordering::SeqCst), 2);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&alive), 1, "the task is gone");
    }
}
