//! The flags of `ext`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

/// Make, check and try extensions.
#[derive(Debug, Args)]
pub(crate) struct Ext {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start an extension from a template.
    New(New),
    /// Make a component of a core WebAssembly module, as compilers of C, Zig and others write it.
    Wrap(Wrap),
    /// Say whether a component would be admitted, and what its calls cost.
    Check(Check),
    /// Call a component once, with canned services or a configuration's.
    Run(Run),
    /// Time a component against the native fusion.
    Bench(Bench),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The folder to make; its name becomes the extension's.
    #[arg(value_name = "DIR")]
    pub(super) dir: PathBuf,
    /// The language.
    #[arg(long, value_name = "LANG", value_parser = languages())]
    pub(super) lang: String,
    /// What the extension does.
    #[arg(long, value_enum, default_value_t)]
    pub(super) world: World,
}

/// The languages that there are templates for.
fn languages() -> clap::builder::PossibleValuesParser {
    let mut names: Vec<_> = routir_guests::templates().iter().map(|t| t.lang).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}

/// What an extension does: the world that it exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum World {
    /// Makes one ranking of several.
    #[default]
    Fusion,
    /// Turns a query into sub-queries.
    Decomposer,
    /// Finds documents.
    Searcher,
    /// Scores passages.
    Scorer,
    /// Finds documents and scores passages.
    Engine,
}

impl World {
    /// Its name in WIT.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fusion => "fusion",
            Self::Decomposer => "decomposer",
            Self::Searcher => "searcher",
            Self::Scorer => "scorer",
            Self::Engine => "engine",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Wrap {
    /// The core module.
    #[arg(value_name = "CORE.WASM")]
    pub(super) module: PathBuf,
    /// The world that it implements.
    #[arg(long, value_enum, default_value_t)]
    pub(super) world: World,
    /// Where the component goes.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,
}

/// What a component may use and see, where it is tried.
#[derive(Debug, Args)]
pub(super) struct Allowed {
    /// Memory of an instance, in MiB.
    #[arg(long, value_name = "MIB")]
    pub(super) memory_mb: Option<u32>,
    /// The longest that a call may take, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub(super) time_ms: Option<u32>,
    /// Processor time of a call, in milliseconds.
    #[arg(long, value_name = "MS")]
    pub(super) cpu_ms: Option<u32>,
    /// Grant an empty WASI, as Go and Rust's wasm32-wasip2 need it.
    #[arg(long)]
    pub(super) wasi: bool,
    /// Grant clocks that go; with --wasi.
    #[arg(long, requires = "wasi")]
    pub(super) clock: bool,
    /// Grant randomness that is random; with --wasi.
    #[arg(long, requires = "wasi")]
    pub(super) randomness: bool,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The component.
    #[arg(value_name = "FILE.WASM")]
    pub(super) component: PathBuf,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) allowed: Allowed,
}

/// How a result is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A case is a JSON file: {\"query\", \"limit\", \"params\", and as the role needs \
    \"lists\": [{\"source\", \"hits\": [[id, score]]}] or \"passages\": [text]; what the host \
    answers: \"services\": {name: {\"search\": {query: [[id, score]]}, \"score\": {passage: \
    score}}}, \"collections\": {name: {id: text}}}. `*` stands for every other query or passage."
)]
pub(super) struct Run {
    /// The component.
    #[arg(value_name = "FILE.WASM")]
    pub(super) component: PathBuf,
    /// The call: a case, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    pub(super) case: PathBuf,
    /// Which of its roles is called, where it has several.
    #[arg(long, value_enum)]
    pub(super) role: Option<RoleName>,
    /// Answer host calls with the services of this configuration instead of the case's.
    #[arg(long, value_name = "CONFIG")]
    pub(super) config: Option<String>,
    #[command(flatten)]
    pub(super) cache: crate::args::CacheDir,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) allowed: Allowed,
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleName {
    /// `fuse`.
    Fuse,
    /// `decompose_query`.
    Decompose,
    /// `search`.
    Search,
    /// `score`.
    Score,
}

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The components: fusions, searchers, decomposers.
    #[arg(value_name = "FILE.WASM", required = true)]
    pub(super) components: Vec<PathBuf>,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub(super) seconds: f64,
    /// Parameters, as a JSON object, of a searcher or decomposer that asks for some. Its host has
    /// the services `bm25`, `dense` and `reranker` and the collection `docs`.
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(super) params: Option<Map<String, Value>>,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) allowed: Allowed,
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))
}
