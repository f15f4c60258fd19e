//! Encoders that are hosted without a service: for whoever asks for vectors alone.

use std::sync::Arc;

use routir_core::{Error, ErrorCode, Health, Result, nearest};

use crate::build::{BuildEnv, EngineSpec};
use crate::{lsr, plaidx, qwen3, sentence_transformer};

/// Engines that are encoders, with how each is opened; what it cannot do without is answered.
type Open = fn(EngineSpec<'_>, &BuildEnv<'_>) -> Result<Vec<Arc<dyn Health>>>;
const ENCODERS: [(&str, Open); 4] = [
    ("SentenceTransformerEngine", |spec, env| {
        sentence_transformer::build(spec, env).map(|roles| roles.health)
    }),
    ("Qwen3", |spec, env| {
        qwen3::build(spec, env).map(|roles| roles.health)
    }),
    ("PLAIDX", |spec, env| {
        plaidx::build(spec, env).map(|roles| roles.health)
    }),
    ("LSR", lsr::host),
];

/// Keys that an encoder without a service has no use for, with why.
const REFUSED: [(&str, &str); 3] = [
    (
        "index_path",
        "an index is searched by a service; list it in `services`",
    ),
    (
        "build",
        "an index is built for a service; list it in `services`",
    ),
    (
        "embedding_base_url",
        "the vectors are another server's; ask that one for them",
    ),
];

/// Opens an encoder, which [`crate::SharedModels::hosted`] then knows under the name in `spec`; in a
/// check, looks whether it would open. Blocks: call it off the reactor.
///
/// # Errors
/// As [`crate::build`]; for an engine that is no encoder [`ErrorCode::Unsupported`].
pub fn host(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<()> {
    let at = |error: Error| error.at(format!("model `{}` (engine {})", spec.name, spec.engine));
    let names = || ENCODERS.iter().map(|(name, _)| *name);
    let Some((_, open)) = ENCODERS.iter().find(|(name, _)| *name == spec.engine) else {
        let hint = match nearest(spec.engine, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("those that do: {}", names().collect::<Vec<_>>().join(", ")),
        };
        let message = format!(
            "model `{}`: engine `{}` hosts no encoder; {hint}",
            spec.name, spec.engine
        );
        return Err(Error::new(ErrorCode::Unsupported, message));
    };
    if let Some((key, why)) = REFUSED
        .iter()
        .find(|(key, _)| spec.config.contains_key(*key))
    {
        return Err(at(Error::invalid(format!("`{key}`: {why}"))));
    }
    env.models.alone(|| open(spec, env)).map_err(at)
}
