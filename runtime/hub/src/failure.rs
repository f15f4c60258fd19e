//! Why nothing was fetched.

use std::io;

use hf_hub::api::sync::ApiError;
use routir_core::{Error, ErrorCode};

use crate::hub::{Hub, Repository};

/// Why nothing was fetched: for good, or so that the cache may do.
pub(crate) enum Failure {
    Refused(Error),
    Unreachable(String),
    Unwritable(io::Error),
    /// The hub answered with this status.
    Status(u16),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::StatusCode(status) => Self::Status(status),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::RequestError(error) => (*error).into(),
            ApiError::IoError(error) => Self::Unwritable(error),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl Failure {
    /// Why the hub cannot be asked; else the error that it is.
    pub(crate) fn told(self, hub: &Hub, repository: Repository<'_>) -> Result<String, Error> {
        let (endpoint, kind) = (&hub.endpoint, repository.kind.name());
        match self {
            Self::Refused(error) => Err(error),
            Self::Unreachable(why) => Ok(why),
            Self::Unwritable(why) => {
                let cache = hub.cache.as_deref().map(|it| it.display().to_string());
                Err(Error::new(
                    ErrorCode::Unavailable,
                    format!(
                        "fetching it from {endpoint} into `{}`: {why}; check that the folder can be \
                         written and has space, or set HF_HOME",
                        cache.unwrap_or_default()
                    ),
                ))
            }
            Self::Status(status @ (401 | 403)) => Err(Error::invalid(format!(
                "{endpoint} answers {status}: there is no such {kind}, or it is not for everybody; \
                 set HF_TOKEN to a token that may read it"
            ))),
            Self::Status(404) => Err(Error::invalid(format!(
                "{endpoint} knows no such {kind} or revision"
            ))),
            Self::Status(status) => Ok(format!("it answers with status {status}")),
        }
    }
}
