//! Bodies of either form in, answers of either form out.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Request, header};
use routir_core::{Error, Result as CoreResult, nearest};
use routir_sie::{Form, Item, Options, Request as Asked};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

/// Up to how many bytes are read or written on the thread of the request: some hundred
/// microseconds of work.
const IN_PLACE: usize = 256 << 10;

/// The only set of options that models here have.
const PROFILE: &str = "default";

impl Call<'_> {
    /// Reads what is asked, and takes a place among the requests that are worked on.
    pub(super) async fn asked(
        &self,
        request: Request<Body>,
    ) -> Result<(Asked, OwnedSemaphorePermit), Failure> {
        let form = Form::of_body(text(request.headers(), header::CONTENT_TYPE));
        let (body, permit) = self.admit(request).await?;
        let (bytes, most) = (body.len(), self.app.options.max_passages);
        let asked = apart(bytes, move || Asked::read(form, &body, most)).await?;
        let asked = asked.map_err(|why| Error::invalid(why.to_string()))?;
        check_options(&asked.params.options)?;
        Ok((asked, permit))
    }
}

/// The form that an answer to `headers` has.
pub(super) fn wanted(headers: &HeaderMap) -> Form {
    Form::of_answer(text(headers, header::ACCEPT))
}

/// What `make` makes in `form`, which takes about so many bytes.
pub(super) async fn reply<T: Serialize>(
    form: Form,
    bytes: usize,
    make: impl FnOnce() -> CoreResult<T> + Send + 'static,
) -> CoreResult<Reply> {
    let written = apart(bytes, move || {
        let value = make()?;
        form.write(&value)
            .map_err(|why| Error::internal(why.to_string()))
    });
    Ok(Reply::ok(form.content_type(), written.await??))
}

/// Runs `work` on so many bytes where it holds nobody up.
pub(super) async fn apart<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> CoreResult<T> {
    if bytes <= IN_PLACE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|why| Error::internal(format!("reading or writing broke off: {why}")))
}

/// The texts of `items`.
///
/// # Errors
/// When one has none, or something else that the answer would have to consider.
pub(super) fn texts(items: &mut [Item], what: &str) -> CoreResult<Vec<Arc<str>>> {
    let place = |at: usize| match what {
        "items" => format!("`items[{at}]`"),
        what => format!("`{what}`"),
    };
    let texts = items.iter_mut().enumerate().map(|(at, item)| {
        if let Some(media) = item.media {
            let (place, field) = (place(at), media.field());
            return Err(Error::invalid(format!(
                "{place} has `{field}`; the models of this server read `text` alone"
            )));
        }
        let text = item.text.take();
        text.map(Arc::from)
            .ok_or_else(|| Error::invalid(format!("{} has no `text`", place(at))))
    });
    texts.collect()
}

/// Refuses what would change the answer and is not done here.
fn check_options(options: &Options) -> CoreResult<()> {
    if let Some(beyond) = options.beyond {
        return Err(Error::invalid(format!(
            "the option `{beyond}` is not served here; leave it out"
        )));
    }
    match options.profile.as_deref() {
        None | Some(PROFILE) => Ok(()),
        Some(other) => {
            let hint = match nearest(other, [PROFILE]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is `{PROFILE}` alone"),
            };
            Err(Error::invalid(format!(
                "there is no profile `{other:.64}`; {hint}"
            )))
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
