//! `WS /ws/status`: how this server is, five times a second, and at once when that changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{Request, StatusCode, header};
use routir_core::{
    Error, ErrorCode, ImportStatus, Imports, ModelState as State_, RequestContext,
    Result as CoreResult,
};
use routir_sie::{
    GpuStatus, ModelConfig, ModelState, ModelStatus, RoutirStatus, ServerStatus, StatusFrame,
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::models::{Found, Shelf};
use super::worker::Phase;
use crate::access::Caller;
use crate::app::State;
use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

/// How often a frame is sent.
const EVERY: Duration = Duration::from_millis(200);

/// How long a reader may take for one frame.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest message that is read; those who watch have nothing to say.
const MAX_MESSAGE: usize = 4 << 10;

/// How many messages are read between two frames: each may be a ping, whose answer is kept while
/// the reader reads nothing.
const MAX_MESSAGES: u32 = 64;

impl Call<'_> {
    /// Begins to send frames to who asks, who must be the operator: they tell of all that is here.
    pub(super) async fn status(&self, request: Request<Body>) -> Result<Reply, Failure> {
        if !self.caller()?.is_operator() {
            let message =
                "how this server is, is told its operator; a tenant's key does not open it";
            return Err(Error::new(ErrorCode::PermissionDenied, message).into());
        }
        // A browser lets any page open a web socket and read it; only the server can refuse.
        if request.headers().contains_key(header::ORIGIN) && !self.app.options.cors {
            let message = "pages of other origins may not watch this server; CORS_ALLOWED=true lets \
                           them";
            return Err(Error::new(ErrorCode::PermissionDenied, message).into());
        }
        let (mut head, _) = request.into_parts();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await;
        let upgrade = upgrade.map_err(|why| {
            let message = format!("/ws/status is for web sockets: {why}");
            Failure::with_status(Error::invalid(message), StatusCode::UPGRADE_REQUIRED)
        })?;
        let (life, place) = self.app.worker.watch()?;
        let app = Arc::clone(self.app);
        let response = upgrade
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
            .on_upgrade(move |socket| watched(app, socket, life, place));
        let (head, _) = response.into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            ..Reply::no_content()
        })
    }
}

/// Sends frames until one side has enough.
async fn watched(
    app: Arc<State>,
    mut socket: WebSocket,
    mut life: watch::Receiver<Phase>,
    _place: OwnedSemaphorePermit,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = 0_u32;
    loop {
        tokio::select! {
            biased;
            changed = life.changed() => {
                if changed.is_err() || *life.borrow() == Phase::Stopping {
                    break;
                }
            }
            _ = ticks.tick() => {}
            // Reading answers pings, and notices who leaves.
            message = socket.recv() => match message {
                Some(Ok(_)) if messages < MAX_MESSAGES => {
                    messages += 1;
                    continue;
                }
                _ => return,
            }
        }
        messages = 0;
        let frame = match frame(&app) {
            Ok(frame) => frame,
            Err(why) => {
                tracing::warn!(error = ?why, "the status cannot be told");
                break;
            }
        };
        match timeout(PATIENCE, socket.send(Message::Text(frame.into()))).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
    let farewell = CloseFrame {
        code: close_code::AWAY,
        reason: "the server ends".into(),
    };
    // Whoever does not read it notices otherwise.
    let _ = timeout(PATIENCE, socket.send(Message::Close(Some(farewell)))).await;
}

/// How the server is now, as JSON.
fn frame(app: &State) -> CoreResult<String> {
    let State {
        runtime,
        options,
        worker,
        ..
    } = app;
    let catalog = runtime.catalog_for(&RequestContext::default())?;
    let generation = catalog.generation;
    let shelf = Shelf::new(options.models.as_deref(), &Caller::Operator, catalog);
    let models: Vec<Found> = shelf
        .names()
        .iter()
        .filter_map(|name| shelf.find(name))
        .collect();
    let imports = options.imports.as_deref();
    let imports: Vec<ImportStatus> = imports.map(Imports::status).unwrap_or_default();
    let ready = worker.is_serving()
        && models.iter().all(|model| model.state == State_::Loaded)
        && app.readiness().iter().all(|part| part.ready)
        && imports
            .iter()
            .all(|import| import.ready || !import.required);
    let gpus: Vec<GpuStatus> = options.worker.gpus();
    let loaded = models.iter().filter(|model| model.state == State_::Loaded);
    let loaded: Vec<String> = loaded.map(|model| model.name.to_string()).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let frame = StatusFrame {
        timestamp: since.unwrap_or_default().as_secs_f64(),
        ready,
        name: options.worker.name.clone(),
        machine_profile: options.worker.machine_profile.clone(),
        pool_name: options.worker.pool.clone(),
        gpu_count: gpus.len(),
        bundle: options.worker.bundle.clone(),
        loaded_models: loaded,
        max_batch_requests: options.worker.max_batch_requests,
        server: ServerStatus {
            version: options.version.clone(),
            uptime_seconds: worker.started.elapsed().as_secs(),
            pid: std::process::id(),
        },
        gpus,
        models: models.iter().map(|model| status(app, model)).collect(),
        routir: Some(RoutirStatus {
            generation,
            grpc_port: options.grpc_port,
            server_id: options.server_id.to_string(),
            queue_depth: app.working().saturating_sub(worker.loads.requests()),
            device_queue_depth: runtime.metrics().devices_queue(),
        }),
        ..StatusFrame::default()
    };
    serde_json::to_string(&frame)
        .map_err(|why| Error::internal(format!("the status cannot be written: {why}")))
}

fn status(app: &State, model: &Found) -> ModelStatus {
    let load = app.worker.loads.of(&model.name);
    ModelStatus {
        name: model.name.to_string(),
        state: match model.state {
            State_::Loading => ModelState::Loading,
            State_::Loaded => ModelState::Loaded,
            State_::Unloading => ModelState::Unloading,
        },
        device: Some("cpu".to_owned()),
        memory_bytes: 0,
        config: ModelConfig {
            inputs: vec!["text".to_owned()],
            outputs: model.outputs(),
            dims: model.dims(),
            max_sequence_length: model.max_tokens(),
        },
        queue_depth: load.requests,
        queue_pending_items: load.items,
    }
}
