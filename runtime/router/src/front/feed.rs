//! The cluster's state over a web socket, once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use hyper::{Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::State;
use super::problem::Problem;
use crate::cluster::Feed;

/// The largest message of a client, none of which is expected.
const MAX_MESSAGE: usize = 4 << 10;
/// How many messages a client may send between two of ours: each may be a ping, whose answer is kept
/// while the client reads nothing.
const MAX_MESSAGES: u32 = 64;

/// Opens a web socket that is fed until its client leaves or the router stops.
pub(super) async fn open(state: &Arc<State>, request: Request<Body>) -> Response<Body> {
    let Ok(place) = Arc::clone(&state.sockets).try_acquire_owned() else {
        let message = "as many sockets are open as the router feeds; try again later";
        let problem = Problem::new(503, "BUSY", message);
        return problem.again(Duration::from_secs(5)).response();
    };
    let (mut head, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut head, &()).await {
        Ok(upgrade) => {
            let state = Arc::clone(state);
            upgrade
                .max_message_size(MAX_MESSAGE)
                .max_frame_size(MAX_MESSAGE)
                .on_upgrade(move |socket| feed(state, socket, place))
        }
        Err(why) => {
            let status = why.status().as_u16();
            Problem::new(status, "NO_UPGRADE", why.body_text()).response()
        }
    }
}

async fn feed(state: Arc<State>, mut socket: WebSocket, place: OwnedSemaphorePermit) {
    let _place = place;
    state.metrics.sockets.inc();
    let mut stopping = state.stopping.clone();
    let mut ticks = interval(Feed::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = 0_u32;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                messages = 0;
                let frame = state.feed.frame(Instant::now());
                let message = Message::Text(Utf8Bytes::from(&*frame));
                let sending = socket.send(message);
                // Who does not read is not waited for.
                match timeout(state.options.io_timeout, sending).await {
                    Ok(Ok(())) => {}
                    _ => break,
                }
            }
            // Nothing is expected; pings are answered on the way.
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) if messages < MAX_MESSAGES => messages += 1,
                Some(Ok(_)) => break,
            },
            _ = stopping.changed() => {
                // The client may be gone already.
                let _ = timeout(Duration::from_secs(1), socket.send(Message::Close(None))).await;
                break;
            }
        }
    }
    state.metrics.sockets.dec();
}
