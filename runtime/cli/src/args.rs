//! The command line: every flag, with the texts of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Serves retrieval pipelines: search, rerank, fuse.
///
/// `routir-rt CONFIG` serves what the configuration describes; the other commands check
/// configurations, show how a pipeline runs, produce and evaluate runs, and ask a server.
#[derive(Debug, Parser)]
#[command(name = "routir-rt", version, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
#[command(
    after_help = "Exit status: 0 done; 1 something failed; 2 the command line, the \
    configuration or another input file is wrong.\nA file named like a command is given as \
    ./NAME. The log goes to stderr; RUST_LOG says what of it."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// How log lines on stderr are written.
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a configuration over REST and gRPC; the same as `routir-rt CONFIG`.
    Serve(Serve),
    /// Say what is wrong with a configuration, without serving it or building an index.
    Check(Check),
    /// Print the JSON schema of the configuration file.
    Schema,
    /// Show the plan of a pipeline, without running it or building an index.
    Explain(Explain),
    /// Run a pipeline over a file of topics and write a TREC run or JSON lines.
    Run(Run),
    /// Measure a run against relevance judgements, by trec_eval's definitions.
    Eval(Eval),
    /// Ask a running server one query and show what it finds.
    Query(Query),
    /// Make vectors of documents with a model, into files.
    Encode(crate::encode::Encode),
    /// Build an index that services search.
    Index(crate::index::Index),
    /// Build ahead what a start would have to build first.
    Warmup(crate::warmup::Warmup),
    /// Show which GPUs there are and what would run on them.
    Devices(crate::devices::Show),
    /// Make, check and try extensions.
    Ext(crate::ext::Ext),
    /// Serve as the front of many workers.
    Router(crate::router::Router),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration: a path, or the JSON itself.
    // The subcommands do without it, so its type does too.
    #[arg(value_name = "CONFIG", required = true)]
    pub(crate) config: Option<String>,
    /// The port to listen on; 0 takes a free one and says which.
    #[arg(long, default_value_t = 5000)]
    pub(crate) port: u16,
    /// The address to listen on; 127.0.0.1 is reachable from this machine only.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) host: String,
    #[command(flatten)]
    pub(crate) cache: CacheDir,
    #[command(flatten)]
    pub(crate) key: Key,
    /// Serve gRPC too.
    #[arg(long)]
    pub(crate) grpc: bool,
    /// The port of gRPC; 0 takes a free one and says which.
    #[arg(
        long,
        default_value_t = 50051,
        value_name = "PORT",
        alias = "grpc_port"
    )]
    pub(crate) grpc_port: u16,
    /// The largest gRPC message, in MiB.
    #[arg(
        long,
        value_parser = clap::value_parser!(u32).range(1..=1024),
        default_value_t = 64,
        value_name = "MIB",
        alias = "grpc_max_message_mb"
    )]
    pub(crate) grpc_max_message_mb: u32,
}

#[derive(Debug, Args)]
pub(crate) struct CacheDir {
    /// Where indices are kept that the configuration gives no place of their own.
    #[arg(
        long = "cache_dir",
        alias = "cache-dir",
        default_value = "./.cache",
        value_name = "DIR"
    )]
    pub(crate) cache_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The key that requests bear: `Authorization: Bearer KEY`. Better given in the environment,
    /// where other users of the machine do not see it.
    #[arg(
        long = "api_key",
        alias = "api-key",
        env = "ROUTIR_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub(crate) api_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration: a path, or the JSON itself.
    #[arg(value_name = "CONFIG")]
    pub(crate) config: String,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CheckFormat,
}

/// How `check` tells its result.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum CheckFormat {
    /// A line per problem on stderr.
    #[default]
    Text,
    /// A JSON object on stdout, for editors and scripts.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The configuration: a path, or the JSON itself.
    #[arg(value_name = "CONFIG")]
    pub(crate) config: String,
    /// The pipeline, or the name of a configured alias.
    #[arg(value_name = "PIPELINE")]
    pub(crate) pipeline: String,
    /// The collection whose documents rerank stages read; may be left out when there is only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// How the plan is shown.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PlanFormat,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum PlanFormat {
    /// A tree.
    #[default]
    Text,
    /// The plan's graph.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The output stands in the topics' order. Topics that fail are named at \
    the end, with exit status 1; the others are kept. After an interruption, even a killed \
    process, the same command with --resume goes on where it stopped and tries failed topics \
    again."
)]
pub(crate) struct Run {
    /// The configuration whose pipeline runs in this process: a path, or the JSON itself.
    #[arg(
        value_name = "CONFIG",
        required_unless_present = "server",
        conflicts_with = "server"
    )]
    pub(crate) config: Option<String>,
    /// Ask this server instead, such as http://localhost:5000.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The topics: `id<TAB>text` lines, JSON lines or TREC's `<top>` blocks; may be compressed with
    /// gzip.
    #[arg(long, value_name = "FILE")]
    pub(crate) topics: PathBuf,
    /// The pipeline, or the name of a configured alias.
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) pipeline: String,
    /// The collection whose documents rerank stages read; in process it may be left out when there
    /// is only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// Where to write; `-` is stdout.
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: RunFormat,
    /// The system's name in a TREC run.
    #[arg(long, default_value = "routir-rt")]
    pub(crate) tag: String,
    /// How many topics are asked at once.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
    /// How many documents are kept per topic. Stands for `%N` behind the last stage when the
    /// pipeline has none there; other stages keep their own limits.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) limit: usize,
    /// Keep the topics that are complete in the output file and run the others.
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) cache: CacheDir,
    #[command(flatten)]
    pub(crate) key: Key,
}

