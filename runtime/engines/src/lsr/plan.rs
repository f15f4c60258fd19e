//! What the configuration of `LSR` says.

use std::path::PathBuf;

use routir_compute::SparseSpec;
use routir_core::Result;
use serde_json::{Map, Value};

use super::fill::Fill;
use crate::build::BuildEnv;
use crate::check::built_here;
use crate::models::{ModelKeys, ModelPlace, source};
use crate::options::Options;

/// What to open and how to use it.
pub(super) struct Plan {
    /// The model, as the configuration names it.
    pub(super) named: String,
    /// The model as it reads queries.
    pub(super) model: SparseSpec,
    /// The model as it reads documents.
    pub(super) documents: SparseSpec,
    pub(super) place: ModelPlace,
    pub(super) index: PathBuf,
    /// How to build the index, when it is to be built.
    pub(super) fill: Option<Fill>,
    pub(super) alpha: f64,
    pub(super) subsets: Option<PathBuf>,
}

impl Plan {
    /// Reads it, all mistakes at once.
    /// Of an encoder alone, which has no index, `index` stays empty.
    pub(super) fn read(
        config: &Map<String, Value>,
        env: &BuildEnv<'_>,
        alone: bool,
    ) -> Result<Self> {
        let mut options = Options::new(config);
        let keys = ModelKeys::read(&mut options);
        options.number("k_scale");
        let model = options.text("model_name");
        let model = options.require("model_name", model).unwrap_or_default();
        let mut index = options.text("index_path");
        if !alone {
            index = options.require("index_path", index);
        }
        let index = index.unwrap_or_default();
        let max_tokens = options.count("max_length");
        let max_terms = options.count("max_terms");
        let alpha = options.number("alpha").unwrap_or(1.0);
        if !(alpha > 0.0 && alpha <= 1.0) {
            options.problem(format!(
                "`alpha` must be above 0 and at most 1, not {alpha}"
            ));
        }
        let subsets = options.text("id_to_subset_mapping");
        let build = options.flag("build").unwrap_or(false);
        if build {
            built_here(&mut options, Some(index));
        }
        let collection = options.text("collection").map(str::to_owned);
        let view = options.text("view").map(str::to_owned);
        if !build && (collection.is_some() || view.is_some()) {
            options.problem(
                "`collection` and `view` are those of an index to build; set `build` to true",
            );
        }
        options.finish()?;
        // A document is read whole, and all its terms count: limits are for queries.
        let documents = SparseSpec {
            file: keys.file.map(str::to_owned),
            ..SparseSpec::new(source(model, keys.file, env)?)
        };
        Ok(Self {
            named: model.to_owned(),
            model: SparseSpec {
                max_tokens,
                max_terms,
                ..documents.clone()
            },
            documents: documents.clone(),
            place: keys.place,
            index: (env.resolve_path)(index),
            fill: build.then_some(Fill {
                collection,
                view,
                model: documents,
            }),
            alpha,
            subsets: subsets.map(|path| (env.resolve_path)(path)),
        })
    }
}
