//! What the heads share: how the files of a model are opened, and what may leave it.

use routir_core::{Error, Result};

use crate::compute::Compute;
use crate::files::{GRAPH_FILES, ModelFiles};
use crate::sentence::{max_tokens, positions};
use crate::{Graph, ModelSource, TensorView};

/// How many numbers one run may answer, where it answers one for each token and term: 256 MiB.
const MOST_SCORES: usize = 64 << 20;

/// The files of a model with one graph.
pub(crate) fn files(
    compute: &Compute,
    source: &ModelSource,
    file: Option<&str>,
) -> Result<ModelFiles> {
    let named = file.map(|file| [file]);
    let names = named.as_ref().map_or(GRAPH_FILES, <[&str; 1]>::as_slice);
    source.files(compute.hub(), &[names])
}

/// What a model is called in messages.
pub(crate) fn name(source: &ModelSource, files: &ModelFiles) -> String {
    let graph = files.graph();
    let file = graph.strip_prefix(files.folder()).unwrap_or(graph);
    format!("{source}/{}", file.display())
}

/// The longest text: what is `asked` for, or else what the model's files say, but at most `usual`.
pub(super) fn limit(
    source: &ModelSource,
    files: &ModelFiles,
    asked: Option<usize>,
    usual: usize,
) -> Result<usize> {
    match (asked, positions(files)?) {
        (Some(asked), Some(most)) if asked > most => Err(Error::invalid(format!(
            "model `{source}`: {asked} tokens are more than the {most} positions that the model has"
        ))),
        (Some(asked), _) => Ok(asked),
        (None, _) => Ok(max_tokens(files)?.min(usual)),
    }
}

/// The most tokens of a call that answers `width` numbers for each.
pub(super) fn batch_tokens(compute: &Compute, width: usize) -> usize {
    let fitting = MOST_SCORES.checked_div(width).unwrap_or(usize::MAX);
    compute.max_batch_tokens().min(fitting).max(1)
}

/// The longest text likewise, where the tokenizer's file does not count: what is `asked` for, or else
/// `usual`, but at most the model's positions.
pub(super) fn positions_limit(
    source: &ModelSource,
    files: &ModelFiles,
    asked: Option<usize>,
    usual: usize,
) -> Result<usize> {
    let most = positions(files)?.unwrap_or(usize::MAX);
    limit(source, files, Some(asked.unwrap_or(usual.min(most))), usual)
}

/// The name of the output that a kind of model is read at: the first of `names` that the graph has, or
/// its only one that is no cache.
pub(super) fn output(graph: &Graph, names: &[&str]) -> Result<String> {
    if let Some(name) = names.iter().find(|name| graph.output(name).is_some()) {
        return Ok((*name).to_owned());
    }
    let there = graph.outputs().iter().map(|port| port.name());
    let there: Vec<&str> = there.filter(|name| !name.starts_with("present")).collect();
    match there.as_slice() {
        [only] => Ok((*only).to_owned()),
        _ => Err(Error::invalid(format!(
            "the model `{}` has no output {}; it has {}; export it for the task that it is used for \
             here",
            graph.path().display(),
            names.join(" or "),
            there.join(", ")
        ))),
    }
}

/// The last length of an output that has one number for each of something: of dimensions, of terms.
pub(super) fn width(graph: &Graph, output: &str) -> usize {
    let dims = graph.output(output).map(|port| port.dims());
    dims.and_then(|dims| dims.last().copied().flatten())
        .unwrap_or_default()
}

/// An error about a tensor whose shape makes no sense.
pub(super) fn misshapen(graph: &Graph, tensor: &TensorView<'_>, wanted: &str) -> Error {
    Error::engine(format!(
        "the model `{}` answered a tensor of shape {:?} where {wanted} is wanted; export it for the \
         task that it is used for here",
        graph.path().display(),
        tensor.shape()
    ))
}

/// A score that may leave.
pub(super) fn finite(score: f32) -> Result<f32> {
    if score.is_finite() {
        return Ok(score);
    }
    Err(Error::engine(format!(
        "a model answered {score}, which is no number to rank by"
    )))
}
