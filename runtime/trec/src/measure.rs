//! Effectiveness measures by name.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use routir_core::{ErrorCode, nearest};

/// A measure as trec_eval defines it. "Relevant" is a grade of at least
/// [`crate::EvalOptions::relevance_level`]; `k` counts from the best document.
///
/// [`Display`](fmt::Display) writes trec_eval's name. [`FromStr`] also reads the names of the
/// literature, letter case ignored, with the cut-off after `_`, `@` or `.`: `ndcg_cut_10`,
/// `nDCG@10`, `P@10`, `MAP`, `MRR@10`, `R@1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Measure {
    /// `num_q`: topics evaluated. 1 for a single topic.
    NumQ,
    /// `num_ret`: documents retrieved. Summed over topics.
    NumRet,
    /// `num_rel`: relevant documents. Summed over topics. (With its `-c`, trec_eval's own sum over
    /// all topics ignores the relevance level; this one does not.)
    NumRel,
    /// `num_rel_ret`: relevant documents retrieved. Summed over topics.
    NumRelRet,
    /// `map`: average precision, the mean over all relevant documents of the precision at the rank
    /// of each (0 where it was not retrieved).
    Map,
    /// `map_cut_k`: as [`Measure::Map`] with only the first `k` documents retrieved.
    MapCut(NonZeroU32),
    /// `Rprec`: precision after as many documents as are relevant.
    Rprec,
    /// `bpref`: how rarely judged documents that are not relevant stand above relevant ones;
    /// documents without judgement do not count.
    Bpref,
    /// `recip_rank`: 1 / rank of the first relevant document.
    RecipRank,
    /// `recip_rank_cut_k`: the same, 0 when that rank is beyond `k`.
    RecipRankCut(NonZeroU32),
    /// `P_k`: relevant among the first `k`, divided by `k` even when fewer were retrieved.
    P(NonZeroU32),
    /// `recall_k`: relevant among the first `k`, divided by all relevant.
    Recall(NonZeroU32),
    /// `success_k`: 1 when one of the first `k` is relevant, otherwise 0.
    Success(NonZeroU32),
    /// `ndcg`: the sum of grade / log2(rank + 1), divided by what the best order of all judged
    /// documents reaches. Grades below 1 gain nothing; the relevance level plays no part.
    Ndcg,
    /// `ndcg_cut_k`: the same over the first `k` on both sides.
    NdcgCut(NonZeroU32),
}

/// A measure's name that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown measure `{name}`; {help}")]
pub struct UnknownMeasure {
    /// The name as it was given.
    pub name: String,
    help: String,
}

impl UnknownMeasure {
    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

impl From<UnknownMeasure> for routir_core::Error {
    fn from(error: UnknownMeasure) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Names with a cut-off, as a hint says them.
const WITH_CUT: [&str; 6] = [
    "map_cut",
    "recip_rank_cut",
    "P",
    "recall",
    "success",
    "ndcg_cut",
];
const WITHOUT_CUT: [&str; 9] = [
    "num_q",
    "num_ret",
    "num_rel",
    "num_rel_ret",
    "map",
    "Rprec",
    "bpref",
    "recip_rank",
    "ndcg",
];

impl Measure {
    /// What is worth seeing of a run when nothing is asked for.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        const TEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
        const THOUSAND: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);
        vec![
            Self::NumQ,
            Self::NumRet,
            Self::NumRel,
            Self::NumRelRet,
            Self::Map,
            Self::RecipRank,
            Self::NdcgCut(TEN),
            Self::P(TEN),
            Self::Recall(THOUSAND),
        ]
    }

    /// Whether topics are added up instead of averaged, and values are whole numbers.
    #[must_use]
    pub fn is_count(self) -> bool {
        matches!(
            self,
            Self::NumQ | Self::NumRet | Self::NumRel | Self::NumRelRet
        )
    }

    fn whole(name: &str) -> Option<Self> {
        Some(match name {
            "num_q" | "numq" => Self::NumQ,
            "num_ret" | "numret" => Self::NumRet,
            "num_rel" | "numrel" => Self::NumRel,
            "num_rel_ret" | "numrelret" => Self::NumRelRet,
            "map" | "ap" => Self::Map,
            "rprec" | "r-prec" | "r-precision" => Self::Rprec,
            "bpref" => Self::Bpref,
            "recip_rank" | "mrr" | "rr" => Self::RecipRank,
            "ndcg" => Self::Ndcg,
            _ => return None,
        })
    }

