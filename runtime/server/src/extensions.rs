//! The endpoints under `/extensions`: what a tenant, or the operator on its behalf, does with its
//! extensions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use routir_core::{Error, ErrorCode, ExtensionAdmin, ExtensionReport, nearest, shorten};
use serde::Serialize;
use tracing::Instrument;

use crate::access::Caller;
use crate::body::Bounds;
use crate::endpoint::{EXTENSIONS, Endpoint};
use crate::failure::Failure;
use crate::handlers::Call;
use crate::party::Party;
use crate::reply::Reply;

/// The longest name of an extension.
const MAX_NAME: usize = 64;
/// The slowest line that an upload is waited for, in bytes per second.
const SLOWEST: f64 = 256.0 * 1024.0;

/// The answer to `GET /extensions`.
#[derive(Serialize)]
struct ListReply<'a> {
    tenant: &'a str,
    extensions: &'a [ExtensionReport],
}

impl Call<'_> {
    /// Answers a request to one of the endpoints for extensions.
    pub(crate) async fn extensions(
        &self,
        endpoint: Endpoint,
        request: Request<Body>,
    ) -> Result<Reply, Failure> {
        let Some(admin) = &self.app.options.extensions else {
            let message = "this server takes no extensions over HTTP; its operator can configure \
                           `tenants`, or services with the engine `Extension`";
            return Err(not_found(message));
        };
        let party = self.owner(request.uri())?;
        let owner = Arc::clone(&party.tenant.name);
        if endpoint == Endpoint::ExtensionList {
            let extensions = admin.list(&owner);
            let reply = ListReply {
                tenant: &owner,
                extensions: &extensions,
            };
            return Ok(Reply::json(&reply, 1024 + 1024 * extensions.len())?);
        }
        let name = name(request.uri().path())?;
        match endpoint {
            Endpoint::ExtensionPut => self.publish(admin, &party, name, request).await,
            Endpoint::ExtensionDelete => {
                let admin = Arc::clone(admin);
                let removal = async move { admin.remove(owner, name).await };
                to_its_end(removal).await?;
                Ok(Reply::no_content())
            }
            Endpoint::ExtensionRollback => {
                let admin = Arc::clone(admin);
                let rollback = async move { admin.roll_back(owner, name).await };
                Ok(Reply::json(&to_its_end(rollback).await?, 1024)?)
            }
            _ => {
                let report = admin.get(&owner, &name).map_err(told)?;
                Ok(Reply::json(&report, 1024)?)
            }
        }
    }

    /// Takes a component in and publishes it.
    async fn publish(
        &self,
        admin: &Arc<dyn ExtensionAdmin>,
        party: &Party,
        name: String,
        request: Request<Body>,
    ) -> Result<Reply, Failure> {
        let (head, body) = request.into_parts();
        check_type(&head.headers)?;
        // The operator's own uploads wait for no tenant.
        let own = match self.caller()? {
            Caller::Tenant(party) => Some(party.upload()?),
            Caller::Operator => None,
        };
        let shared = self.app.upload()?;
        let max_bytes = party.max_component_bytes;
        let bounds = Bounds {
            max_bytes,
            whose: "the tenant's limit (`limits.component_mb`)",
            patience: self.app.options.io_timeout
                + Duration::from_secs_f64(max_bytes as f64 / SLOWEST),
        };
        let component = bounds.read_large(&head.headers, body).await?;
        if component.is_empty() {
            let message = "the request body is empty; send the component file as it is";
            return Err(Error::invalid(message).into());
        }
        let owner = Arc::clone(&party.tenant.name);
        let is_new = admin.get(&owner, &name).is_err();
        let admin = Arc::clone(admin);
        let publication = async move {
            let published = admin.put(owner, name, component).await;
            drop((own, shared));
            published
        };
        let report = to_its_end(publication).await?;
        let status = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(Reply::json(&report, 2048)?.with_status(status))
    }

    /// Whose extensions a request is about: the caller's, or those of the tenant that the operator
    /// names with `?tenant=`.
    fn owner(&self, uri: &Uri) -> Result<Arc<Party>, Failure> {
        let named = tenant_of(uri)?;
        match (self.caller()?, named) {
            (Caller::Tenant(party), None) => Ok(Arc::clone(party)),
            (Caller::Tenant(_), Some(_)) => {
                let message =
                    "`?tenant=` is the operator's; leave it out, your key says who you are";
                Err(Error::new(ErrorCode::PermissionDenied, message).into())
            }
            (Caller::Operator, None) => {
                let message = "extensions belong to tenants; say whose with `?tenant=NAME`";
                Err(Error::invalid(message).into())
            }
            (Caller::Operator, Some(name)) => {
                let parties = self.app.access.parties();
                parties.get(name).cloned().ok_or_else(|| {
                    let near = nearest(name, parties.keys().map(AsRef::as_ref));
                    let hint =
                        near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    not_found(format!("there is no tenant `{}`{hint}", shorten(name)))
                })
            }
        }
    }
}

