//! The log: on stderr, as text or JSON, as much as `RUST_LOG` says.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::args::LogFormat;
use crate::failure::wrong;

static WARNINGS_ONLY: AtomicBool = AtomicBool::new(false);

/// Starts the log. `default` is what is logged when `RUST_LOG` does not say.
///
/// # Errors
/// When `RUST_LOG` means nothing.
pub(crate) fn start(format: LogFormat, default: &str) -> anyhow::Result<()> {
    let said = std::env::var("RUST_LOG")
        .ok()
        .filter(|said| !said.trim().is_empty());
    let filter = EnvFilter::try_new(said.as_deref().unwrap_or(default)).map_err(|why| {
        wrong(format!(
            "RUST_LOG is wrong: {why}; give a level such as `info`, or `target=level,...`"
        ))
    })?;
    let layer = fmt::layer().with_writer(AroundBars);
    let layer = match format {
        LogFormat::Text => layer
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let quiet = dynamic_filter_fn(|metadata, _| {
        !WARNINGS_ONLY.load(Ordering::Relaxed) || *metadata.level() <= Level::WARN
    });
    let started = registry()
        .with(layer.with_filter(quiet))
        .with(filter)
        .try_init();
    started.map_err(|why| anyhow::anyhow!("the log cannot be started: {why}"))
}

/// Does `work`, of which only warnings and errors are logged: for work that only tries something.
pub(crate) fn warnings_only<T>(work: impl FnOnce() -> T) -> T {
    WARNINGS_ONLY.store(true, Ordering::Relaxed);
    let value = work();
    WARNINGS_ONLY.store(false, Ordering::Relaxed);
    value
}

/// Writes to stderr so that lines and progress bars do not run into each other.
#[derive(Clone, Copy)]
struct AroundBars;

impl Write for AroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::progress::bars().suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl MakeWriter<'_> for AroundBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
