//! Status sockets.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Answer, Counted, State, Upgrades, answer};

pub(super) fn shake(state: &State, sockets: &Upgrades, request: &mut Request<Incoming>) -> Answer {
    if let Some(status) = state.behaviour().handshake {
        return answer::json(status, &json!({"detail": "no socket here"}));
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return answer::json(StatusCode::BAD_REQUEST, &json!({"detail": "no key"}));
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut switching = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = switching.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accept).unwrap(),
    );
    let _ = sockets.send(hyper::upgrade::on(request));
    switching
}

/// Sends frames and reads, so that pings are answered.
pub(super) async fn run(state: &Arc<State>, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let _counted = Counted::new(state, |state| &state.sockets);
    let mut shouts = state.shouts.subscribe();
    let stream = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let mut next = tokio::time::Instant::now();
    loop {
        let message = tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let (mute, instead, every) = {
                    let behaviour = state.behaviour();
                    (behaviour.mute, behaviour.instead.clone(), behaviour.every)
                };
                next += every;
                if mute {
                    continue;
                }
                instead.unwrap_or_else(|| Message::text(state.frame().to_string()))
            }
            shout = shouts.recv() => match shout {
                Ok(Some(message)) => message,
                Ok(None) => {
                    let _ = socket.close(None).await;
                    return;
                }
                Err(_) => continue,
            },
            read = socket.next() => match read {
                Some(Ok(Message::Pong(_))) => {
                    state.pongs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    continue;
                }
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

impl State {
    /// A frame of this moment, as SIE's workers send them.
    pub(super) fn frame(&self) -> Value {
        let waiting = self.waiting.load(std::sync::atomic::Ordering::SeqCst) as u64;
        let behaviour = self.behaviour();
        let depth = behaviour.depth.unwrap_or(waiting);
        let mut models = Vec::new();
        for (at, (name, state)) in behaviour.models.iter().enumerate() {
            models.push(json!({
                "name": name, "state": state, "device": "cuda:0", "memory_bytes": 1 << 30,
                "queue_depth": if at == 0 { depth } else { 0 }, "queue_pending_items": 0,
                "config": {"hf_id": name}, "adaptive_batching": {"calibrated": false},
            }));
        }
        let loaded = behaviour
            .models
            .iter()
            .filter(|(_, state)| *state == "loaded");
        let mut frame = json!({
            "timestamp": 1.5,
            "ready": behaviour.ready,
            "name": behaviour.name,
            "machine_profile": behaviour.profile,
            "pool_name": "",
            "gpu_count": 1,
            "bundle": behaviour.bundle,
            "bundle_config_hash": "",
            "loaded_models": loaded.map(|(name, _)| name).collect::<Vec<_>>(),
            "max_batch_requests": behaviour.capacity,
            "models": models,
            "gpus": [{"device": "cuda:0", "memory_used_bytes": 1 << 30, "memory_total_bytes": 24_u64 << 30}],
            "server": {"version": "0.2.0", "uptime_seconds": 1},
            "counters": {}, "histograms": {},
        });
        if let Value::Object(over) = &behaviour.over {
            for (key, value) in over {
                match value {
                    Value::Null => {
                        frame.as_object_mut().unwrap().remove(key);
                    }
                    value => frame[key] = value.clone(),
                }
            }
        }
        frame
    }
}
