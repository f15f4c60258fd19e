//! What a pool asks for: names, counts and bounds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::DEFAULT;
use crate::RouterOptions;

/// Machines of one kind that a pool may ask for.
pub(crate) const MAX_COUNT: u32 = 1000;
/// Kinds of machines in one pool.
const MAX_PROFILES: usize = 32;
/// With the prefix of the objects in a cluster still a name there.
const MAX_NAME: usize = 50;
const MAX_LABEL: usize = 63;
const TTL: std::ops::RangeInclusive<u64> = 10..=604_800;
/// Of a caller's text in a message.
const SHOWN: usize = 64;

/// Why something about a pool was refused, with the code and the status for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Seconds after which to try again.
    pub(crate) retry_after: Option<u32>,
}

impl PoolError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_POOL", message)
    }

    pub(super) fn unknown(name: &str) -> Self {
        Self::new(
            404,
            "POOL_NOT_FOUND",
            format!("there is no pool `{}`", shown(name)),
        )
    }

    pub(super) fn protected() -> Self {
        Self::new(
            400,
            "POOL_PROTECTED",
            format!(
                "`{DEFAULT}` is the pool of all workers that no other has reserved: it is always there"
            ),
        )
    }

    pub(super) fn full(max: usize) -> Self {
        Self::new(
            429,
            "TOO_MANY_POOLS",
            format!(
                "there are {max} pools, as many as this router keeps: delete one, or let one expire"
            ),
        )
    }

    pub(super) fn taken(name: &str) -> Self {
        Self::new(
            409,
            "POOL_CONFLICT",
            format!("pool `{name}` was changed by others again and again: try again"),
        )
    }

    pub(super) fn unavailable(what: &str, why: &str) -> Self {
        Self {
            retry_after: Some(5),
            ..Self::new(
                503,
                "POOLS_UNAVAILABLE",
                format!("{what} failed: {why}; pools that are known go on"),
            )
        }
    }

    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }
}

/// What the operator decides about pools.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The most pools, besides the default one.
    pub(crate) max_pools: usize,
    /// How long a pool lives that nobody renews, unless it says so itself.
    pub(crate) lease: Duration,
    /// Profiles that may be asked for, in their spelling; empty allows any.
    pub(crate) profiles: Vec<Arc<str>>,
    /// What is told of the default pool when a request names no kind of machine.
    pub(crate) default_profile: Option<Arc<str>>,
}

impl From<&RouterOptions> for Rules {
    fn from(options: &RouterOptions) -> Self {
        let profiles: Vec<Arc<str>> = options.machine_profiles.keys().cloned().collect();
        let only_gpu = match options.configured_gpus.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        };
        Self {
            max_pools: options.max_pools,
            lease: options.lease,
            default_profile: profiles.first().cloned().or(only_gpu),
            profiles,
        }
    }
}

/// What a pool asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// How many machines of which kind, in the order in which they were named.
    pub(crate) gpus: Vec<(Arc<str>, u32)>,
    /// Workers of this bundle alone.
    pub(crate) bundle: Option<Arc<str>>,
    /// How many machines a scaler should keep for the pool while it lives, if that is more than it
    /// asks for. It does not decide when the pool is active.
    pub(crate) minimum: u32,
    /// How long the pool lives without being renewed.
    pub(crate) ttl: Option<Duration>,
}

impl Spec {
    /// Machines that a scaler should keep for the pool, by profile: what it asks for, and what its
    /// minimum says beyond that, as machines of the first kind.
    pub(crate) fn machines(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let total: u32 = self.gpus.iter().map(|(_, count)| count).sum();
        let more = self.minimum.saturating_sub(total);
        self.gpus
            .iter()
            .enumerate()
            .map(move |(at, (profile, count))| (profile, count + if at == 0 { more } else { 0 }))
    }
}

impl Rules {
    /// Name and wishes of a pool from the body of a request.
    pub(crate) fn read(&self, body: &Value) -> Result<(Arc<str>, Spec), PoolError> {
        let Value::Object(body) = body else {
            return Err(PoolError::invalid("a pool is described by a JSON object"));
        };
        let name = match body.get("name") {
            Some(Value::String(name)) => name.as_str(),
            _ => return Err(PoolError::invalid("`name` is missing or no text")),
        };
        if name == DEFAULT {
            return Err(PoolError::protected());
        }
        check_name(name)?;
        Ok((name.into(), self.spec(body)?))
    }

