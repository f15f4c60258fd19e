//! Why a guest gave no answer, in words that name the extension and the limit.

use std::fmt;

use routir_config::ExtensionLimits;
use routir_core::{Error, ErrorCode};
use wasmtime::Trap;

use super::limiter::Refusal;
use crate::bindings::types;
use crate::convert::said;

/// A host function's reason to end the guest: the end of a sentence such as "was stopped: …".
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A failure that is the extension's own.
pub(crate) fn own_fault(identity: &str, what: impl fmt::Display) -> Error {
    Error::engine(format!("extension `{identity}` {what}"))
}

/// A failure for an answer that no caller can use.
pub(crate) fn malformed(identity: &str, what: &str) -> Error {
    own_fault(identity, what)
}

/// A guest's own error as the caller sees it.
pub(crate) fn from_guest(identity: &str, error: &types::Error) -> Error {
    let (code, text) = match error {
        types::Error::Invalid(text) => (ErrorCode::InvalidArgument, text),
        types::Error::Unknown(text) => (ErrorCode::UnknownName, text),
        types::Error::Exhausted(text) => (ErrorCode::Overloaded, text),
        types::Error::Failed(text) => (ErrorCode::EngineFailure, text),
    };
    Error::new(
        code,
        format!("extension `{identity}` failed: {}", said(text)),
    )
}

/// The failure of a guest that trapped, could not be made, or was ended by a host function.
pub(crate) fn ended(
    identity: &str,
    limits: &ExtensionLimits,
    error: &wasmtime::Error,
    refused: Option<Refusal>,
) -> Error {
    let why = reason(limits, error);
    match refused {
        None => own_fault(identity, why),
        Some(refusal) => {
            let refusal = refusal_text(limits, refusal);
            own_fault(identity, format!("{why}, after it was refused {refusal}"))
        }
    }
}

fn reason(limits: &ExtensionLimits, error: &wasmtime::Error) -> String {
    if let Some(Refused(why)) = error.downcast_ref() {
        return format!("was stopped: {why}");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let most = limits.fuel.unwrap_or_default();
            format!("was stopped: it executed more than {most} instructions (`fuel`)")
        }
        Some(Trap::StackOverflow) => "crashed: its calls nest too deep for its stack".to_owned(),
        Some(Trap::UnreachableCodeReached) => {
            "crashed: it aborted (wasm `unreachable`), as languages do after a panic or an \
             exception that nobody caught"
                .to_owned()
        }
        Some(trap) => {
            let text = trap.to_string();
            format!("crashed: {}", said(text.trim_start_matches("wasm trap: ")))
        }
        None => {
            let text = error.root_cause().to_string();
            if text.contains("fuel allocated for hostcalls") {
                let most = limits.output_bytes;
                format!(
                    "was stopped: it handed more than {most} bytes to the host at once \
                     (`output_bytes`)"
                )
            } else if text.contains("resource limit exceeded: instance count") {
                let most = limits.instances;
                format!("was stopped: it has more than {most} core instances (`instances`)")
            } else {
                format!("failed: {}", said(&text))
            }
        }
    }
}

fn refusal_text(limits: &ExtensionLimits, refusal: Refusal) -> String {
    match refusal {
        Refusal::Memory => format!("memory over its {} MiB (`memory_mb`)", limits.memory_mb),
        Refusal::Quota => "memory over its tenant's quota (`quotas.memory_mb`)".to_owned(),
        Refusal::Tables => format!(
            "tables over its {} elements (`table_elements`)",
            limits.table_elements
        ),
    }
}
