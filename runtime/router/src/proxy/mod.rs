//! Forwarding a request to a worker, and to another when that one fails before it answered.
//!
//! `forward` is the way in, and `failover` says who is asked. A `lane` is the way to one worker:
//! connections (`line`) and places. The body goes up as an `upload`, of which the beginning is `kept`
//! so that it can be sent again, and comes down as a `download`. Everything runs in the task of the
//! client's connection: whoever leaves takes all of it along.

mod clock;
mod download;
mod failover;
mod headers;
mod held;
mod kept;
mod lane;
mod line;
mod refusal;
mod upload;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use foldhash::fast::RandomState;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Request, Response, Uri, Version};
use parking_lot::RwLock;
use routir_core::Result;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub(crate) use failover::MAX_LOST;
pub(crate) use headers::{MACHINE_PROFILE, POOL, SERVER_VERSION, TIMEOUT, WORKER};
pub(crate) use held::Held;
pub(crate) use refusal::Refusal;
pub(crate) use upload::Broken;

use crate::RouterOptions;
use crate::dial::Dialer;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::want::{Need, Want};
use crate::worker::{ModelState, Outcome, Policy, Registry, Worker};
use download::Download;
use failover::{Attempt, Then, model_at};
use held::Asking;
use kept::REPLAYS;
use lane::Lane;
use line::{Fault, Line, Patience};
use upload::Source;

/// How much of a refusal is read to see why.
const MAX_REFUSAL: usize = 64 << 10;
/// How long a connection to a worker may be idle. Less than the five seconds after which the
/// servers of many workers close theirs.
const IDLE_LINE: Duration = Duration::from_millis(4500);

/// Forwards requests to workers.
pub(crate) struct Proxy {
    registry: Registry,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
    lanes: RwLock<HashMap<u64, Arc<Lane>, RandomState>>,
    policy: Policy,
    patience: Patience,
    dialer: Dialer,
    longest: Duration,
    replay: usize,
    replays: Arc<Semaphore>,
    most: u64,
    places: usize,
    authorization: Option<HeaderValue>,
    forward_authorization: bool,
}

/// A worker's answer, and what the log tells of it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) served: Served,
}

/// Of a worker's answer, for the log: who gave it, and what it took.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) worker: Arc<Worker>,
    pub(crate) profile: Arc<str>,
    source: Arc<Source>,
}

impl Served {
    /// Bytes that the client has sent.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.source.read()
    }
}

/// What all attempts of a request share.
struct Job<'a> {
    want: &'a Want,
    head: &'a Parts,
    path: PathAndQuery,
    source: Arc<Source>,
    deadline: Instant,
}

impl Proxy {
    pub(crate) fn new(
        options: &RouterOptions,
        registry: Registry,
        pools: Arc<Pools>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let workers = registry.settings();
        Self {
            dialer: workers.dialer.clone(),
            authorization: workers.authorization.clone(),
            registry,
            pools,
            metrics,
            lanes: RwLock::default(),
            policy: Policy {
                fill_first: options.fill_first,
                spill: options.spill,
            },
            patience: Patience {
                header: options.header_timeout,
                idle: options.idle_timeout,
            },
            longest: options.request_timeout,
            replay: options.replay_bytes,
            replays: Arc::new(Semaphore::new(REPLAYS)),
            most: options.max_body_bytes as u64,
            places: options.worker_requests,
            forward_authorization: options.forward_authorization,
        }
    }

    /// Forwards `request` (its path is what the worker is asked for) to a worker that has what is
    /// wanted, by `deadline` or the operator's, whichever is sooner. The body streams both ways.
    /// Dropping the future, or the body of the answer, closes the connection to the worker.
    ///
    /// # Errors
    /// When no worker answers. What a worker answers is the answer, whatever its status.
    pub(crate) async fn forward(
        &self,
        want: &Want,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Answer, Refusal> {
        let (mut head, body) = request.into_parts();
        let now = Instant::now();
        let deadline = self.deadline(&head.headers, deadline, now);
        let announced = head.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.most) {
            return Err(Refusal::Body(Broken::TooLarge));
        }
        let membership = self.pools.membership_by_now(want.pool.as_deref());
        let membership = membership.await;
        headers::of_request(&mut head.headers, self.forward_authorization);
        let path = head.uri.path_and_query().cloned();
        let job = Job {
            want,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            head: &head,
            source: Source::new(body, self.replay, self.most, &self.replays, now),
            deadline,
        };
        self.until_answered(&job, &membership).await
    }

