//! What all engines with models are told in the same words, and how opening a model is told.

use std::time::Instant;

use routir_compute::{ModelFiles, ModelSource};
use routir_core::Result;

use crate::build::{BuildEnv, Progress, Purpose};
use crate::options::Options;

/// Whatever can be run.
const ANY_GRAPH: &[&str] = &["*.onnx", "onnx/*.onnx"];

/// Keys of RoutIR's engines with models, and the graph's file.
pub(crate) struct ModelKeys<'a> {
    /// Which of the model's graphs.
    pub(crate) file: Option<&'a str>,
}

impl<'a> ModelKeys<'a> {
    /// Reads `file`; takes `name`, `batch_size` and `trust_remote_code`, which change nothing here;
    /// refuses a `device` that is not the processor.
    pub(crate) fn read(options: &mut Options<'a>) -> Self {
        options.text("name");
        options.count("batch_size");
        options.flag("trust_remote_code");
        let advice = "models compute on the processor here; leave it out";
        match options.text("device") {
            None | Some("cpu" | "auto") => {}
            Some(device) => options.problem(format!("`device` is `{device}`, but {advice}")),
        }
        if options.flag("use_gpu") == Some(true) {
            options.problem(format!("`use_gpu` is true, but {advice}"));
        }
        Self {
            file: options.text("file"),
        }
    }
}

/// The model that `name` means: a folder, relative as all paths of the configuration, else one of a
/// hub. In a check, a folder must have the graph called `file`, or some graph, and a tokenizer.
///
/// # Errors
/// When there is no such model.
pub(crate) fn source(name: &str, file: Option<&str>, env: &BuildEnv<'_>) -> Result<ModelSource> {
    let folder = (env.resolve_path)(name);
    let source = if folder.is_dir() {
        ModelSource::Folder(folder)
    } else {
        ModelSource::parse(name)?
    };
    if let (Purpose::Check(_), ModelSource::Folder(folder)) = (env.purpose, &source) {
        let named = file.map(|file| [file]);
        let graphs = named.as_ref().map_or(ANY_GRAPH, <[&str; 1]>::as_slice);
        ModelFiles::open(folder, &[graphs])?;
    }
    Ok(source)
}

/// Opens something large for `service`, telling that it does and how long it took.
///
/// # Errors
/// Those of `open`.
pub(crate) fn opening<T>(
    env: &BuildEnv<'_>,
    service: &str,
    task: &'static str,
    what: &dyn std::fmt::Display,
    open: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let progress = |done| {
        (env.progress)(Progress {
            service,
            task,
            done,
            total: 1,
        });
    };
    progress(0);
    let (started, resident) = (Instant::now(), resident_mb());
    let opened = open()?;
    let seconds = started.elapsed().as_secs_f64();
    let memory_mb = resident_mb()
        .zip(resident)
        .map(|(now, before)| now.saturating_sub(before));
    tracing::info!(
        service,
        %what,
        seconds = (seconds * 100.0).round() / 100.0,
        memory_mb,
        "{task}: done"
    );
    progress(1);
    Ok(opened)
}

/// The memory of this process, in MB, where the system tells.
fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}
