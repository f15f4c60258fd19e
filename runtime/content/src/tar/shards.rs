//! Which archive holds an id.

use std::fs::File;
use std::path::Path;

use routir_core::{Error, Result};
use sha2::{Digest, Sha256};

use crate::failure::io_error;
use crate::labels::IdLabels;

/// So many shards are made ready ahead at most.
const MAX_LISTED: u64 = 1 << 20;

/// How an id says which archive holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shards {
    /// There is one archive.
    One,
    /// By a table of ids and shards: CSV, or TSV where the file's name ends in `.tsv` or `.tab`.
    Manifest {
        /// The file.
        path: std::path::PathBuf,
        /// The column of the ids.
        id_column: String,
        /// The column of the shards.
        shard_column: String,
    },
    /// The first 8 bytes of the id's SHA-256, as a big-endian number, modulo `n`.
    Modulo {
        /// How many shards there are.
        n: u64,
        /// To how many digits the shard is padded with zeros.
        width: usize,
    },
    /// The characters from `start` to `end` (exclusive); negative ones count from the end.
    Substring {
        /// The first.
        start: i64,
        /// The one after the last.
        end: i64,
    },
}

/// [`Shards`], ready to be asked.
#[derive(Debug)]
pub(super) enum Resolver {
    One,
    Manifest(IdLabels),
    Modulo { n: u64, width: usize },
    Substring { start: i64, end: i64 },
}

impl Resolver {
    /// Reads the manifest, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or is no such table.
    pub(super) fn open(shards: &Shards) -> Result<Self> {
        Ok(match shards {
            Shards::One => Self::One,
            Shards::Manifest {
                path,
                id_column,
                shard_column,
            } => Self::Manifest(manifest(path, id_column, shard_column)?),
            Shards::Modulo { n, width } => Self::Modulo {
                n: (*n).max(1),
                width: *width,
            },
            Shards::Substring { start, end } => Self::Substring {
                start: *start,
                end: *end,
            },
        })
    }

    /// The shard of `id`; `None` when no shard can hold it.
    pub(super) fn shard(&self, id: &str) -> Option<String> {
        match self {
            Self::One => Some(String::new()),
            Self::Manifest(shards) => shards.get(id).map(|shard| shard.as_ref().to_owned()),
            Self::Modulo { n, width } => {
                let hash = Sha256::digest(id.as_bytes());
                let first = hash.as_slice().first_chunk::<8>().copied();
                let number = u64::from_be_bytes(first.unwrap_or_default()) % n;
                Some(format!("{number:0width$}"))
            }
            // Whoever asks chooses the id, but not where files are read.
            Self::Substring { start, end } => {
                let shard = substring(id, *start, *end);
                let leads =
                    shard.contains(['/', '\0']) || matches!(shard.as_str(), "" | "." | "..");
                (!leads).then_some(shard)
            }
        }
    }

    /// Whether a shard that is not there means that the id is unknown, and not that a file is lost.
    pub(super) fn guesses(&self) -> bool {
        matches!(self, Self::Substring { .. })
    }

    /// All shards, as far as they are known.
    pub(super) fn all(&self) -> Vec<String> {
        match self {
            Self::One => vec![String::new()],
            Self::Manifest(shards) => shards.distinct(),
            Self::Modulo { n, width } => {
                let numbers = 0..(*n).min(MAX_LISTED);
                numbers.map(|number| format!("{number:0width$}")).collect()
            }
            Self::Substring { .. } => Vec::new(),
        }
    }
}

/// As Python slices a string.
fn substring(id: &str, start: i64, end: i64) -> String {
    let length = id.chars().count() as i64;
    let place = |at: i64| {
        if at < 0 {
            (at + length).max(0)
        } else {
            at.min(length)
        }
    };
    let (start, end) = (place(start), place(end));
    let count = (end - start).max(0);
    id.chars()
        .skip(start as usize)
        .take(count as usize)
        .collect()
}

fn manifest(path: &Path, id_column: &str, shard_column: &str) -> Result<IdLabels> {
    let file = File::open(path).map_err(|error| io_error("opening", path, &error))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    let tabs = matches!(extension, Some("tsv" | "tab"));
    let wrong = |why: String| {
        Error::invalid(format!(
            "{} is not a table of shards: {why}",
            path.display()
        ))
    };
    let mut table = csv::ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .from_reader(std::io::BufReader::new(file));
    let columns = table.headers().map_err(|error| wrong(error.to_string()))?;
    let column = |name: &str| {
        // Some programs put a byte order mark before the first column.
        let named = |found: &str| found.trim_start_matches('\u{feff}') == name;
        columns.iter().position(named).ok_or_else(|| {
            let known: Vec<_> = columns.iter().collect();
            wrong(format!(
                "there is no column `{name}`; it has {}",
                known.join(", ")
            ))
        })
    };
    let (id, shard) = (column(id_column)?, column(shard_column)?);
    let mut shards = IdLabels::default();
    let mut record = csv::StringRecord::new();
    while table
        .read_record(&mut record)
        .map_err(|error| wrong(error.to_string()))?
    {
        if let (Some(id), Some(shard)) = (record.get(id), record.get(shard)) {
            shards.insert(&id.into(), shard);
        }
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    // hashlib.sha256(id.encode()).digest()[:8], big-endian, modulo n, with Python 3.
    #[test]
    fn a_hash_is_the_same_everywhere() {
        let shard = |id: &str, n, width| Resolver::Modulo { n, width }.shard(id).unwrap();
        assert_eq!(shard("doc-1", 16, 4), PYTHON[0]);
        assert_eq!(shard("é", 1000, 0), PYTHON[1]);
        assert_eq!(shard("", 7, 2), PYTHON[2]);
    }

    const PYTHON: [&str; 3] = ["0009", "51", "01"];

    #[test]
    fn strings_are_sliced_as_python_slices_them() {
        for (id, start, end, expected) in [
            ("abcdef", 0, 2, "ab"),
            ("abcdef", -2, 6, "ef"),
            ("abcdef", 1, -1, "bcde"),
            ("éa", 0, 1, "é"),
            ("ab", 5, 9, ""),
            ("ab", -9, 1, "a"),
            ("ab", 1, 0, ""),
        ] {
            assert_eq!(substring(id, start, end), expected, "{id}[{start}:{end}]");
        }
    }

    #[test]
    fn an_id_does_not_choose_a_directory() {
        let resolver = Resolver::Substring { start: 0, end: 3 };
        for evil in ["../", "..", "a/b", "/et", "", "."] {
            assert_eq!(resolver.shard(evil), None, "{evil}");
        }
        assert_eq!(resolver.shard("...x").as_deref(), Some("..."));
    }

    #[test]
    fn manifests_are_csv_or_tsv() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let csv = write("m.csv", "\u{feff}id,x,shard\na,1,7\n\"b,c\",2,08\na,1,9\n");
        let shards = manifest(&csv, "id", "shard").unwrap();
        assert_eq!(shards.get("a").map(AsRef::as_ref), Some("9"));
        assert_eq!(shards.get("b,c").map(AsRef::as_ref), Some("08"));
        let tsv = write("m.tsv", "key\tpart\na b\tx,y\n");
        let shards = manifest(&tsv, "key", "part").unwrap();
        assert_eq!(shards.get("a b").map(AsRef::as_ref), Some("x,y"));
        let missing = manifest(&tsv, "id", "part").unwrap_err();
        assert!(
            missing
                .message()
                .contains("no column `id`; it has key, part"),
            "{missing}"
        );
        let ragged = write("r.csv", "id,shard\na\n");
        assert!(manifest(&ragged, "id", "shard").is_err());
    }
}
