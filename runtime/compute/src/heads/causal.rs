//! Causal language models for one step: which word would come next after a text.

use routir_core::Result;

use super::common::{output, width};
use super::yes_no::{FirstWord, Word, two_scores};
use crate::compute::Compute;
use crate::files::ModelFiles;
use crate::text_model::Padded;
use crate::{TextModel, Tokens};

/// A model of this kind.
///
/// Texts are padded at their ends, where a causal model does not look: the next word's scores are
/// those of a text's own last token. Only where the graph gives scores of the last column alone, the
/// padding comes first.
#[derive(Debug)]
pub(super) struct Causal {
    model: TextModel,
    output: String,
    last_only: bool,
}

impl Causal {
    pub(super) fn open(compute: &Compute, files: &ModelFiles, max_tokens: usize) -> Result<Self> {
        let model = compute.text_model(files, max_tokens, &[])?;
        let output = output(model.graph(), &["logits"])?;
        let dims = model.graph().output(&output).map(|port| port.dims());
        let last_only = model.past().keeps_last() || matches!(dims, Some([_, Some(1), _] | [_, _]));
        Ok(Self {
            model,
            output,
            last_only,
        })
    }
}

impl FirstWord for Causal {
    fn model(&self) -> &TextModel {
        &self.model
    }

    fn scores(&self, batch: &[&Tokens], words: [Word; 2]) -> Result<Vec<[f32; 2]>> {
        let pad = self.model.tokenizer().pad();
        let padded = match self.last_only {
            true => Padded::before(batch, pad),
            false => self.model.padded(batch),
        };
        let last = |tokens: &&Tokens| match self.last_only {
            true => 0,
            false => tokens.len().saturating_sub(1),
        };
        let columns: Vec<usize> = batch.iter().map(last).collect();
        let outputs = self.model.run_with(&padded, &[], &[&self.output])?;
        two_scores(self.model.graph(), &outputs.floats(0)?, &columns, words)
    }

    fn width(&self) -> usize {
        if self.last_only {
            0
        } else {
            width(self.model.graph(), &self.output)
        }
    }
}
