//! What is spoken with a server: which transport answers is found out, kept, and looked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::address::{Addresses, GrpcAddress};
use crate::answer::Avail;
use crate::grpc::Grpc;
use crate::rest::Rest;
use crate::retry::Patience;
use crate::{CallOptions, ClientError, ErrorKind, Settings, Transport};

/// How long REST serves in the place of a gRPC that did not answer, before that is tried again.
const STAND_IN: Duration = Duration::from_secs(30);
/// The longest that finding out what a server speaks may take.
const PROBE: Duration = Duration::from_secs(5);

/// The ways to a server, and the one that is taken.
pub(crate) struct Routes {
    settings: Settings,
    addresses: Addresses,
    rest: Option<Rest>,
    route: RwLock<Option<Route>>,
    /// Held by whoever finds out what the server speaks.
    choosing: Arc<Mutex<()>>,
}

/// What is spoken with the server.
#[derive(Clone)]
pub(crate) enum Route {
    Grpc(Grpc),
    /// Until then, if gRPC may answer again.
    Rest(Rest, Option<Instant>),
}

impl Routes {
    /// To a server with these addresses; no connection is opened yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for addresses, keys or transports that cannot work.
    pub(crate) fn new(settings: Settings) -> Result<Self, ClientError> {
        let addresses = Addresses::read(
            settings.endpoint.as_deref(),
            settings.grpc_endpoint.as_deref(),
            settings.tls,
        )?;
        let wrong = |message: &str| ClientError::new(ErrorKind::Settings, message);
        match settings.transport {
            Transport::Rest if addresses.rest.is_none() => {
                return Err(wrong("REST needs an address with `http://` or `https://`"));
            }
            Transport::Grpc if addresses.grpc.is_none() => {
                return Err(wrong("gRPC alone needs a gRPC address, `host:port`"));
            }
            _ => {}
        }
        let rest = addresses.rest.clone();
        let rest = rest.map(|base| Rest::new(base, &settings)).transpose()?;
        Ok(Self {
            settings,
            addresses,
            rest,
            route: RwLock::default(),
            choosing: Arc::default(),
        })
    }

