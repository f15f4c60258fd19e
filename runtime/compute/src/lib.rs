//! Models: ONNX sessions, tokenizers, encoders and rerankers. Tensors live here and nowhere else.
//!
//! Guards: all models together compute on a bounded number of threads; every text of a batch is
//! answered alone, in order; a vector that leaves is finite and of the size that the model promised.
//! Must never know: indices, services, queues, the async runtime. Everything here blocks; callers
//! bring the threads.

mod batches;
mod buckets;
mod calls;
mod compute;
mod dense;
mod files;
mod generation;
mod gpu;
mod graph;
mod heads;
mod library;
mod model;
mod pooling;
mod presets;
mod sentence;
mod shared;
mod source;
mod text_model;
mod tokenizer;
mod tokens;

pub use batches::batches;
pub use buckets::Buckets;
pub use compute::{Compute, ComputeSettings};
pub use dense::{DenseEncoder, DenseNumbers, DenseSpec};
pub use files::{GRAPH_FILES, ModelFiles, TOKENIZER_FILE};
pub use gpu::{Embedding, Gpu, GpuOptions, GpuQueue, GpuWork, OnGpu, PoolStates, Provider};
pub use graph::{Data, Element, Feed, Graph, Outputs, Port, TensorView};
pub use heads::{
    CrossEncoder, CrossEncoderSpec, SparseEncoder, SparseSpec, TokenEncoder, TokenSpec, YesNoKind,
    YesNoScore, YesNoScorer, YesNoSpec,
};
pub use library::{LEAST_VERSION, OnnxRuntime};
pub use model::Model;
pub use pooling::Pooling;
pub use presets::{
    DensePreset, LatePreset, RETRIEVAL_TASK, dense_preset, late_preset, yes_no_preset,
};
pub use source::ModelSource;
pub use text_model::{Padded, TextModel};
pub use tokenizer::TextTokenizer;
pub use tokens::Tokens;
