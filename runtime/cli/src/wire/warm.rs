//! Building ahead what a start would have to build first.

use std::path::Path;
use std::time::{Duration, Instant};

use routir_content::Collection;

use super::open::open_options;
use super::{Blueprint, Trouble};
use crate::failure::wrong;
use crate::progress::Progress;

/// What is built ahead, and how.
pub(crate) struct Warmth<'a> {
    /// Only the views of this name.
    pub(crate) view: Option<&'a str>,
    /// How many threads read a corpus.
    pub(crate) workers: Option<usize>,
    /// Whether what fits is built anew.
    pub(crate) force: bool,
}

/// What is warm.
#[derive(Default)]
pub(crate) struct Warmed {
    pub(crate) views: Vec<WarmView>,
    /// How many services could be built.
    pub(crate) services: usize,
}

/// A view whose sidecars are there.
pub(crate) struct WarmView {
    pub(crate) collection: String,
    pub(crate) view: String,
    /// How many it has, if it knows.
    pub(crate) documents: Option<usize>,
    pub(crate) took: Duration,
}

impl Blueprint {
    /// Builds the sidecars of all collections and, unless only one view is wanted, the indices of
    /// engines. Must be called within a tokio runtime. Blocking.
    ///
    /// # Errors
    /// A view that no collection has; everything that stood in the way.
    pub(crate) fn warm_up(
        mut self,
        cache_dir: &Path,
        warmth: &Warmth<'_>,
        progress: &Progress,
    ) -> anyhow::Result<Warmed> {
        if let Some(view) = warmth.view {
            let mut views = self.parts.iter().flat_map(|parts| &parts.views);
            if !views.any(|it| it.name() == view) {
                return Err(wrong(format!("no collection has a view `{view}`")));
            }
        }
        self.fetch()?;
        let mut warmed = Warmed::default();
        let mut trouble = Trouble::default();
        for (i, parts) in self.parts.iter().enumerate() {
            let wanted = parts.views.iter().map(|view| view.name());
            let wanted = wanted.filter(|name| warmth.view.is_none_or(|view| view == *name));
            for view in wanted {
                let started = Instant::now();
                let built = open_options(parts, progress, |mut options| {
                    options.rebuild = warmth.force;
                    options.workers = warmth.workers.unwrap_or(options.workers);
                    Collection::warm_up(parts, view, &options)
                });
                match built {
                    Ok(documents) => warmed.views.push(WarmView {
                        collection: parts.name.clone(),
                        view: view.to_owned(),
                        documents,
                        took: started.elapsed(),
                    }),
                    Err(error) => {
                        trouble.add(&self.loaded, &format!("collections[{i}]"), &error);
                        break;
                    }
                }
            }
        }
        trouble.into_result(&self.loaded)?;
        if warmth.view.is_some() {
            return Ok(warmed);
        }
        warmed.services = self.loaded.config.services.len();
        self.build(cache_dir, progress)?;
        Ok(warmed)
    }
}