    /// Asks one worker; waits for it however it is if the request `stays`.
    async fn attempt(&self, job: &Job<'_>, worker: &Arc<Worker>, stays: bool) -> Attempt {
        let lane = match self.lane(worker) {
            Ok(lane) => lane,
            Err(why) => {
                let why = Refusal::unreachable(worker, why.message());
                return Attempt::Failed(why, Then::Next);
            }
        };
        let asking = Asking {
            need: &job.want.need,
            deadline: job.deadline,
            body: Some(&job.source),
            stays,
        };
        let mut held = match self.hold_at(&lane, worker, &asking).await {
            Ok(Some(held)) => held,
            Ok(None) => return Attempt::Left,
            Err(why) => return Attempt::Failed(why, Then::Over),
        };
        // One look at the clock serves both a connection's age and what is left of the time.
        let mut now = Instant::now();
        let mut line = lane.take(now, IDLE_LINE);
        // What follows if there is no connection: who broke with the request may have none to give.
        let mut unconnected = Then::Next;
        let (line, response) = loop {
            let mut open = match line.take() {
                Some(line) => line,
                None => match timeout_at(job.deadline, self.connect(worker)).await {
                    Ok(Ok(line)) => {
                        now = Instant::now();
                        line
                    }
                    Ok(Err(why)) => {
                        held.settle(Outcome::ConnectFailed);
                        return Attempt::Failed(Refusal::unreachable(worker, &why), unconnected);
                    }
                    Err(_) => {
                        held.excused();
                        return Attempt::Failed(Refusal::Deadline, Then::Over);
                    }
                },
            };
            let Some(request) = self.request(job, worker, &lane, now) else {
                held.excused();
                return Attempt::Failed(Refusal::Body(Broken::Cut), Then::Over);
            };
            let exchange = open.exchange(request, &job.source, self.patience, job.deadline);
            let fault = match exchange.await {
                Ok(response) => break (open, response),
                Err(fault) => fault,
            };
            // A worker that closes an idle connection does so without regard to who is about to use
            // it: that says nothing about the worker.
            if open.used && matches!(fault, Fault::Reset(_)) && job.source.can_replay() {
                unconnected = Then::Lost;
                continue;
            }
            return self.faulted(worker, held, fault, job);
        };
        let (mut head, body) = response.into_parts();
        headers::end_to_end(&mut head.headers);
        head.headers.remove(SERVER_VERSION);
        head.version = Version::HTTP_11;
        let facts = worker.facts();
        let served = Served {
            worker: Arc::clone(worker),
            profile: Arc::clone(&facts.profile),
            source: Arc::clone(&job.source),
        };
        if let Ok(name) = HeaderValue::from_str(&worker.name()) {
            head.headers.insert(WORKER, name);
        }
        let source = Arc::clone(&job.source);
        let (idle, metrics) = (self.patience.idle, Arc::clone(&self.metrics));
        let mut body = Download::new(body, source, (lane, line), idle, metrics);
        let readable = !head.headers.contains_key(CONTENT_ENCODING);
        if verdict::is_open(head.status) && readable {
            match body.read(MAX_REFUSAL).await {
                Ok(Some(whole)) => {
                    let (verdict, outcome) = verdict::of(head.status, &whole);
                    held.settle(outcome);
                    let response = Response::from_parts(head, Body::from(whole));
                    return Attempt::Refused(Answer { response, served }, verdict);
                }
                Ok(None) => {}
                Err(why) => {
                    held.settle(Outcome::Reset);
                    let why = Refusal::unreachable(worker, &why.to_string());
                    return Attempt::Failed(why, Then::Lost);
                }
            }
        }
        held.began(verdict::first_sight(head.status));
        body.hold(held);
        let response = Response::from_parts(head, Body::new(body));
        Attempt::Answer(Answer { response, served })
    }

