//! Datasets that a configuration names: an index in one, documents in one.

use std::fmt;
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use crate::hub::{Hub, Kind, Repository};
use crate::names::{is_file, is_repository, is_revision};

/// What a path of the configuration begins with that is a dataset on the hub.
pub const PREFIX: &str = "hfds:";

/// The folder of a dataset that holds an index, as RoutIR has it.
const INDEX: &str = "index";
/// How files of documents end.
const DOCUMENTS: [&str; 3] = [".jsonl", ".jsonl.gz", ".jsonl.zst"];
/// How files end that hold documents in a form that is not read.
const OTHER: [&str; 3] = [".parquet", ".arrow", ".csv"];
/// The most files of an index, or of a segmented collection.
const MAX_FILES: usize = 10_000;

/// A dataset: `hfds:owner/name`, with `@revision` if it is not `main`, with `:path` if one of its
/// files or folders is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    name: String,
    revision: String,
    path: Option<String>,
}

impl Dataset {
    /// The dataset that `text` names; `None` when it does not begin with [`PREFIX`].
    ///
    /// # Errors
    /// When what follows names none.
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let rest = text.strip_prefix(PREFIX)?;
        let (rest, path) = match rest.split_once(':') {
            Some((rest, path)) => (rest, Some(path)),
            None => (rest, None),
        };
        let (name, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let sound = is_repository(name) && is_revision(revision) && path.is_none_or(is_file);
        Some(if sound {
            Ok(Self {
                name: name.to_owned(),
                revision: revision.to_owned(),
                path: path.map(str::to_owned),
            })
        } else {
            Err(Error::invalid(format!(
                "`{text}` names no dataset; it is `hfds:owner/name`, `hfds:owner/name@revision` or \
                 `hfds:owner/name:path/in/it`"
            )))
        })
    }

    /// The folder of the index in the dataset, `index` unless a path says another, fetched if need
    /// be. Blocking.
    ///
    /// # Errors
    /// When it cannot be had, or the dataset has no such folder.
    pub fn index(&self, hub: &Hub) -> Result<PathBuf> {
        let within = self.path.as_deref().unwrap_or(INDEX);
        let inside = format!("{within}/");
        let folder = self.fetch(hub, &|names| {
            let found = names.iter().filter(|name| name.starts_with(&inside));
            some(found, &format!("folder `{within}`"))
        })?;
        Ok(folder.join(within))
    }

    /// The file of documents in the dataset, fetched if need be. Blocking.
    ///
    /// # Errors
    /// When it cannot be had, or it is not clear which file is meant.
    pub fn documents(&self, hub: &Hub) -> Result<PathBuf> {
        let mut chosen = String::new();
        let chosen_one = std::cell::RefCell::new(&mut chosen);
        let folder = self.fetch(hub, &|names| {
            let one = self.one_of(names)?;
            chosen_one.borrow_mut().clone_from(&one);
            Ok(vec![one])
        })?;
        Ok(folder.join(chosen))
    }

    /// The folder of all files in the dataset whose names end in `end`, fetched if need be. Blocking.
    ///
    /// # Errors
    /// When they cannot be had, lie in several folders, or there are none.
    pub fn files(&self, hub: &Hub, end: &str) -> Result<PathBuf> {
        let mut within = PathBuf::new();
        let chosen = std::cell::RefCell::new(&mut within);
        let folder = self.fetch(hub, &|names| {
            let inside = self.path.as_ref().map(|path| format!("{path}/"));
            let inside = inside.unwrap_or_default();
            let fits = |name: &&String| name.starts_with(&inside) && name.ends_with(end);
            let found = some(names.iter().filter(fits), &format!("files `…{end}`"))?;
            let folder =
                |name: &String| Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
            let first = found.first().map(folder).unwrap_or_default();
            if found.iter().any(|name| folder(name) != first) {
                return Err(Error::invalid(format!(
                    "the dataset has files `…{end}` in several folders; say which: \
                     `hfds:{}:the/folder`",
                    self.name
                )));
            }
            **chosen.borrow_mut() = first;
            Ok(found)
        })?;
        Ok(folder.join(within))
    }