    fn cut(name: &str, k: NonZeroU32) -> Option<Self> {
        Some(match name {
            "map_cut" | "map" | "ap" => Self::MapCut(k),
            "recip_rank_cut" | "recip_rank" | "mrr" | "rr" => Self::RecipRankCut(k),
            "p" | "precision" => Self::P(k),
            "recall" | "r" => Self::Recall(k),
            "success" => Self::Success(k),
            "ndcg_cut" | "ndcg" => Self::NdcgCut(k),
            _ => return None,
        })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NumQ => f.write_str("num_q"),
            Self::NumRet => f.write_str("num_ret"),
            Self::NumRel => f.write_str("num_rel"),
            Self::NumRelRet => f.write_str("num_rel_ret"),
            Self::Map => f.write_str("map"),
            Self::MapCut(k) => write!(f, "map_cut_{k}"),
            Self::Rprec => f.write_str("Rprec"),
            Self::Bpref => f.write_str("bpref"),
            Self::RecipRank => f.write_str("recip_rank"),
            Self::RecipRankCut(k) => write!(f, "recip_rank_cut_{k}"),
            Self::P(k) => write!(f, "P_{k}"),
            Self::Recall(k) => write!(f, "recall_{k}"),
            Self::Success(k) => write!(f, "success_{k}"),
            Self::Ndcg => f.write_str("ndcg"),
            Self::NdcgCut(k) => write!(f, "ndcg_cut_{k}"),
        }
    }
}

impl FromStr for Measure {
    type Err = UnknownMeasure;

    fn from_str(name: &str) -> Result<Self, UnknownMeasure> {
        let lower = name.trim().to_ascii_lowercase();
        let parts = lower.rsplit_once(['_', '@', '.']);
        let cut = parts.and_then(|(family, k)| Some((family, k.parse::<NonZeroU32>().ok()?)));
        let found = match cut {
            Some((family, k)) => Self::cut(family, k),
            None => Self::whole(&lower),
        };
        found.ok_or_else(|| UnknownMeasure {
            name: name.to_owned(),
            help: help(&lower, cut),
        })
    }
}

fn help(lower: &str, cut: Option<(&str, NonZeroU32)>) -> String {
    if let Some((family, k)) = cut {
        let near = nearest(
            family,
            WITH_CUT
                .into_iter()
                .chain(["ndcg", "map", "mrr", "precision"]),
        );
        return match (
            Measure::whole(family),
            near.and_then(|near| Measure::cut(near, k)),
        ) {
            (Some(measure), _) => format!("`{measure}` takes no cut-off"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("measures with a cut-off: {}", WITH_CUT.join(", ")),
        };
    }
    if Measure::cut(lower.trim_end_matches(['_', '@', '.']), NonZeroU32::MIN).is_some() {
        return format!("it needs a cut-off of at least 1, as in `{lower}_10`");
    }
    match nearest(lower, WITHOUT_CUT) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "known: {}, and with a cut-off, as in `P_10`: {}",
            WITHOUT_CUT.join(", "),
            WITH_CUT.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_trec_eval_and_of_the_literature_mean_the_same() {
        for (name, canonical) in [
            ("ndcg_cut_10", "ndcg_cut_10"),
            ("nDCG@10", "ndcg_cut_10"),
            ("ndcg_cut.10", "ndcg_cut_10"),
            ("nDCG", "ndcg"),
            ("P@5", "P_5"),
            ("p_5", "P_5"),
            ("MAP", "map"),
            ("AP@100", "map_cut_100"),
            ("MRR", "recip_rank"),
            ("RR@10", "recip_rank_cut_10"),
            ("R@1000", "recall_1000"),
            ("Success@1", "success_1"),
            ("Rprec", "Rprec"),
            ("bpref", "bpref"),
            ("num_rel_ret", "num_rel_ret"),
        ] {
            let measure: Measure = name.parse().unwrap();
            assert_eq!(measure.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(measure));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_what_to_write_instead() {
        let message = |name: &str| name.parse::<Measure>().unwrap_err().to_string();
        assert_eq!(
            message("ndgc@10"),
            "unknown measure `ndgc@10`; did you mean `ndcg_cut_10`?"
        );
        assert_eq!(
            message("bpref@10"),
            "unknown measure `bpref@10`; `bpref` takes no cut-off"
        );
        assert_eq!(
            message("P"),
            "unknown measure `P`; it needs a cut-off of at least 1, as in `p_10`"
        );
        assert_eq!(
            message("pbref"),
            "unknown measure `pbref`; did you mean `bpref`?"
        );
        for bad in ["P@0", "P@-1", "P@99999999999", "", "@", "nonsense"] {
            assert!(bad.parse::<Measure>().is_err(), "{bad}");
        }
    }
}
