//! What opens models, so that services which name the same one share it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_core::Result;
use routir_hub::Hub;

use crate::dense::{DenseEncoder, DenseSpec};
use crate::files::ModelFiles;
use crate::gpu::OnGpu;
use crate::graph::Graph;
use crate::heads::{
    CrossEncoder, CrossEncoderSpec, SparseEncoder, SparseSpec, TokenEncoder, TokenSpec,
    YesNoScorer, YesNoSpec,
};
use crate::library::OnnxRuntime;
use crate::shared::Shared;
use crate::text_model::TextModel;
use crate::tokenizer::TextTokenizer;

/// What all models share.
#[derive(Clone, Debug)]
pub struct ComputeSettings {
    /// The ONNX Runtime library; otherwise see [`OnnxRuntime::load`].
    pub onnxruntime: Option<PathBuf>,
    /// How many threads all models share; otherwise the number of cores.
    pub threads: Option<usize>,
    /// The most tokens of one call of a model, padding included. A longer text goes alone.
    pub max_batch_tokens: usize,
    /// Where models of a hub come from.
    pub hub: Hub,
}

impl Default for ComputeSettings {
    /// ONNX Runtime where it is found, all cores, 4096 tokens, the hub of the environment.
    fn default() -> Self {
        Self {
            onnxruntime: None,
            threads: None,
            max_batch_tokens: 4096,
            hub: Hub::from_env(),
        }
    }
}

/// Opens models. What was opened with equal specifications is one model in memory, for as long as
/// somebody has it; models that only differ in how they are used share their graph and tokenizer.
#[derive(Clone)]
pub struct Compute {
    settings: ComputeSettings,
    shared: Arc<Shared>,
    place: Option<OnGpu>,
}

impl Compute {
    /// Opens nothing yet: a server without models needs no ONNX Runtime.
    #[must_use]
    pub fn new(settings: ComputeSettings) -> Self {
        Self {
            settings,
            shared: Arc::default(),
            place: None,
        }
    }

    /// The same, but what it opens from now on is put on a GPU. Models and graphs are shared by
    /// those who put them on the same one in the same manner; the first says how much memory they
    /// may use.
    #[must_use]
    pub fn on(&self, place: OnGpu) -> Self {
        Self {
            place: Some(place),
            ..self.clone()
        }
    }

    /// ONNX Runtime, loaded on the first call.
    ///
    /// # Errors
    /// As [`OnnxRuntime::load`].
    pub fn runtime(&self) -> Result<Arc<OnnxRuntime>> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.settings.threads.unwrap_or_else(cores);
        OnnxRuntime::load(self.settings.onnxruntime.as_deref(), threads)
    }

    /// A dense encoder.
    ///
    /// # Errors
    /// When ONNX Runtime or the model is missing or damaged, or they do not fit the specification.
    pub fn dense(&self, spec: &DenseSpec) -> Result<Arc<DenseEncoder>> {
        self.shared(spec, || DenseEncoder::open(self, spec))
    }

    /// A late-interaction model.
    ///
    /// # Errors
    /// As [`Compute::dense`].
    pub fn late(&self, spec: &TokenSpec) -> Result<Arc<TokenEncoder>> {
        self.shared(spec, || TokenEncoder::open(self, spec))
    }

    /// A learned sparse encoder.
    ///
    /// # Errors
    /// As [`Compute::dense`].
    pub fn sparse(&self, spec: &SparseSpec) -> Result<Arc<SparseEncoder>> {
        self.shared(spec, || SparseEncoder::open(self, spec))
    }

    /// A cross-encoder.
    ///
    /// # Errors
    /// As [`Compute::dense`].
    pub fn cross_encoder(&self, spec: &CrossEncoderSpec) -> Result<Arc<CrossEncoder>> {
        self.shared(spec, || CrossEncoder::open(self, spec))
    }

    /// A reranker that says yes or no.
    ///
    /// # Errors
    /// As [`Compute::dense`].
    pub fn yes_no(&self, spec: &YesNoSpec) -> Result<Arc<YesNoScorer>> {
        self.shared(spec, || YesNoScorer::open(self, spec))
    }

    /// The graph of a file.
    ///
    /// # Errors
    /// As [`Graph::open`] and [`OnnxRuntime::load`].
    pub fn graph(&self, path: &Path) -> Result<Arc<Graph>> {
        let runtime = self.runtime()?;
        let place = self.place.as_ref();
        let most = self.max_batch_tokens();
        self.shared(&real(path), || Graph::open(runtime, path, place, most))
    }

    /// The tokenizer of a file.
    ///
    /// # Errors
    /// As [`TextTokenizer::open`].
    pub fn tokenizer(&self, path: &Path) -> Result<Arc<TextTokenizer>> {
        self.shared.get(&real(path), || TextTokenizer::open(path))
    }

    /// The first graph of a model with its tokenizer: see [`TextModel::new`].
    ///
    /// # Errors
    /// When one of them does not open or does not fit.
    pub(crate) fn text_model(
        &self,
        files: &ModelFiles,
        max_tokens: usize,
        more: &[&str],
    ) -> Result<TextModel> {
        let graph = self.graph(files.graph())?;
        TextModel::new(graph, self.tokenizer(&files.tokenizer())?, max_tokens, more)
    }

    /// The thing of `spec`, opened by `open` unless somebody has it.
    pub(crate) fn shared<S, T>(&self, spec: &S, open: impl FnOnce() -> Result<T>) -> Result<Arc<T>>
    where
        S: Clone + Eq + std::hash::Hash + Send + 'static,
        T: Send + Sync + 'static,
    {
        let place = self.place.as_ref();
        let place = place.map(|place| (place.gpu.number(), place.options.clone()));
        self.shared.get(&(place, spec.clone()), open)
    }

    /// Where models of a hub come from.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.settings.hub
    }

    pub(crate) fn max_batch_tokens(&self) -> usize {
        self.settings.max_batch_tokens.max(1)
    }
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compute")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
