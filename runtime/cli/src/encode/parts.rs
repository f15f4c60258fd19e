//! The output folder of `encode`: files of so many documents each, and what they were made with.
//!
//! ```text
//! encode.json               the settings, and how many documents there are once that is known
//! part-00000.npy (+ .ids)   documents 0 to N - 1 of those that have text
//! part-00001.npy (+ .ids)   documents N to 2N - 1
//! ```
//!
//! Which documents are in which file depends on the corpus and on N alone, so that any number of
//! processes may share the work, and a process that was stopped goes on with the files that are
//! not there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::failure::wrong;

/// The file of settings.
pub(crate) const SETTINGS: &str = "encode.json";

/// The first of the settings: changes whenever older folders cannot be gone on with.
const VERSION: u64 = 1;

/// Which of several processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 0.
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// `i/n`, with i from 0 to n - 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (index, of) = text.split_once('/')?;
            let shard = Self {
                index: index.trim().parse().ok()?,
                of: of.trim().parse().ok()?,
            };
            (shard.index < shard.of).then_some(shard)
        };
        parsed().ok_or_else(|| "must be i/n, such as 0/4 for the first of four".to_owned())
    }
}

/// An output folder.
#[derive(Debug)]
pub(crate) struct Parts {
    dir: PathBuf,
    extension: &'static str,
    documents_per_file: u64,
    shard: Shard,
    done: BTreeSet<u64>,
    settings: Map<String, Value>,
}

impl Parts {
    /// Opens `dir`, or makes it. Files that are there are kept if they were made with the same
    /// `settings`; with `overwrite` they are removed.
    ///
    /// # Errors
    /// When there are files of other settings, or other files that look like ours.
    pub(crate) fn open(
        dir: &Path,
        extension: &'static str,
        settings: Map<String, Value>,
        documents_per_file: u64,
        shard: Shard,
        overwrite: bool,
    ) -> anyhow::Result<Self> {
        let place = || format!("cannot use the folder {}", dir.display());
        fs::create_dir_all(dir).with_context(place)?;
        let mut all = Map::new();
        all.insert("version".to_owned(), VERSION.into());
        all.extend(settings);
        all.insert("documents_per_file".to_owned(), documents_per_file.into());
        let mut parts = Self {
            dir: dir.to_owned(),
            extension,
            documents_per_file,
            shard,
            done: BTreeSet::new(),
            settings: all,
        };
        if overwrite {
            parts.clear().with_context(place)?;
        }
        match read_settings(dir)? {
            Some(found) => parts.compare(&found)?,
            None if parts.files().with_context(place)?.is_empty() => parts.save(None)?,
            None => {
                return Err(wrong(format!(
                    "{} holds files of vectors without {SETTINGS}; give another --output, or \
                     --overwrite",
                    dir.display()
                )));
            }
        }
        let extension = parts.extension;
        let files = parts.files().with_context(place)?.into_iter();
        parts.done = files
            .filter(|(_, found)| found == extension)
            .map(|(number, _)| number)
            .collect();
        Ok(parts)
    }

    /// Whether the document with this ordinal is this process's and not there yet.
    pub(crate) fn wanted(&self, ordinal: u64) -> bool {
        let part = self.part(ordinal);
        part % self.shard.of == self.shard.index && !self.done.contains(&part)
    }

    /// In which file the document with this ordinal is.
    pub(crate) fn part(&self, ordinal: u64) -> u64 {
        ordinal / self.documents_per_file
    }

    /// Where the file with this number is.
    pub(crate) fn path(&self, part: u64) -> PathBuf {
        self.dir.join(format!("part-{part:05}.{}", self.extension))
    }

    /// How many of this process's files were there before.
    pub(crate) fn kept(&self) -> usize {
        let ours = |part: &&u64| *part % self.shard.of == self.shard.index;
        self.done.iter().filter(ours).count()
    }