/// The value of `?tenant=`.
fn tenant_of(uri: &Uri) -> Result<Option<&str>, Failure> {
    let mut named = None;
    for pair in uri.query().unwrap_or_default().split('&') {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("", "") => {}
            ("tenant", name) if named.is_none() => named = Some(name),
            ("tenant", _) => return Err(Error::invalid("`tenant` stands there twice").into()),
            (other, _) => {
                let other = shorten(other);
                let message = format!("unknown parameter `{other}`; the only one is `tenant`");
                return Err(Error::invalid(message).into());
            }
        }
    }
    Ok(named)
}

/// The extension that a path names.
fn name(path: &str) -> Result<String, Failure> {
    let name = path.strip_prefix(EXTENSIONS).unwrap_or(path);
    let name = name.trim_start_matches('/');
    let name = name.strip_suffix("/rollback").unwrap_or(name);
    let mut letters = name.bytes();
    let starts = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if starts && goes_on && name.len() <= MAX_NAME {
        return Ok(name.to_owned());
    }
    let message = format!(
        "`{}` is not a name of an extension; it is a letter, then letters, digits, `_` or `-`, at \
         most {MAX_NAME}",
        shorten(name)
    );
    Err(Error::invalid(message).into())
}

/// Refuses what is sent as something else than a file: a form may have changed it on the way.
fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let plain = |name| {
        let value = headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let value = value.split(|byte| *byte == b';').next().unwrap_or_default();
        String::from_utf8_lossy(value).trim().to_ascii_lowercase()
    };
    let kind = plain(header::CONTENT_TYPE);
    let encoding = plain(header::CONTENT_ENCODING);
    let wrong = match (kind.as_str(), encoding.as_str()) {
        ("" | "application/wasm" | "application/octet-stream", "" | "identity") => return Ok(()),
        (_, "" | "identity") => format!("as `{}`", shorten(&kind)),
        _ => format!("encoded as `{}`", shorten(&encoding)),
    };
    let message = format!(
        "a component is sent as it is, with the type `application/wasm`, not {wrong}; with curl: \
         `-H 'Content-Type: application/wasm' --data-binary @FILE`"
    );
    let error = Error::new(ErrorCode::Unsupported, message);
    Err(Failure::with_status(
        error,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
    ))
}

/// Runs a change to its end, also when the client does not wait for it: a change that is made half
/// is no change that anybody asked for.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = routir_core::Result<T>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(done) => done.map_err(told),
        Err(why) => {
            // Of a panic the hook has logged what and where.
            tracing::error!(error = %why, "a change of an extension did not end");
            Err(Error::internal("the server made a mistake; its log says which").into())
        }
    }
}

/// An error of the administration: what a path names is not found, rather than wrong.
fn told(error: Error) -> Failure {
    match error.code() {
        ErrorCode::UnknownName => Failure::with_status(error, StatusCode::NOT_FOUND),
        _ => error.into(),
    }
}

fn not_found(message: impl Into<String>) -> Failure {
    told(Error::new(ErrorCode::UnknownName, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_nothing_of_a_path() {
        let found = |path: &str| name(path).ok();
        assert_eq!(
            found("/extensions/my-fusion_2").as_deref(),
            Some("my-fusion_2")
        );
        assert_eq!(found("/extensions/f/rollback").as_deref(), Some("f"));
        assert_eq!(found("/extensions/rollback").as_deref(), Some("rollback"));
        let long = format!("/extensions/{}", "x".repeat(65));
        for bad in [
            "", "2x", "..", "a%2Fb", "%2e%2e", "a.wasm", "é", "a b", "a\0",
        ] {
            assert_eq!(found(&format!("/extensions/{bad}")), None, "{bad}");
        }
        assert_eq!(found(&long), None);
    }
}
