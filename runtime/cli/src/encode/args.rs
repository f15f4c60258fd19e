//! The flags of `encode`, and those of a model, which `index` has too.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use routir_compute::Pooling;
use routir_vectors::{Element, Format};

use super::corpus::Documents;
use super::parts::Shard;

/// `encode`.
#[derive(Debug, Args)]
#[command(
    after_help = "The documents with text are numbered; --output gets a file for each \
    --documents-per-file of them, whatever --shard says. A file is there when it is whole, so after \
    an interruption, even a killed process, the same command goes on with the files that are not \
    there, and processes with --shard 0/2 and 1/2 may share the work, on one machine or two.\n\
    Documents that fail are named at the end, with exit status 1; the others are kept."
)]
pub(crate) struct Encode {
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// The folder to write to.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The model's prompt that stands before every text; empty for none. Without it the first of
    /// `document`, `passage` and `corpus` that the model has, else its default prompt, if any.
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<String>,
    /// How the tokens' vectors become the document's: mean, cls, last_token, max or
    /// mean_sqrt_len; without it, as the model's own files say.
    #[arg(long, value_name = "NAME", value_parser = pooling)]
    pub(crate) pooling: Option<Pooling>,
    /// How many of a vector's first numbers are kept, for models that were trained for it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) truncate_dim: Option<u32>,
    /// Make vectors have length 1, whatever the model's own files say.
    #[arg(long)]
    pub(crate) normalize: bool,
    /// How the vectors are written.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: VectorFormat,
    /// The numbers that are written; f16 takes half the place.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dtype: Dtype,
    /// How many documents go into a file.
    #[arg(
        long,
        alias = "docs-per-file",
        default_value_t = 50_000,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) documents_per_file: u64,
    /// Encode only the files i, i + n, i + 2n, ...
    #[arg(
        long,
        value_name = "i/n",
        default_value = "0/1",
        hide_default_value = true
    )]
    pub(crate) shard: Shard,
    /// Remove what an earlier `encode` has written to the folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

fn pooling(name: &str) -> Result<Pooling, String> {
    Pooling::parse(name).map_err(|error| error.message().to_owned())
}

/// The model, and on what it computes.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model: a folder, or `hf:OWNER/NAME[@REVISION]` of the Hugging Face hub.
    #[arg(long, alias = "model-name", value_name = "MODEL")]
    pub(crate) model: String,
    /// The graph's file in the model, such as `model_int8.onnx`, when it has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) model_file: Option<String>,
    /// Where texts are cut, in tokens; without it, where the model's own files say.
    #[arg(long, alias = "max-length", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// The most tokens of one call of the model, padding included.
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_tokens: u32,
    /// How many threads the model computes on; all cores without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// The ONNX Runtime library, when it does not lie where it is looked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VectorFormat {
    /// numpy's arrays, with a file of ids beside each.
    #[default]
    Npy,
    /// safetensors, with a file of ids beside each.
    Safetensors,
    /// What RoutIR's tools write and read: `.npy` with a dictionary of `features` and `ids`.
    Routir,
}

impl VectorFormat {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Npy => Format::Npy,
            Self::Safetensors => Format::Safetensors,
            Self::Routir => Format::Routir,
        }
    }
}

/// The numbers that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// Single precision.
    #[default]
    F32,
    /// Half precision.
    F16,
}

impl Dtype {
    pub(crate) fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
        }
    }
}