    /// The wishes alone, as they also lie in a cluster.
    pub(crate) fn spec(&self, body: &Map<String, Value>) -> Result<Spec, PoolError> {
        Ok(Spec {
            gpus: self.gpus(body.get("gpus"))?,
            bundle: bundle(body.get("bundle"))?,
            minimum: minimum(body.get("minimum_worker_count"))?,
            ttl: ttl(body.get("ttl_seconds"))?,
        })
    }

    fn gpus(&self, value: Option<&Value>) -> Result<Vec<(Arc<str>, u32)>, PoolError> {
        let wanted = match value {
            Some(Value::Object(wanted)) if !wanted.is_empty() => wanted,
            _ => {
                return Err(PoolError::invalid(
                    "`gpus` has to say how many machines of which kind, like {\"l4\": 2}",
                ));
            }
        };
        if wanted.len() > MAX_PROFILES {
            return Err(PoolError::invalid(format!(
                "`gpus` names {} kinds of machines; at most {MAX_PROFILES} are possible",
                wanted.len()
            )));
        }
        let mut gpus: Vec<(Arc<str>, u32)> = Vec::with_capacity(wanted.len());
        for (profile, count) in wanted {
            let profile = self.profile(profile)?;
            if gpus
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(&profile))
            {
                return Err(PoolError::invalid(format!(
                    "`gpus` names `{profile}` twice"
                )));
            }
            let count = count
                .as_u64()
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| (1..=MAX_COUNT).contains(count))
                .ok_or_else(|| {
                    PoolError::invalid(format!(
                        "the number of `{profile}` has to be an integer from 1 to {MAX_COUNT}"
                    ))
                })?;
            gpus.push((profile, count));
        }
        Ok(gpus)
    }

    fn profile(&self, name: &str) -> Result<Arc<str>, PoolError> {
        if self.profiles.is_empty() {
            return match is_label(name) {
                true => Ok(name.into()),
                false => Err(PoolError::invalid(format!(
                    "`{}` is no name of a machine profile: letters, digits, `.`, `_` and `-`, at most {MAX_LABEL}",
                    shown(name)
                ))),
            };
        }
        let known = |profile: &&Arc<str>| profile.eq_ignore_ascii_case(name);
        self.profiles.iter().find(known).cloned().ok_or_else(|| {
            let names: Vec<&str> = self.profiles.iter().take(16).map(AsRef::as_ref).collect();
            PoolError::invalid(format!(
                "there is no machine profile `{}`; there are {}",
                shown(name),
                names.join(", ")
            ))
        })
    }
}

/// Whether a text can be the name of a pool: a DNS label, with room for a prefix.
pub(crate) fn check_name(name: &str) -> Result<(), PoolError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fine = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    match fine {
        true => Ok(()),
        false => Err(PoolError::invalid(format!(
            "`{}` cannot be the name of a pool: lower-case letters, digits and `-` between them, at most {MAX_NAME}",
            shown(name)
        ))),
    }
}

/// Whether a text can be the name of a profile or a bundle.
pub(crate) fn is_label(name: &str) -> bool {
    (1..=MAX_LABEL).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn bundle(value: Option<&Value>) -> Result<Option<Arc<str>>, PoolError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if is_label(name) => Ok(Some(name.as_str().into())),
        Some(_) => Err(PoolError::invalid("`bundle` is no name of a bundle")),
    }
}

fn minimum(value: Option<&Value>) -> Result<u32, PoolError> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .filter(|count| *count <= MAX_COUNT)
            .ok_or_else(|| {
                PoolError::invalid(format!(
                    "`minimum_worker_count` has to be an integer from 0 to {MAX_COUNT}"
                ))
            }),
    }
}

fn ttl(value: Option<&Value>) -> Result<Option<Duration>, PoolError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|seconds| TTL.contains(seconds))
            .map(|seconds| Some(Duration::from_secs(seconds)))
            .ok_or_else(|| {
                PoolError::invalid(format!(
                    "`ttl_seconds` has to be an integer from {} to {}",
                    TTL.start(),
                    TTL.end()
                ))
            }),
    }
}

fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
