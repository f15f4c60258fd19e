//! What is kept of one extension: which component files are its versions, and where they came from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::is_name;

/// How a record's text starts; a hash of the rest of the text follows on the same line.
const HEAD: &str = "routir-extension 1 ";

/// One extension of one tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) tenant: String,
    pub(crate) name: String,
    /// The file of a watched directory that holds the name; `None`: the API does.
    pub(crate) file: Option<FileOrigin>,
    /// The active version, then the one that a rollback brings back, then older ones.
    pub(crate) versions: Vec<Version>,
}

/// A file of a watched directory as it was when it was last published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileOrigin {
    pub(crate) path: PathBuf,
    /// SHA-256 of its content then. After a rollback another version is active, and stays so until
    /// the file changes.
    pub(crate) sha256: String,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
    /// As its manifest states it.
    pub(crate) version: String,
    /// Seconds since the Unix epoch.
    pub(crate) published: f64,
    pub(crate) source: Source,
}

/// Where a version came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Api,
    Directory,
}

impl Source {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Directory => "directory",
        }
    }
}

impl Record {
    /// The text of the file.
    pub(super) fn to_text(&self) -> serde_json::Result<String> {
        let body = serde_json::to_string_pretty(self)?;
        Ok(format!("{HEAD}{}\n{body}", sha256(body.as_bytes())))
    }

    /// Reads the text of the file of `tenant`'s extension `name`.
    pub(super) fn from_text(text: &str, tenant: &str, name: &str) -> Result<Self, String> {
        let (head, body) = text.split_once('\n').ok_or("it is cut off")?;
        let stated = head
            .strip_prefix(HEAD)
            .ok_or("it is no record of this format")?;
        if stated != sha256(body.as_bytes()) {
            return Err("its checksum is wrong".to_owned());
        }
        let record: Self = serde_json::from_str(body).map_err(|error| error.to_string())?;
        if record.tenant != tenant || record.name != name || !is_name(&record.name) {
            return Err("it belongs to another extension".to_owned());
        }
        let sound = |version: &Version| is_sha256(&version.sha256);
        if record.versions.is_empty() || !record.versions.iter().all(sound) {
            return Err("it names no component".to_owned());
        }
        Ok(record)
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record {
        Record {
            tenant: "acme".to_owned(),
            name: "rrf".to_owned(),
            file: Some(FileOrigin {
                path: "dir/rrf.wasm".into(),
                sha256: sha256(b"a"),
            }),
            versions: vec![Version {
                sha256: sha256(b"a"),
                size_bytes: 1,
                version: "1.0.0".to_owned(),
                published: 1.5,
                source: Source::Directory,
            }],
        }
    }

    #[test]
    fn a_record_reads_back_and_only_as_its_own() {
        let text = record().to_text().unwrap();
        assert_eq!(Record::from_text(&text, "acme", "rrf"), Ok(record()));
        assert!(Record::from_text(&text, "acme", "other").is_err());
        assert!(Record::from_text(&text, "evil", "rrf").is_err());
    }

    proptest! {
        #[test]
        fn no_damage_goes_unseen(at in 0_usize..400, byte in 0_u8..128, cut in any::<bool>()) {
            let text = record().to_text().unwrap();
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = byte;
            }
            let damaged = String::from_utf8(bytes).unwrap();
            let read = Record::from_text(&damaged, "acme", "rrf");
            prop_assert!(damaged == text || read.is_err());
        }
    }
}
