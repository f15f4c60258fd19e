//! What an extension says of itself.

use routir_core::{Params, ParamsSpec};

/// What an extension says of itself, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name: a letter, then letters, digits, `_` or `-`.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// The parameters that it takes.
    pub params: ParamsSpec,
    /// What those parameters are when nobody says otherwise.
    pub defaults: Params,
}
