//! Collections with their documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_content::{Collection, CollectionParts, OpenOptions, Phase};
use routir_core::{DocumentScan, Error};
use routir_engines::Collections;

use super::outline::no_collection;
use crate::progress::{Progress, Unit};

/// Opens a collection, for as long as that takes.
pub(crate) fn open_collection(
    parts: &CollectionParts,
    progress: &Progress,
) -> Result<Collection, Error> {
    open_options(parts, progress, |options| {
        Collection::open_parts(parts, &options)
    })
}

/// Does `work` on a collection, which tells its progress.
pub(super) fn open_options<T>(
    parts: &CollectionParts,
    progress: &Progress,
    work: impl FnOnce(OpenOptions<'_>) -> T,
) -> T {
    let tell = |now: routir_content::Progress<'_>| {
        let doing = match now.phase {
            Phase::Unpacking => "unpacking",
            Phase::Indexing => "indexing",
            Phase::Loading => "loading",
        };
        let label = format!("collection {}: {doing} {}", parts.name, now.path.display());
        progress.tell(&label, now.bytes_done, now.bytes_total, Unit::Bytes);
    };
    let options = OpenOptions {
        progress: Some(&tell),
        ..OpenOptions::default()
    };
    let done = work(options);
    progress.finish();
    done
}

/// Collections that are open.
#[derive(Default)]
pub(super) struct Open(pub(super) BTreeMap<String, Collection>);

impl Open {
    /// How many documents each holds, where that can be known without a look at all of them: files
    /// and archives are only looked into for what is asked for.
    pub(super) fn documents(&self) -> BTreeMap<String, Option<usize>> {
        let count = |it: &Collection| it.scan(None).ok().map(|documents| documents.len());
        let counts = self.0.iter().map(|(name, it)| (name.clone(), count(it)));
        counts.collect()
    }
}

impl Collections for Open {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn scan(&self, collection: &str, view: Option<&str>) -> Result<Arc<dyn DocumentScan>, Error> {
        let names = self.0.keys().map(String::as_str);
        self.0
            .get(collection)
            .ok_or_else(|| no_collection(collection, names))?
            .scan(view)
    }
}
