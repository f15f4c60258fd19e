//! The router's flags: those of SIE's router, and a file for the rest.

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use crate::args::LogFormat;

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Router {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve.
    Serve(Box<Serve>),
    /// Print the JSON schema of the router's file.
    Schema,
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    after_help = "Flags win over the environment, the environment over the file. Further \
    variables: SIE_ROUTER_CONFIGURED_GPUS, SIE_ROUTER_MACHINE_PROFILES, SIE_ROUTER_FILL_FIRST, \
    SIE_ROUTER_AFFINITY_SPILL, SIE_ROUTER_AFFINITY_SPILL_THRESHOLD, SIE_BUNDLES_DIR, \
    SIE_MODELS_DIR, SIE_AUTH_MODE, SIE_AUTH_TOKENS, SIE_AUTH_TOKEN, SIE_ADMIN_TOKEN, \
    SIE_AUTH_EXEMPT_OPERATIONAL, ROUTIR_WORKER_API_KEY."
)]
pub(crate) struct Serve {
    /// The port to listen on; 0 takes a free one and says which.
    #[arg(long, short, default_value_t = 8081)]
    pub(crate) port: u16,
    /// The address to listen on.
    #[arg(long, short, default_value = "0.0.0.0")]
    pub(crate) host: String,
    /// A worker's base URL; may be given several times.
    #[arg(
        long = "worker",
        short = 'w',
        value_name = "URL",
        env = "SIE_ROUTER_WORKERS",
        value_delimiter = ','
    )]
    pub(crate) workers: Vec<String>,
    /// Find workers in the Kubernetes cluster, and keep pools there.
    #[arg(long, short, env = "SIE_ROUTER_KUBERNETES", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) kubernetes: Option<bool>,
    /// The namespace of the workers' service, and of pools; `default` when nothing says so.
    #[arg(long, value_name = "NAME", env = "SIE_ROUTER_K8S_NAMESPACE")]
    pub(crate) k8s_namespace: Option<String>,
    /// The workers' headless service; `sie-worker` when nothing says so.
    #[arg(long, value_name = "NAME", env = "SIE_ROUTER_K8S_SERVICE")]
    pub(crate) k8s_service: Option<String>,
    /// The port that workers listen on; 8080 when nothing says so.
    #[arg(long, value_name = "PORT", env = "SIE_ROUTER_K8S_PORT")]
    pub(crate) k8s_port: Option<u16>,
    /// How much is logged.
    #[arg(
        long,
        short,
        value_enum,
        ignore_case = true,
        default_value_t,
        env = "SIE_LOG_LEVEL",
        value_name = "LEVEL"
    )]
    pub(crate) log_level: LogLevel,
    /// Log lines as JSON objects.
    #[arg(long, env = "SIE_LOG_JSON", value_parser = clap::builder::FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) json_logs: bool,
    /// Taken for the sake of SIE's command lines; files are read at the start alone.
    #[arg(long, short, hide = true)]
    pub(crate) reload: bool,
    /// What flags and environment do not say: a path, or the JSON itself.
    #[arg(long, short, value_name = "FILE", env = "ROUTIR_ROUTER_CONFIG")]
    pub(crate) config: Option<String>,
    /// Serve RoutIR's gRPC too, for workers that do.
    #[arg(long)]
    pub(crate) grpc: bool,
    /// The port of gRPC; 0 takes a free one and says which.
    #[arg(long, default_value_t = 50051, value_name = "PORT")]
    pub(crate) grpc_port: u16,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// How much is logged, by Python's names too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Everything.
    Trace,
    /// What happens to every request.
    Debug,
    /// What happens to the router and its workers, and the audit.
    #[default]
    Info,
    /// What should not happen.
    #[value(alias = "warn")]
    Warning,
    /// What went wrong.
    #[value(alias = "critical")]
    Error,
}

impl Router {
    /// How the log is written, unless `said` decides, and how much is logged.
    pub(crate) fn log(&self, said: LogFormat) -> (LogFormat, &'static str) {
        let Command::Serve(serve) = &self.command else {
            return (said, "warn");
        };
        let format = if serve.json_logs {
            LogFormat::Json
        } else {
            said
        };
        let level = match serve.log_level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warning => "warn",
            LogLevel::Error => "error",
        };
        (format, level)
    }
}
