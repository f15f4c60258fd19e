//! The router as a whole: checked when it is made, running while it is served.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::service::service_fn;
use prometheus_client::registry::Registry as MetricsRegistry;
use routir_core::{Error, ErrorCode, Result};
use routir_listen::Bounds;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::RouterOptions;
use crate::auth::Auth;
use crate::catalog::{self, Catalog};
use crate::cluster::{Feed, Qps};
use crate::demand::DemandMetrics;
use crate::discovery;
use crate::front::{self, Clients, State};
use crate::metrics::Metrics;
use crate::pools::{Candidate, Cluster, Pools, Rules, Timing, Workers};
use crate::proxy::Proxy;
use crate::routir::{Bounds as RoutirBounds, Endpoints, Fleet};
use crate::settings::{MAX_BUSY_POLL, MAX_THREADS};
use crate::whole::Room;
use crate::worker::{Policy, Registry, Source, Worker, WorkerMetrics};

/// How long requests wait at the start until all workers of the list have been asked.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How often connections that nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(2);
/// How long web sockets may take to end.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long telling a cluster that this router ends may take.
const RESIGN: Duration = Duration::from_secs(2);

/// A router whose options make sense.
#[derive(Debug)]
pub struct Router {
    options: RouterOptions,
    auth: Auth,
    catalog: Option<Catalog>,
    version: HeaderValue,
    registry: Registry,
}

/// Where a router listens.
#[derive(Debug)]
pub struct Listeners {
    /// For HTTP.
    pub rest: TcpListener,
    /// For RoutIR's gRPC, if it is served.
    pub grpc: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(rest: TcpListener) -> Self {
        Self { rest, grpc: None }
    }
}

impl Router {
    /// A router with those options. Reads the catalogue's files.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for options that cannot work, with what to do
    /// about them.
    pub fn new(options: RouterOptions) -> Result<Self> {
        check(&options)?;
        let auth = Auth::new(&options)?;
        let registry = Registry::new(&options)?;
        let bundles = options.bundles_dir.as_deref();
        let catalog = catalog::read(bundles, options.models_dir.as_deref())?;
        let version = HeaderValue::from_str(&options.version).map_err(|_| {
            Error::invalid("the version has characters that cannot stand in a header")
        })?;
        Ok(Self {
            options,
            auth,
            catalog,
            version,
            registry,
        })
    }
}

/// Numbers that would stop everything.
fn check(options: &RouterOptions) -> Result<()> {
    let counts = [
        ("worker_requests", options.worker_requests),
        ("max_in_flight", options.max_in_flight),
        ("max_connections", options.max_connections),
        ("max_sockets", options.max_sockets),
    ];
    for (name, count) in counts {
        if !(1..=Semaphore::MAX_PERMITS).contains(&count) {
            return Err(Error::invalid(format!(
                "`{name}` is {count}; it must be between 1 and {}",
                Semaphore::MAX_PERMITS
            )));
        }
    }
    if options.threads > MAX_THREADS {
        return Err(Error::invalid(format!(
            "`threads` is {}; it must be at most {MAX_THREADS}",
            options.threads
        )));
    }
    if options.busy_poll > MAX_BUSY_POLL {
        return Err(Error::invalid(format!(
            "`busy_poll` is {:?}; it must be at most {MAX_BUSY_POLL:?}",
            options.busy_poll
        )));
    }
    let times = [
        ("connect_timeout", options.connect_timeout),
        ("header_timeout", options.header_timeout),
        ("idle_timeout", options.idle_timeout),
        ("request_timeout", options.request_timeout),
        ("io_timeout", options.io_timeout),
        ("silence", options.silence),
        ("lease", options.lease),
    ];
    for (name, time) in times {
        if time.is_zero() || time > LONGEST {
            return Err(Error::invalid(format!(
                "`{name}` is {time:?}; it must be more than nothing and at most a year"
            )));
        }
    }
    if options
        .spill
        .is_some_and(|share| !(0.0..=1.0).contains(&share))
    {
        return Err(Error::invalid("`spill` is a share between 0 and 1"));
    }
    let status = options.unknown_gpu_status;
    if status != 503 && !(400..500).contains(&status) {
        return Err(Error::invalid(format!(
            "`unknown_gpu_status` is {status}; it must be 503 or between 400 and 499"
        )));
    }
    Ok(())
}

