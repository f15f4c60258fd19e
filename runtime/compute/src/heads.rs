//! What stands on top of a transformer: how its output becomes a score, weights of terms or vectors of
//! tokens.

mod causal;
pub(crate) mod common;
mod cross_encoder;
mod late_config;
mod seq2seq;
mod sparse;
mod template;
mod token_encoder;
mod yes_no;

pub use cross_encoder::{CrossEncoder, CrossEncoderSpec};
pub use sparse::{SparseEncoder, SparseSpec};
pub use token_encoder::{TokenEncoder, TokenSpec};
pub use yes_no::{YesNoKind, YesNoScore, YesNoScorer, YesNoSpec};
