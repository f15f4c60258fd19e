//! The flags of `index`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use routir_index::faiss::Metric;
use routir_index::late::LateBits;

use crate::encode::args::ModelArgs;
use crate::encode::corpus::Documents;

/// `index`.
#[derive(Debug, Args)]
pub(crate) struct Index {
    #[command(subcommand)]
    pub(crate) kind: Kind,
}

/// What is built.
#[derive(Debug, Subcommand)]
pub(crate) enum Kind {
    /// A FAISS index of vectors, for the engines `SentenceTransformerEngine` and `Qwen3`.
    Faiss(Vectors),
    /// An inverted index of words, for the engine `BM25`.
    Bm25(Bm25),
    /// A late-interaction index of one vector per token, for the engine `PLAIDX`.
    Late(Late),
    /// An index of learned term weights, for the engine `LSR`.
    Sparse(Sparse),
}

/// `index bm25`.
#[derive(Debug, Args)]
#[command(
    after_help = "A service finds it with \"index_path\": DIR. The engine `BM25` builds its index \
    itself at first start; this does it before, or elsewhere. An index that fits the documents is \
    left as it is."
)]
pub(crate) struct Bm25 {
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// The folder of the index.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// How many threads index; 1 to 8 are used.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// The memory for postings that are not on disk yet, in MB.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) memory_mb: Option<u32>,
}

/// `index late`.
#[derive(Debug, Args)]
#[command(
    after_help = "Documents are encoded on the way into the index, which is put in place when it \
    is whole. An interrupted build begins anew.\n\
    Documents that fail are named at the end, with exit status 1; the others are in the index."
)]
pub(crate) struct Late {
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// The folder of the index.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// How many bits are kept of each number of a token's vector: 2, 4 or 16.
    #[arg(long, default_value = "4", value_parser = bits)]
    pub(crate) bits: LateBits,
    /// How many centroids vectors are sorted by; about 16 times the root of the number of token
    /// vectors without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) centroids: Option<u32>,
    /// Replace the index that is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// `index sparse`.
#[derive(Debug, Args)]
#[command(
    after_help = "Documents are encoded on the way into the index, which is put in place when it \
    is whole. An interrupted build begins anew.\n\
    Documents that fail are named at the end, with exit status 1; the others are in the index."
)]
pub(crate) struct Sparse {
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// The folder of the index.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// FILE holds weights already, in lines such as {"id": "d1", "vector": {"term": 1.5}}, as
    /// Anserini and Pyserini index them; the model tells which terms there are.
    #[arg(long, conflicts_with_all = ["config", "max_terms"])]
    pub(crate) weights: bool,
    /// How many terms a document keeps, those with the largest weights; all without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_terms: Option<u32>,
    /// Replace the index that is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

fn bits(text: &str) -> Result<LateBits, String> {
    let bits = text.parse::<u8>().ok();
    let bits = bits.and_then(|bits| LateBits::try_from(bits).ok());
    bits.ok_or_else(|| "must be 2, 4 or 16".to_owned())
}

/// `index faiss`.
#[derive(Debug, Args)]
#[command(
    after_help = "DIR gets index.faiss and index.ids, as RoutIR's engines and ours read them, when \
    both are whole. A build that was interrupted goes on with what it has learned, when nothing has \
    changed. Vectors with numbers that are not finite are left out and counted.\n\
    Index strings: Flat (exact), HNSW32, IVF4096,SQ8, PQ96x4fs, \
    OPQ96,IVF65536_HNSW32,PQ96x4fs,RFlat; see docs/indexing.md."
)]
pub(crate) struct Vectors {
    /// Files of vectors, and folders of them: .npy with ids beside, .safetensors with ids beside,
    /// and the .npy of RoutIR's tools.
    #[arg(value_name = "FILE_OR_DIR", required = true)]
    pub(crate) vectors: Vec<PathBuf>,
    /// The folder of the index.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// FAISS's index factory string.
    #[arg(
        long,
        alias = "index_string",
        default_value = "Flat",
        value_name = "STRING"
    )]
    pub(crate) index_string: String,
    /// How vectors are compared.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) metric: MetricName,
    /// How many vectors are learned from; without it 256 for each centroid, and at least 65536.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "sampling_rate"
    )]
    pub(crate) sample: Option<u64>,
    /// The same as a share of all, such as 0.07.
    #[arg(long, alias = "sampling_rate", value_name = "SHARE", value_parser = share)]
    pub(crate) sampling_rate: Option<f64>,
    /// The tensor of safetensors files; without it `vectors`, else the only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// How many threads learn and add; all cores without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// The folder with FAISS, when it does not lie where it is looked for.
    #[arg(long, value_name = "DIR")]
    pub(crate) faiss: Option<PathBuf>,
    /// Replace the index that is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// How vectors are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricName {
    /// The inner product; of vectors of length 1, the cosine.
    #[default]
    Ip,
    /// The Euclidean distance.
    L2,
}

impl MetricName {
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::Ip => Metric::InnerProduct,
            Self::L2 => Metric::L2,
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|it| *it > 0.0 && *it <= 1.0);
    share.ok_or_else(|| "must be a share from above 0 to 1".to_owned())
}