/// Beyond this, adding to a moment may overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Serves `router` on `listeners` until `shutdown` resolves; then takes no new connection, lets
/// requests in flight end within [`RouterOptions::shutdown_grace`], and cuts off the rest.
///
/// # Errors
/// [`routir_core::ErrorCode::Unavailable`] when the router is to find its workers in a cluster and
/// there is no way to one. A failing connection concerns its client alone.
pub async fn serve(
    listeners: impl Into<Listeners>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let Listeners { rest, grpc } = listeners.into();
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let registry = router.registry.clone();
    let state = start(router, stopping, &mut tasks).await?;
    let options = &state.options;
    let bounds = Bounds {
        io_timeout: options.io_timeout,
        max_header_bytes: options.max_header_bytes,
        max_connections: options.max_connections,
        threads: options.threads,
        busy_poll: options.busy_poll,
        shutdown_grace: options.shutdown_grace,
    };
    let answering = Arc::clone(&state);
    let service = service_fn(move |request| front::answer(Arc::clone(&answering), request));
    let calling = Arc::clone(&state);
    let calls = service_fn(move |request| front::call(Arc::clone(&calling), request));
    let local = options.routir.as_ref().map(|it| Arc::clone(&it.local));
    let shutdown = async {
        shutdown.await;
        if let Some(local) = local {
            local.stop();
        }
        // Nobody may be watching.
        let _ = stop.send(true);
    };
    let grpc = grpc.map(|listener| (listener, calls));
    routir_listen::serve((rest, service), grpc, &bounds, shutdown).await;
    // What became a web socket is no connection any more. It was told to end.
    let sockets = u32::try_from(state.options.max_sockets).unwrap_or(u32::MAX);
    let _ = timeout(GOODBYE, state.sockets.acquire_many(sockets)).await;
    // So that a replica takes over at once, if the cluster can be told.
    let _ = timeout(RESIGN, state.pools.resign()).await;
    registry.shutdown();
    tasks.shutdown().await;
    Ok(())
}