    fn one_of(&self, names: &[String]) -> Result<String> {
        if let Some(path) = &self.path {
            let found = names.iter().find(|name| *name == path);
            return found
                .cloned()
                .ok_or_else(|| Error::invalid(format!("the dataset has no file `{path}`")));
        }
        let ends = |ends: &[&str], name: &str| ends.iter().any(|end| name.ends_with(end));
        let fits = |name: &&String| ends(&DOCUMENTS, name) && !name.starts_with("index/");
        let found: Vec<_> = names.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] if names.iter().any(|name| ends(&OTHER, name)) => Err(Error::invalid(format!(
                "the dataset has no file of JSON lines, and no other form of documents is read; \
                 write one with Python's `datasets`, \
                 `load_dataset(\"{}\", split=\"train\").to_json(\"docs.jsonl\")`, and give its path",
                self.name
            ))),
            [] => Err(Error::invalid(
                "the dataset has no file of JSON lines (`.jsonl`, `.jsonl.gz` or `.jsonl.zst`)",
            )),
            several => {
                let shown = several.iter().take(5).map(|name| format!("`{name}`"));
                let shown = shown.collect::<Vec<_>>().join(", ");
                let more = if several.len() > 5 { ", …" } else { "" };
                Err(Error::invalid(format!(
                    "the dataset has {} files of documents ({shown}{more}); say which: \
                     `{self}:path/of/the/file`",
                    several.len()
                )))
            }
        }
    }

    fn fetch(
        &self,
        hub: &Hub,
        select: &dyn Fn(&[String]) -> Result<Vec<String>>,
    ) -> Result<PathBuf> {
        let repository = Repository {
            kind: Kind::Dataset,
            name: &self.name,
            revision: &self.revision,
        };
        hub.snapshot(repository, select)
            .map_err(|why| why.at(format_args!("dataset `{self}`")))
    }
}

/// What was found, unless that is nothing or too much.
fn some<'a>(found: impl Iterator<Item = &'a String>, what: &str) -> Result<Vec<String>> {
    let found: Vec<String> = found.take(MAX_FILES + 1).cloned().collect();
    if found.is_empty() {
        return Err(Error::invalid(format!("the dataset has no {what}")));
    }
    if found.len() > MAX_FILES {
        return Err(Error::invalid(format!(
            "the dataset has more than {MAX_FILES} files there, which is not an index"
        )));
    }
    Ok(found)
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name)?;
        if self.revision != "main" {
            write!(f, "@{}", self.revision)?;
        }
        self.path.iter().try_for_each(|path| write!(f, ":{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_are_written_as_they_are_read() {
        for text in [
            "hfds:a/b",
            "hfds:squad",
            "hfds:a/b@v1",
            "hfds:a/b@refs/pr/1:docs/all of them.jsonl",
        ] {
            assert_eq!(Dataset::parse(text).unwrap().unwrap().to_string(), text);
        }
        assert!(Dataset::parse("/data/corpus.jsonl").is_none());
        for text in [
            "hfds:",
            "hfds:../x",
            "hfds:a/b/c",
            "hfds:a/b:../x",
            "hfds:a/b:/etc/passwd",
            "hfds:a/b@../x",
            "hfds:a/b:",
        ] {
            assert!(Dataset::parse(text).unwrap().is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_of_documents_is_the_only_one_or_named() {
        let choose = |text: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Dataset::parse(text).unwrap().unwrap().one_of(&names)
        };
        let one = ["README.md", "data/docs.jsonl.gz", "index/docs.jsonl"];
        assert_eq!(choose("hfds:a/b", &one).unwrap(), "data/docs.jsonl.gz");
        let two = ["a.jsonl", "b.jsonl"];
        let error = choose("hfds:a/b@v1", &two).unwrap_err();
        assert!(error.message().contains("`hfds:a/b@v1:path"), "{error}");
        assert_eq!(choose("hfds:a/b:b.jsonl", &two).unwrap(), "b.jsonl");
        assert!(choose("hfds:a/b:c.jsonl", &two).is_err());
        let error = choose("hfds:a/b", &["data/train.parquet"]).unwrap_err();
        assert!(error.message().contains("to_json"), "{error}");
    }
}