    /// What is spoken now, `grpc` or `rest`; `None` before the first call.
    pub(crate) fn spoken(&self) -> Option<&'static str> {
        self.route.read().as_ref().map(|route| match route {
            Route::Grpc(_) => "grpc",
            Route::Rest(..) => "rest",
        })
    }

    /// REST, if there is an address for it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there is none.
    pub(crate) fn rest(&self) -> Result<&Rest, ClientError> {
        self.rest.as_ref().ok_or_else(|| {
            let message = "this call needs a REST address; give `endpoint` besides the gRPC one";
            ClientError::new(ErrorKind::Unsupported, message)
        })
    }

    /// How long and how often a call is tried.
    pub(crate) fn patience(&self, options: CallOptions<'_>) -> Patience {
        Patience {
            timeout: self.settings.timeout,
            retries: options.retries.unwrap_or(self.settings.retries),
            deadline: options.deadline,
        }
    }

    /// What to speak with the server, found out when it is not known.
    ///
    /// # Errors
    /// When no way is found, or a key is refused.
    pub(crate) async fn route(
        self: &Arc<Self>,
        options: CallOptions<'_>,
    ) -> Result<Route, ClientError> {
        if let Some(route) = self.known_route() {
            return Ok(route);
        }
        let _choosing = self.choosing.lock().await;
        if let Some(route) = self.known_route() {
            return Ok(route);
        }
        let route = self.choose(options).await?;
        *self.route.write() = Some(route.clone());
        Ok(route)
    }

    /// What is spoken with the server, if that is known. Where REST has stood in for long enough, it
    /// goes on to until somebody has found out whether gRPC answers again.
    fn known_route(self: &Arc<Self>) -> Option<Route> {
        let route = self.route.read().clone()?;
        if let Route::Rest(_, Some(until)) = &route
            && *until <= Instant::now()
            && let Ok(choosing) = Arc::clone(&self.choosing).try_lock_owned()
        {
            tokio::spawn(Arc::clone(self).look_again(*until, choosing));
        }
        Some(route)
    }

    /// Finds out whether gRPC answers again. A refused key makes the way unknown, so that the next
    /// caller is told.
    async fn look_again(self: Arc<Self>, stood_in_until: Instant, _choosing: OwnedMutexGuard<()>) {
        let is_over = |route: &Option<Route>| match route {
            Some(Route::Rest(_, Some(until))) => *until == stood_in_until,
            _ => false,
        };
        // Somebody may have looked meanwhile.
        if is_over(&self.route.read()) {
            let found = self.choose(CallOptions::default()).await.ok();
            *self.route.write() = found;
        }
    }

    /// RoutIR's rules: gRPC at the given address, or at the port that `/avail` tells, if it answers
    /// a ping; a refused key is told and not papered over; else REST.
    async fn choose(&self, options: CallOptions<'_>) -> Result<Route, ClientError> {
        let Self {
            settings,
            addresses,
            rest,
            ..
        } = self;
        let options = CallOptions {
            retries: Some(0),
            deadline: Some(soon(options.deadline)),
            ..options
        };
        let patience = self.patience(options);
        let discovered = async |rest: &Rest| -> Option<GrpcAddress> {
            let avail: Avail = rest.get("/avail", options, patience).await.ok()?;
            addresses.discovered(avail.grpc_port?)
        };
        let address = match (settings.transport, &addresses.grpc, rest) {
            (Transport::Rest, _, _) => None,
            (_, Some(address), _) => Some(address.clone()),
            (_, None, Some(rest)) => discovered(rest).await,
            (_, None, None) => None,
        };
        let Some(address) = address else {
            return Ok(Route::Rest(self.rest()?.clone(), None));
        };
        let grpc = Grpc::new(&address, settings)?;
        let Some(rest) = rest
            .clone()
            .filter(|_| settings.transport == Transport::Auto)
        else {
            return Ok(Route::Grpc(grpc));
        };
        match grpc.ping(options, patience).await {
            Ok(_) => Ok(Route::Grpc(grpc)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
                ) =>
            {
                Err(error)
            }
            Err(_) => Ok(Route::Rest(rest, Some(Instant::now() + STAND_IN))),
        }
    }

    /// REST for a gRPC call that failed, if that is a way on; otherwise its failure.
    ///
    /// # Errors
    /// That failure.
    pub(crate) fn instead(&self, error: ClientError) -> Result<Rest, ClientError> {
        let way_on = self.settings.transport == Transport::Auto
            && matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::Unsupported
            );
        match &self.rest {
            Some(rest) if way_on => {
                let until = Some(Instant::now() + STAND_IN);
                *self.route.write() = Some(Route::Rest(rest.clone(), until));
                Ok(rest.clone())
            }
            _ => Err(error),
        }
    }
}

/// When finding out must have ended.
fn soon(deadline: Option<Instant>) -> Instant {
    let soon = Instant::now() + PROBE;
    deadline.map_or(soon, |deadline| deadline.min(soon))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn while_one_finds_out_whether_grpc_is_back_the_others_go_on_over_rest() {
        // Takes connections and says nothing on them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = Routes::new(Settings {
            grpc_endpoint: Some(silent.local_addr().unwrap().to_string()),
            ..Settings::new("http://127.0.0.1:1")
        });
        let routes = Arc::new(routes.unwrap());
        let standing_in = routes.rest.clone().unwrap();
        *routes.route.write() = Some(Route::Rest(standing_in, Some(Instant::now())));
        let started = Instant::now();
        for _ in 0..3 {
            let route = routes.route(CallOptions::default()).await;
            assert!(matches!(route, Ok(Route::Rest(..))));
        }
        assert!(started.elapsed() < PROBE / 2, "{:?}", started.elapsed());
        // One of them made somebody look.
        let (looking, _) = silent.accept().await.unwrap();
        drop((looking, silent));
        while routes.choosing.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
        let route = routes.route.read().clone();
        assert!(matches!(route, Some(Route::Rest(_, Some(until))) if until > Instant::now()));
    }
}
