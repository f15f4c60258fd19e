//! What the configuration of `PLAIDX` says.

use std::path::PathBuf;

use routir_compute::TokenSpec;
use routir_core::{Error, Result};
use routir_index::late::LateBits;
use serde_json::{Map, Value};

use super::fill::Fill;
use crate::build::BuildEnv;
use crate::check::built_here;
use crate::index_place::IndexPlace;
use crate::models::{ModelKeys, ModelPlace, source};
use crate::options::Options;

/// How RoutIR cuts passages that are scored, in tokens.
const WINDOW: usize = 180;
const STRIDE: usize = 90;

/// What to open and how to use it.
pub(super) struct Plan {
    /// The model, as the configuration names it.
    pub(super) named: String,
    pub(super) model: TokenSpec,
    pub(super) place: ModelPlace,
    /// Where the index's token vectors lie, and MaxSim is computed.
    pub(super) vectors: IndexPlace,
    pub(super) index: Option<PathBuf>,
    /// How to build the index, when it is to be built.
    pub(super) fill: Option<Fill>,
    pub(super) probes: Option<usize>,
    pub(super) rerank: Option<usize>,
    pub(super) mapping: Option<PathBuf>,
    pub(super) passage_ids: bool,
    pub(super) subsets: Option<PathBuf>,
    pub(super) window: usize,
    pub(super) stride: usize,
}

impl Plan {
    /// Reads it, all mistakes at once.
    pub(super) fn read(config: &Map<String, Value>, env: &BuildEnv<'_>) -> Result<Self> {
        let mut options = Options::new(config);
        let keys = ModelKeys::read(&mut options);
        let vectors = IndexPlace::read(&mut options, Some(&keys.place));
        if vectors.is_several() {
            options.problem("`index_device`: token vectors lie on one device; name one");
        }
        for ignored in ["inference_batch_size", "passage_batch_size"] {
            options.count(ignored);
        }
        options.number("gpu_assignment");
        options.refuse(
            "xmod_language",
            "models that switch languages are not supported; leave it out",
        );
        let checkpoint = options.text("checkpoint");
        let model = options.text("model").or(checkpoint);
        if model.is_none()
            && !["checkpoint", "model"]
                .iter()
                .any(|key| config.contains_key(*key))
        {
            options.problem("`checkpoint` is missing: the model that encodes queries");
        }
        let path = |text: Option<&str>| text.map(|text| (env.resolve_path)(text));
        let index_path = options.text("index_path");
        let index = path(index_path);
        let probes = options.count("probes");
        let rerank = options.count("rerank");
        let mapping = path(options.text("passage_mapping"));
        let passage_ids = options
            .flag("mapping_containing_passage_id")
            .unwrap_or(true);
        let subsets = path(options.text("id_to_subset_mapping"));
        let window = options.count("sliding_window_size").unwrap_or(WINDOW);
        let stride = options.count("sliding_window_stride").unwrap_or(STRIDE);
        let query_tokens = options.count("query_maxlen");
        let document_tokens = options.count("doc_maxlen");
        let query_marker = options.text("query_marker").map(str::to_owned);
        let document_marker = options.text("document_marker").map(str::to_owned);
        let expand = options.flag("expand_queries");
        let attend_to_expansion = options.flag("attend_to_mask_tokens");
        let skip_punctuation = options.flag("mask_punctuation");
        let build = options.flag("build").unwrap_or(false);
        let collection = options.text("collection").map(str::to_owned);
        let view = options.text("view").map(str::to_owned);
        let bits = bits(&mut options);
        if build {
            built_here(&mut options, index_path);
        }
        if build && index.is_none() {
            options
                .problem("`build` is true and `index_path` is missing: where the index is to lie");
        }
        if !build && (collection.is_some() || view.is_some() || bits.is_some()) {
            options.problem("`collection`, `view` and `bits` are those of an index to build; set `build` to true");
        }
        options.finish()?;
        let Some(model) = model else {
            return Err(Error::internal("a missing key went unnoticed"));
        };
        let named = model.to_owned();
        let model = TokenSpec {
            file: keys.file.map(str::to_owned),
            query_tokens,
            document_tokens,
            query_marker,
            document_marker,
            expand,
            attend_to_expansion,
            skip_punctuation,
            ..TokenSpec::new(source(model, keys.file, env)?)
        };
        let fill = build.then_some(Fill {
            collection,
            view,
            bits: bits.unwrap_or_default(),
            model: model.clone(),
        });
        Ok(Self {
            named,
            model,
            place: keys.place,
            vectors,
            index,
            fill,
            probes,
            rerank,
            mapping,
            passage_ids,
            subsets,
            window,
            stride,
        })
    }
}

fn bits(options: &mut Options<'_>) -> Option<LateBits> {
    let count = options.count("bits")?;
    let bits = u8::try_from(count)
        .ok()
        .and_then(|count| LateBits::try_from(count).ok());
    if bits.is_none() {
        options.problem(format!("`bits` must be 2, 4 or 16, not {count}"));
    }
    bits
}