    /// Notes how many documents there are, so that whoever reads the folder sees whether it is
    /// complete.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub(crate) fn complete(&self, documents: u64) -> anyhow::Result<()> {
        self.save(Some(documents))
    }

    fn save(&self, documents: Option<u64>) -> anyhow::Result<()> {
        let mut all = self.settings.clone();
        if let Some(documents) = documents {
            all.insert("documents".to_owned(), documents.into());
        }
        let save = || -> anyhow::Result<()> {
            // Processes that share the folder write the same; the last one wins.
            let mut file = tempfile::Builder::new()
                .prefix(".encode-")
                // As any other file of the user: the umask takes away what must not be.
                .permissions(fs::Permissions::from_mode(0o666))
                .tempfile_in(&self.dir)?;
            file.write_all(format!("{:#}\n", Value::Object(all)).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(self.dir.join(SETTINGS))?;
            Ok(())
        };
        save().with_context(|| format!("cannot write {}", self.dir.join(SETTINGS).display()))
    }

    fn compare(&self, found: &Map<String, Value>) -> anyhow::Result<()> {
        let keys: BTreeSet<&String> = self.settings.keys().chain(found.keys()).collect();
        let differ = keys
            .into_iter()
            .filter(|key| *key != "documents" && self.settings.get(*key) != found.get(*key));
        let shown = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_string();
        let differ: Vec<String> = differ
            .map(|key| {
                let (was, is) = (found.get(key), self.settings.get(key));
                format!("`{key}` was {}, and is {}", shown(was), shown(is))
            })
            .collect();
        if differ.is_empty() {
            return Ok(());
        }
        Err(wrong(format!(
            "{} was made with other settings: {}; give another --output, or --overwrite",
            self.dir.display(),
            differ.join("; ")
        )))
    }

    /// The numbers and extensions of the files of vectors that are there.
    fn files(&self) -> std::io::Result<Vec<(u64, String)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            files.extend(name.to_str().and_then(part_of_name));
        }
        Ok(files)
    }

    fn clear(&self) -> std::io::Result<()> {
        for (number, extension) in self.files()? {
            let file = self.dir.join(format!("part-{number:05}.{extension}"));
            fs::remove_file(file)?;
        }
        match fs::remove_file(self.dir.join(SETTINGS)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The number and the extension of a file named as ours are.
fn part_of_name(name: &str) -> Option<(u64, String)> {
    let (number, extension) = name.strip_prefix("part-")?.split_once('.')?;
    let known = matches!(extension, "npy" | "safetensors" | "ids" | "jsonl");
    let digits = number.len() >= 5 && number.bytes().all(|it| it.is_ascii_digit());
    (known && digits).then_some((number.parse().ok()?, extension.to_owned()))
}

/// The settings of a folder that `encode` made; `None` for another folder.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn read_settings(dir: &Path) -> anyhow::Result<Option<Map<String, Value>>> {
    let path = dir.join(SETTINGS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    match serde_json::from_str(&text) {
        Ok(settings) => Ok(Some(settings)),
        Err(error) => Err(wrong(format!(
            "{} is not what `encode` writes: {error}; give another --output, or --overwrite",
            path.display()
        ))),
    }
}

/// The parts of a folder that `encode` has not finished, of so many: `None` when it has, or when the
/// folder is not one of `encode`'s.
pub(crate) fn missing(settings: &Map<String, Value>, there: &BTreeSet<u64>) -> Option<String> {
    let number = |key: &str| settings.get(key).and_then(Value::as_u64);
    let per_file = number("documents_per_file").unwrap_or(1).max(1);
    let Some(documents) = number("documents") else {
        return Some("`encode` has not come to its end there".to_owned());
    };
    let wanted = documents.div_ceil(per_file);
    let missing: Vec<u64> = (0..wanted).filter(|part| !there.contains(part)).collect();
    let names = missing.iter().take(5).map(|part| format!("part-{part:05}"));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if missing.len() > 5 {
        names.push_str(", ...");
    }
    (!missing.is_empty())
        .then(|| format!("{} of {wanted} files are missing: {names}", missing.len()))
}

/// The number of the part that a file of vectors is, if it is named as ours are.
pub(crate) fn part_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    part_of_name(name).map(|(number, _)| number)
}

/// What identifies a corpus whatever machine it lies on: its stamp without times.
pub(crate) fn corpus_settings(stamp: &str) -> Value {
    let mut stamp = serde_json::from_str(stamp).unwrap_or_else(|_| json!(stamp));
    if let Some(source) = stamp.get_mut("source").and_then(Value::as_object_mut) {
        source.retain(|key, _| !key.starts_with("mtime"));
    }
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(model: &str) -> Map<String, Value> {
        json!({"model": model}).as_object().unwrap().clone()
    }

    fn open(dir: &Path, model: &str, shard: &str, overwrite: bool) -> anyhow::Result<Parts> {
        Parts::open(
            dir,
            "npy",
            settings(model),
            10,
            shard.parse().unwrap(),
            overwrite,
        )
    }

    #[test]
    fn shards_take_turns_and_finished_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = |shard: &str| -> Vec<u64> {
            let parts = open(dir.path(), "m", shard, false).unwrap();
            (0..50).step_by(10).filter(|it| parts.wanted(*it)).collect()
        };
        assert_eq!(wanted("0/1"), [0, 10, 20, 30, 40]);
        assert_eq!(wanted("1/2"), [10, 30]);
        fs::write(dir.path().join("part-00001.ids"), "").unwrap();
        fs::write(dir.path().join("part-00003.npy.tmp"), "").unwrap();
        assert_eq!(wanted("1/2"), [10, 30]);
        fs::write(dir.path().join("part-00001.npy"), "").unwrap();
        assert_eq!(wanted("1/2"), [30]);
        assert_eq!(wanted("0/2"), [0, 20, 40]);
        assert_eq!(open(dir.path(), "m", "1/2", false).unwrap().kept(), 1);
    }

    #[test]
    fn a_folder_of_other_settings_is_kept_unless_told() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "m", "0/1", false)
            .unwrap()
            .complete(15)
            .unwrap();
        fs::write(dir.path().join("part-00000.npy"), "").unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        open(dir.path(), "m", "0/1", false).unwrap();
        let error = open(dir.path(), "n", "0/1", false).unwrap_err().to_string();
        assert!(error.contains(r#"`model` was "m", and is "n""#), "{error}");
        assert!(dir.path().join("part-00000.npy").exists());
        let parts = open(dir.path(), "n", "0/1", true).unwrap();
        assert!(parts.wanted(0) && dir.path().join("notes.txt").exists());
        assert!(!dir.path().join("part-00000.npy").exists());

        fs::write(dir.path().join("part-00000.npy"), "").unwrap();
        fs::remove_file(dir.path().join(SETTINGS)).unwrap();
        let error = open(dir.path(), "n", "0/1", false).unwrap_err().to_string();
        assert!(error.contains("without encode.json"), "{error}");
    }

    #[test]
    fn what_is_missing_of_a_folder_is_told() {
        let there = |parts: &[u64]| parts.iter().copied().collect::<BTreeSet<u64>>();
        let known = json!({"documents_per_file": 10, "documents": 25});
        let known = known.as_object().unwrap();
        assert_eq!(missing(known, &there(&[0, 1, 2])), None);
        let why = missing(known, &there(&[1])).unwrap();
        assert_eq!(why, "2 of 3 files are missing: part-00000, part-00002");
        let open = json!({"documents_per_file": 10});
        assert!(missing(open.as_object().unwrap(), &there(&[0])).is_some());
    }

    #[test]
    fn shards_are_fractions() {
        assert_eq!("3/4".parse(), Ok(Shard { index: 3, of: 4 }));
        for bad in ["4/4", "1", "/", "-1/2", "0/0", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_corpus_is_the_same_whenever_it_was_copied() {
        let stamp = |mtime: u64| json!({"source": {"size": 7, "mtime": mtime, "mtime_ns": 1}, "id_field": "id"});
        let settings = |mtime| corpus_settings(&stamp(mtime).to_string());
        assert_eq!(settings(1), settings(2));
        assert_eq!(settings(1)["source"], json!({"size": 7}));
    }
}
