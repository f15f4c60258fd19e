//! Looking through bodies without holding anybody up.

use bytes::Bytes;
use tokio::task::spawn_blocking;

/// A larger body is looked through where that holds nobody up.
const LARGE: usize = 1 << 20;

/// What `look` finds in `body`; `None` when it could not look.
pub(crate) async fn look<T: Send + 'static>(
    body: &Bytes,
    look: impl FnOnce(&Bytes) -> T + Send + 'static,
) -> Option<T> {
    if body.len() <= LARGE {
        return Some(look(body));
    }
    let body = body.clone();
    spawn_blocking(move || look(&body)).await.ok()
}
