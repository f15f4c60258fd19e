//! Sequence-to-sequence models for one step: what the decoder, just started, would say first.

use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use serde::Deserialize;

use super::common::{misshapen, output};
use super::yes_no::{FirstWord, Word, two_scores};
use crate::compute::Compute;
use crate::files::ModelFiles;
use crate::generation::Past;
use crate::text_model::Padded;
use crate::{Data, Feed, Graph, ModelSource, TextModel, Tokens};

const ENCODERS: &[&str] = &[
    "encoder_model.onnx",
    "onnx/encoder_model.onnx",
    "encoder_model_quantized.onnx",
    "onnx/encoder_model_quantized.onnx",
];
const DECODERS: &[&str] = &[
    "decoder_model.onnx",
    "onnx/decoder_model.onnx",
    "decoder_model_merged.onnx",
    "onnx/decoder_model_merged.onnx",
    "decoder_model_quantized.onnx",
    "onnx/decoder_model_quantized.onnx",
    "decoder_model_merged_quantized.onnx",
    "onnx/decoder_model_merged_quantized.onnx",
];

/// Inputs of a graph that holds encoder and decoder.
const STARTED: &str = "decoder_input_ids";
const STARTED_MASK: &str = "decoder_attention_mask";
/// Inputs of a decoder alone.
const MEMORY: &str = "encoder_hidden_states";
const MEMORY_MASK: &str = "encoder_attention_mask";
const IDS: &str = "input_ids";

/// A model of this kind.
#[derive(Debug)]
pub(super) struct Seq2Seq {
    encoder: TextModel,
    /// What the encoder is read at; in one graph, the scores.
    output: String,
    /// `None` when it is in one graph with the encoder.
    decoder: Option<Decoder>,
    start: i64,
}

#[derive(Debug)]
struct Decoder {
    graph: Arc<Graph>,
    output: String,
    past: Past,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    decoder_start_token_id: Option<u32>,
    pad_token_id: Option<u32>,
}

/// The files of such a model: encoder and decoder, or one graph named `file` or as usual.
pub(super) fn files(
    compute: &Compute,
    source: &ModelSource,
    file: Option<&str>,
) -> Result<ModelFiles> {
    let whole = || super::common::files(compute, source, file);
    if file.is_some() {
        return whole();
    }
    let split = source.files(compute.hub(), &[ENCODERS, DECODERS]);
    split.or_else(|why| whole().map_err(|_| why))
}

impl Seq2Seq {
    pub(super) fn open(compute: &Compute, files: &ModelFiles, max_tokens: usize) -> Result<Self> {
        let decoder = files.graphs().get(1).map(|path| decoder(compute, path));
        let encoder = compute.text_model(files, max_tokens, &[STARTED, STARTED_MASK])?;
        let outputs: &[&str] = match decoder {
            Some(_) => &["last_hidden_state"],
            None => &["logits"],
        };
        let config: Config = files.json("config.json")?.unwrap_or_default();
        let start = config.decoder_start_token_id.or(config.pad_token_id);
        Ok(Self {
            output: output(encoder.graph(), outputs)?,
            decoder: decoder.transpose()?,
            start: i64::from(start.unwrap_or_else(|| encoder.tokenizer().pad())),
            encoder,
        })
    }

    fn in_one(&self, padded: &Padded, words: [Word; 2]) -> Result<Vec<[f32; 2]>> {
        let [texts, _] = padded.shape();
        let (shape, started, ones) = ([texts, 1], vec![self.start; texts], vec![1; texts]);
        let mut more = Vec::new();
        for (name, data) in [(STARTED, &started), (STARTED_MASK, &ones)] {
            if self.encoder.graph().input(name).is_some() {
                more.push(feed(name, &shape, data));
            }
        }
        let outputs = self.encoder.run_with(padded, &more, &[&self.output])?;
        two_scores(
            self.encoder.graph(),
            &outputs.floats(0)?,
            &vec![0; texts],
            words,
        )
    }

    fn in_two(
        &self,
        decoder: &Decoder,
        padded: &Padded,
        words: [Word; 2],
    ) -> Result<Vec<[f32; 2]>> {
        let outputs = self.encoder.run_with(padded, &[], &[&self.output])?;
        let memory = outputs.floats(0)?;
        let [texts, length] = padded.shape();
        match *memory.shape() {
            [rows, columns, _] if (rows, columns) == (texts, length) => {}
            _ => {
                return Err(misshapen(
                    self.encoder.graph(),
                    &memory,
                    "a state for each token",
                ));
            }
        }
        let (shape, started) = ([texts, 1], vec![self.start; texts]);
        let (caches, read) = (decoder.past.shapes(texts), padded.shape());
        let mut feeds = decoder.past.feeds(&caches);
        feeds.push(feed(IDS, &shape, &started));
        feeds.push(Feed {
            name: MEMORY,
            shape: memory.shape(),
            data: Data::Floats(memory.data()),
        });
        if decoder.graph.input(MEMORY_MASK).is_some() {
            feeds.push(feed(MEMORY_MASK, &read, padded.mask()));
        }
        let outputs = decoder.graph.run(&feeds, &[&decoder.output])?;
        two_scores(&decoder.graph, &outputs.floats(0)?, &vec![0; texts], words)
    }
}

impl FirstWord for Seq2Seq {
    fn model(&self) -> &TextModel {
        &self.encoder
    }

    fn scores(&self, batch: &[&Tokens], words: [Word; 2]) -> Result<Vec<[f32; 2]>> {
        let padded = self.encoder.padded(batch);
        let mut scores = match &self.decoder {
            Some(decoder) => self.in_two(decoder, &padded, words),
            None => self.in_one(&padded, words),
        }?;
        scores.truncate(batch.len());
        Ok(scores)
    }

    fn width(&self) -> usize {
        0
    }
}

fn decoder(compute: &Compute, path: &Path) -> Result<Decoder> {
    let graph = compute.graph(path)?;
    let past = Past::of(&graph)?;
    let known = [IDS, MEMORY, MEMORY_MASK];
    let fed = |name: &str| known.contains(&name) || past.names().contains(&name);
    if let Some(port) = graph.inputs().iter().find(|port| !fed(port.name())) {
        return Err(Error::invalid(format!(
            "the decoder `{}` wants an input `{}`, which is not known here; export it without a cache",
            path.display(),
            port.name()
        )));
    }
    Ok(Decoder {
        output: output(&graph, &["logits"])?,
        graph,
        past,
    })
}

fn feed<'a>(name: &'a str, shape: &'a [usize], data: &'a [i64]) -> Feed<'a> {
    let data = Data::Ints(data);
    Feed { name, shape, data }
}