    /// A new connection to a worker.
    async fn connect(&self, worker: &Worker) -> Result<Line, String> {
        let stream = self.dialer.dial(worker).await?;
        let line = Line::over(stream).await;
        line.map_err(|why| format!("no connection: {why}"))
    }

    fn faulted(&self, worker: &Arc<Worker>, held: Held, fault: Fault, job: &Job<'_>) -> Attempt {
        match fault {
            Fault::Client(broken) => {
                held.excused();
                Attempt::Failed(Refusal::Body(broken), Then::Over)
            }
            Fault::Reset(why) => {
                held.settle(Outcome::Reset);
                Attempt::Failed(Refusal::unreachable(worker, &why), Then::Lost)
            }
            Fault::TimedOut => {
                // Who loads a model is slow and not broken.
                let loading = is_loading(worker, &job.want.need);
                match loading {
                    true => held.excused(),
                    false => held.settle(Outcome::TimedOut),
                }
                let worker = Arc::clone(worker.url());
                Attempt::Failed(Refusal::TimedOut { worker, loading }, Then::Over)
            }
            Fault::Deadline => {
                held.excused();
                match is_loading(worker, &job.want.need) {
                    true => {
                        let worker = Arc::clone(worker.url());
                        Attempt::Failed(
                            Refusal::TimedOut {
                                worker,
                                loading: true,
                            },
                            Then::Over,
                        )
                    }
                    false => Attempt::Failed(Refusal::Deadline, Then::Over),
                }
            }
        }
    }

    /// The request for one worker; `None` when its body cannot be sent (again).
    fn request(
        &self,
        job: &Job<'_>,
        worker: &Worker,
        lane: &Lane,
        now: Instant,
    ) -> Option<Request<upload::Upload>> {
        let mut request = Request::new(job.source.upload(now)?);
        *request.method_mut() = job.head.method.clone();
        *request.uri_mut() = if lane.prefix.is_empty() {
            Uri::from(job.path.clone())
        } else {
            format!("{}{}", lane.prefix, job.path).parse().ok()?
        };
        let headers = request.headers_mut();
        *headers = job.head.headers.clone();
        let left = job.deadline.saturating_duration_since(now);
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let facts = worker.facts_now();
        let key = self.authorization.as_ref();
        headers::address(headers, &lane.authority, &facts.profile, key, left);
        Some(request)
    }

    /// The sooner of the operator's, the caller's and the client's own deadline.
    fn deadline(&self, headers: &HeaderMap, deadline: Option<Instant>, now: Instant) -> Instant {
        let own = headers.get(TIMEOUT).and_then(|value| {
            let milliseconds = value.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_millis(milliseconds))
        });
        let longest = now + own.unwrap_or(self.longest).min(self.longest);
        deadline.map_or(longest, |deadline| deadline.min(longest))
    }

    fn lane(&self, worker: &Worker) -> Result<Arc<Lane>> {
        if let Some(lane) = self.lanes.read().get(&worker.id()) {
            return Ok(Arc::clone(lane));
        }
        let lane = Arc::new(Lane::new(worker, self.places)?);
        let mut lanes = self.lanes.write();
        Ok(Arc::clone(lanes.entry(worker.id()).or_insert(lane)))
    }

    /// Closes connections that nobody needs. To be called every few seconds.
    pub(crate) fn sweep(&self) {
        let workers = self.registry.workers();
        let here = |id: &u64| workers.iter().any(|worker| worker.id() == *id);
        self.lanes.write().retain(|id, _| here(id));
        let lanes: Vec<_> = self.lanes.read().values().map(Arc::clone).collect();
        for lane in lanes {
            lane.sweep(IDLE_LINE);
        }
    }

    /// How many requests wait for a place at a worker.
    pub(crate) fn waiting(&self) -> usize {
        self.lanes.read().values().map(|lane| lane.waiting()).sum()
    }
}

fn is_loading(worker: &Worker, need: &Need) -> bool {
    model_at(worker, need) == Some(ModelState::Loading)
}