/// Puts the parts together and starts what runs beside requests.
async fn start(
    router: Router,
    stopping: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<State>> {
    let Router {
        options,
        auth,
        catalog,
        version,
        registry,
    } = router;
    let pools = pools_of(&options, &registry, tasks).await?;
    registry.set(Source::Static, options.workers.iter().cloned().collect());
    let (tell, workers) = watch::channel(candidates(&registry));
    tasks.spawn(follow(registry.clone(), tell));
    tasks.spawn(Arc::clone(&pools).run(workers.clone()));

    let demand = Arc::new(DemandMetrics::new(&options, catalog.as_ref()));
    let mut figures = MetricsRegistry::default();
    let prefixes: &[&str] = match options.gateway_metrics {
        true => &["sie_router", "sie_gateway"],
        false => &["sie_router"],
    };
    demand.register(&mut figures, prefixes);
    figures.register_collector(Box::new(WorkerMetrics::new(registry.clone())));
    let metrics = Arc::new(Metrics::new(figures));
    {
        let (demand, pools) = (Arc::clone(&demand), Arc::clone(&pools));
        tasks.spawn(async move { demand.run(&pools, workers).await });
    }
    let qps = Arc::new(Qps::default());
    let proxy = Proxy::new(
        &options,
        registry.clone(),
        Arc::clone(&pools),
        Arc::clone(&metrics),
    );
    let proxy = Arc::new(proxy);
    let fleet = Fleet {
        proxy: Arc::clone(&proxy),
        registry: registry.clone(),
        pools: Arc::clone(&pools),
        demand: Arc::clone(&demand),
        policy: Policy {
            fill_first: options.fill_first,
            spill: options.spill,
        },
        cold: options.retry_after_cold,
        warming: options.retry_after_warming,
    };
    // Whoever asks at once is not told that nobody has what workers have.
    registry.meet(FIRST_LOOK).await;
    let room = Room::new();
    let limits = RoutirBounds::of(&options, registry.settings(), room.clone());
    let routir = options.routir.as_ref();
    let routir = routir.map(|it| Endpoints::start(it, limits, &registry, fleet));
    let state = Arc::new(State {
        feed: Feed::new(registry.clone(), Arc::clone(&qps)),
        clients: Clients::new(&options.version),
        places: Arc::new(Semaphore::new(options.max_in_flight)),
        room,
        sockets: Arc::new(Semaphore::new(options.max_sockets)),
        leaving: Arc::default(),
        options,
        registry,
        pools,
        demand,
        proxy,
        routir,
        auth,
        catalog,
        metrics,
        qps,
        version,
        stopping,
    });
    let (leaving, patience) = (Arc::clone(&state.leaving), state.options.io_timeout);
    tasks.spawn(async move { leaving.watch(patience).await });
    let sweeping = Arc::clone(&state);
    tasks.spawn(async move {
        let mut ticks = interval(SWEEP);
        loop {
            ticks.tick().await;
            sweeping.proxy.sweep();
        }
    });
    Ok(state)
}

/// The pools: in memory, or in the cluster that the workers are found in.
async fn pools_of(
    options: &RouterOptions,
    registry: &Registry,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<Pools>> {
    let rules = Rules::from(options);
    let Some(kubernetes) = &options.kubernetes else {
        return Ok(Pools::in_memory(rules));
    };
    let client = discovery::client()
        .await
        .map_err(|why| Error::new(ErrorCode::Unavailable, why))?;
    let cluster = Cluster::new(
        &client,
        &kubernetes.namespace,
        options.replica.clone(),
        &rules,
        Timing::default(),
    );
    let registry = registry.clone();
    let tell = move |urls: BTreeSet<String>| registry.set(Source::Kubernetes, urls);
    tasks.spawn(discovery::watch_workers(client, kubernetes.clone(), tell));
    Ok(Pools::in_cluster(rules, cluster))
}

/// Tells pools and demand of the workers whenever something about them changes.
async fn follow(registry: Registry, tell: watch::Sender<Workers>) {
    let mut changes = registry.changes();
    loop {
        tell.send_replace(candidates(&registry));
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn candidates(registry: &Registry) -> Workers {
    let candidate = |worker: &Arc<Worker>| {
        let facts = worker.facts_now();
        Candidate {
            url: Arc::clone(worker.url()),
            name: worker.name(),
            profile: Arc::clone(&facts.profile),
            bundle: Arc::clone(&facts.bundle),
            routable: worker.is_routable(),
        }
    };
    registry.workers().iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::fake::{Fake, until};

    #[test]
    fn what_cannot_work_is_refused() {
        let wrong: [fn(&mut RouterOptions); 11] = [
            |options| options.workers.push("ftp://w".into()),
            |options| options.worker_tls.ca = Some("/nowhere".into()),
            |options| options.workers.push("nonsense".into()),
            |options| options.worker_requests = 0,
            |options| options.threads = 1025,
            |options| options.busy_poll = Duration::from_millis(11),
            |options| options.io_timeout = Duration::ZERO,
            |options| options.request_timeout = Duration::MAX,
            |options| options.spill = Some(f64::NAN),
            |options| options.unknown_gpu_status = 200,
            |options| options.version = "\n".into(),
        ];
        assert!(Router::new(RouterOptions::default()).is_ok());
        for (at, change) in wrong.into_iter().enumerate() {
            let mut options = RouterOptions::default();
            change(&mut options);
            assert!(Router::new(options).is_err(), "{at}");
        }
    }

    /// The status of the answer to a model's work.
    async fn asked(address: SocketAddr, model: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /v1/encode/{model} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    }

    #[tokio::test]
    async fn a_model_whose_worker_left_is_awaited_and_one_that_nobody_had_is_not() {
        let one = Fake::start().await;
        let other = Fake::with(|it| it.models = vec![("org/other".into(), "loaded")]).await;
        let router = Router::new(RouterOptions {
            workers: vec![one.url.clone(), other.url.clone()],
            threads: 1,
            ..RouterOptions::default()
        });
        let router = router.unwrap();
        let registry = router.registry.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, router, std::future::pending()));
        until("both are ready", || {
            let workers = registry.workers();
            workers.len() == 2 && workers.iter().all(|worker| worker.is_routable())
        })
        .await;
        assert_eq!(asked(address, "BAAI/bge-m3").await, "200");
        registry.set(Source::Static, [other.url.clone()].into());
        assert_eq!(asked(address, "BAAI/bge-M3").await, "503");
        assert_eq!(asked(address, "no/such").await, "404");
        assert_eq!(asked(address, "org/other").await, "200");
        serving.abort();
    }
}
