//! The formats of vector files.

use std::fmt;
use std::path::{Path, PathBuf};

/// How a file holds vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// numpy's array, ids beside.
    Npy,
    /// A tensor of a safetensors file, ids beside.
    Safetensors,
    /// numpy's array that holds a dictionary of `features` and `ids`, as RoutIR's tools write it.
    Routir,
}

impl Format {
    /// The extension of its files.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npy | Self::Routir => "npy",
            Self::Safetensors => "safetensors",
        }
    }

    /// Whether the ids lie in a file of their own.
    #[must_use]
    pub fn has_ids_beside(self) -> bool {
        self != Self::Routir
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npy => "npy",
            Self::Safetensors => "safetensors",
            Self::Routir => "routir",
        })
    }
}

/// Where the ids of the vectors in `path` lie.
pub(crate) fn ids_beside(path: &Path) -> PathBuf {
    path.with_extension("ids")
}
