//! The one layer through which everything passes between host and guest.
//!
//! On the way in, values get the types that the manifest states and documents become small
//! numbers. On the way out nothing is believed: every function here that takes a guest's value
//! answers either something that is safe to use or a sentence that says what is wrong with it
//! (without naming the extension, which the caller does).

mod candidates;
mod fused;
mod hits;
mod limits;
mod params;
mod scores;
mod sub_queries;
mod text;

pub(crate) use candidates::{Candidates, Column};
pub(crate) use fused::fused;
pub(crate) use hits::hits;
pub(crate) use limits::{MAX_HANDED_OVER, MAX_ID};
pub(crate) use params::{Crossing, ParamTable, params_from_guest};
pub(crate) use scores::scores;
pub(crate) use sub_queries::sub_queries;
pub(crate) use text::{cut, line, said};

/// What a guest's value became, or what is wrong with it, as the end of a sentence that starts
/// with the extension: "answered 2 scores for 3 documents".
pub(crate) type Checked<T> = Result<T, String>;
