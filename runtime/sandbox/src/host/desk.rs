//! Before and after every call of the runtime: budgets, errors, and how much is handed over.

use std::sync::Arc;

use routir_core::{DocId, Error, ErrorCode, Host, RequestContext};

use super::held::{Held, Size};
use crate::bindings::types;
use crate::convert::{MAX_HANDED_OVER, MAX_ID, said};
use crate::guest::{Call, Phase, Refused};
use crate::schedule::Account;

/// The runtime, ready to be asked on behalf of a call.
pub(super) struct Desk {
    pub(super) host: Arc<dyn Host>,
    pub(super) context: Arc<RequestContext>,
    pub(super) account: Arc<Account>,
}

/// Opens the runtime for one call of `function`.
///
/// # Errors
/// Outside: a trap. Inside: what each request is answered with.
pub(super) fn open(call: &mut Call, function: &str) -> Result<Result<Desk, types::Error>, Refused> {
    call.not_while_describing(function)?;
    if matches!(call.phase, Phase::Fusing(_)) {
        return Ok(Err(types::Error::Unknown(format!(
            "`{function}` is not there for a fusion, which sees no documents but its candidates"
        ))));
    }
    Ok(runtime(call))
}

/// The runtime for a call that may use it.
pub(super) fn runtime(call: &mut Call) -> Result<Desk, types::Error> {
    let host = call.profile.host.clone();
    let host = host.ok_or_else(|| {
        types::Error::Unknown("there is no runtime while the extension is admitted".to_owned())
    })?;
    call.held = None;
    Ok(Desk {
        host,
        context: call.inner_context(),
        account: Arc::clone(&call.account),
    })
}

/// Holds what a list of requests takes until they are answered.
pub(super) fn hold<T: Size>(desk: &Desk, requests: &[T]) -> Result<Held, types::Error> {
    let mut held = Held::new(&desk.account);
    held.grow(requests.iter().map(Size::size).sum())?;
    Ok(held)
}

/// Takes one request from the budgets of the call and of its tenant.
pub(super) fn take_one(call: &mut Call) -> Result<(), types::Error> {
    let Some(left) = call.host_calls_left.checked_sub(1) else {
        let most = call.profile.limits.host_calls;
        return Err(types::Error::Exhausted(format!(
            "this call has made its {most} requests to the host (`host_calls`)"
        )));
    };
    if !call.account.take_host_calls(1) {
        return Err(types::Error::Exhausted(
            "the tenant's guests have made all their requests to the host of this second \
             (`quotas.host_calls_per_s`)"
                .to_owned(),
        ));
    }
    call.host_calls_left = left;
    Ok(())
}

/// An error of the runtime as a guest sees it.
pub(super) fn to_guest(error: &Error) -> types::Error {
    let text = said(error.message());
    match error.code() {
        ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::Unsupported => {
            types::Error::Invalid(text)
        }
        ErrorCode::UnknownName | ErrorCode::UnknownDocument | ErrorCode::PermissionDenied => {
            types::Error::Unknown(text)
        }
        ErrorCode::Overloaded | ErrorCode::DeadlineExceeded => types::Error::Exhausted(text),
        _ => types::Error::Failed(text),
    }
}

/// What may still be handed over in one host call, and what was so far.
pub(super) struct HandOver {
    left: usize,
    held: Held,
}

impl HandOver {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self {
            left: MAX_HANDED_OVER,
            held: Held::new(account),
        }
    }

    /// Takes `bytes`, or says that it is too much.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), types::Error> {
        let left = self.left.checked_sub(bytes).ok_or_else(|| {
            types::Error::Exhausted(format!(
                "the answer is larger than a guest is handed at once ({} MiB); ask for less",
                MAX_HANDED_OVER >> 20
            ))
        })?;
        self.held.grow(bytes)?;
        self.left = left;
        Ok(())
    }

    /// Leaves what was handed over on the account until the call ends or asks again.
    pub(super) fn leave(self, call: &mut Call) {
        call.held = Some(self.held);
    }
}

/// A guest's document ids, none of them empty or endless.
pub(super) fn doc_ids(ids: Vec<String>) -> Result<Vec<DocId>, types::Error> {
    ids.into_iter()
        .map(|id| match id.len() {
            0 => Err(types::Error::Invalid("a document id is empty".to_owned())),
            1..=MAX_ID => Ok(DocId::from(id)),
            long => Err(types::Error::Invalid(format!(
                "a document id has {long} bytes; the most is {MAX_ID}"
            ))),
        })
        .collect()
}