/// The format of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunFormat {
    /// TREC's six columns: topic, Q0, document, rank, score, tag.
    #[default]
    Trec,
    /// One JSON object per topic, in the form of RoutIR's tools.
    Jsonl,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Measures: num_q, num_ret, num_rel, num_rel_ret, MAP, Rprec, bpref, MRR, \
    nDCG, and with a cut-off nDCG@10, P@10, R@1000, MAP@100, MRR@10, success@5; trec_eval's own \
    names (ndcg_cut_10, recip_rank) are understood too."
)]
pub(crate) struct Eval {
    /// The run: TREC's six columns or JSON lines; may be compressed with gzip.
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The judgements: `topic 0 document grade` lines.
    #[arg(value_name = "QRELS")]
    pub(crate) qrels: PathBuf,
    /// The measures, separated by commas.
    #[arg(long, short, value_name = "LIST", value_delimiter = ',')]
    pub(crate) measures: Vec<String>,
    /// Show every topic, not only the mean.
    #[arg(long, short = 'q')]
    pub(crate) per_topic: bool,
    /// How the values are shown.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: EvalFormat,
    /// The lowest grade that counts as relevant (trec_eval's -l).
    #[arg(long, short = 'l', default_value_t = 1, value_name = "GRADE")]
    pub(crate) relevance_level: u32,
    /// Leave judged topics out that the run does not have, as trec_eval does without -c; otherwise
    /// they count with 0.
    #[arg(long)]
    pub(crate) skip_missing: bool,
}

/// How measures are shown.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum EvalFormat {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON object.
    Json,
    /// `measure<TAB>topic<TAB>value` lines, as trec_eval writes them.
    Tsv,
}

#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The query; a server's URL may stand before it.
    #[arg(value_name = "[URL] TEXT", required = true, num_args = 1..)]
    pub(crate) words: Vec<String>,
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://localhost:5000")]
    pub(crate) server: String,
    /// The pipeline, or the name of an alias; may be left out when the server has only one service
    /// that searches.
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) pipeline: Option<String>,
    /// The collection of the documents; may be left out when the server has only one.
    #[arg(long, value_name = "NAME")]
    pub(crate) collection: Option<String>,
    /// How many documents to show. Stands for `%N` behind the last stage when the pipeline has
    /// none there.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) key: Key,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn routirs_flags_and_their_dashed_forms_are_understood() {
        let underscored = [
            "routir-rt",
            "c.json",
            "--port",
            "1",
            "--host",
            "::1",
            "--cache_dir",
            "d",
            "--api_key",
            "k",
            "--grpc",
            "--grpc-port",
            "2",
            "--grpc-max-message-mb",
            "3",
        ];
        let dashed = underscored.map(|word| match word {
            "--cache_dir" => "--cache-dir",
            "--api_key" => "--api-key",
            word => word,
        });
        for words in [underscored, dashed] {
            let serve = Cli::try_parse_from(words).unwrap().serve;
            assert_eq!(
                (serve.config.as_deref(), serve.port, serve.host.as_str()),
                (Some("c.json"), 1, "::1")
            );
            assert_eq!(serve.cache.cache_dir, PathBuf::from("d"));
            assert_eq!(serve.key.api_key.as_deref(), Some("k"));
            assert!(serve.grpc);
            assert_eq!((serve.grpc_port, serve.grpc_max_message_mb), (2, 3));
        }
    }

    #[test]
    fn serving_is_what_happens_without_a_command() {
        let plain = Cli::try_parse_from(["routir-rt", "{}"]).unwrap();
        assert!(plain.command.is_none());
        assert_eq!(plain.serve.port, 5000);
        let named = Cli::try_parse_from(["routir-rt", "serve", "{}"]).unwrap();
        assert!(
            matches!(named.command, Some(Command::Serve(serve)) if serve.config.as_deref() == Some("{}"))
        );
        assert!(Cli::try_parse_from(["routir-rt"]).is_err());
    }
}
