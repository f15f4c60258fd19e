//! From the runtime's answers to their JSON, as RoutIR's clients read it: rankings as objects, best
//! first.

mod document;
mod offer;
mod ranking;
mod ready;

pub(crate) use document::ContentReply;
pub(crate) use offer::{AvailReply, IndexReply};
pub(crate) use ranking::{Asked, RankingReply, ScoreMeta, ScoreReply, StageReply};
pub(crate) use ready::ReadyReply;
