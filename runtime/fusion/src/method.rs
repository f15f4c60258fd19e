//! The mergers by the names that users write in pipelines.

use std::sync::Arc;

use routir_core::{ParamKind, ParamSpec, Params, Ranking, Result};

use crate::weights::spread_over_branches;
use crate::{Normalisation, borda, comb_mnz, comb_sum, rrf};

/// A merger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// [`rrf`] with RoutIR's default.
    Rrf,
    /// [`comb_sum`] of scores as they are.
    ScoreFusion,
    /// [`rrf`] with weights and the paper's default.
    WeightedRrf,
    /// [`comb_sum`] with [`Normalisation::MinMax`].
    MinMaxFusion,
    /// [`comb_sum`] with [`Normalisation::ZScore`].
    ZScoreFusion,
    /// [`comb_sum`] with [`Normalisation::Distribution`].
    Dbsf,
    /// [`comb_mnz`] with [`Normalisation::MinMax`].
    CombMnz,
    /// [`borda`].
    Borda,
}

/// What there is to know of a merger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MethodInfo {
    /// The merger.
    pub method: Method,
    /// Its service name.
    pub name: &'static str,
    /// Formula and source.
    pub doc: &'static str,
    /// Its parameters.
    pub params: &'static [ParamSpec],
}

const fn rrf_k(doc: &'static str) -> ParamSpec {
    ParamSpec::new("rrf_k", ParamKind::Number, doc)
}

const WEIGHTS: ParamSpec = ParamSpec::new(
    "weights",
    ParamKind::Numbers,
    "one number of at least 0 per branch, in the branches' order; 1 for all when absent; \
          under an expander a branch's weight holds for each of its sub-queries",
);

static METHODS: [MethodInfo; 8] = [
    MethodInfo {
        method: Method::Rrf,
        name: "RRF",
        doc: "reciprocal rank fusion: sum over lists of 1 / (rrf_k + rank), rank from 1 (Cormack, \
              Clarke & Büttcher 2009)",
        params: &[rrf_k(
            "added to every rank, at least 0; 0 when absent, as in RoutIR; the paper and most \
             systems use 60",
        )],
    },
    MethodInfo {
        method: Method::ScoreFusion,
        name: "ScoreFusion",
        doc: "CombSUM: sum over lists of the scores as they are (Fox & Shaw 1994)",
        params: &[WEIGHTS],
    },
    MethodInfo {
        method: Method::WeightedRrf,
        name: "WeightedRRF",
        doc: "reciprocal rank fusion: sum over lists of weight / (rrf_k + rank), rank from 1 \
              (Cormack, Clarke & Büttcher 2009)",
        params: &[
            WEIGHTS,
            rrf_k("added to every rank, at least 0; 60 when absent, as in the paper"),
        ],
    },
    MethodInfo {
        method: Method::MinMaxFusion,
        name: "MinMaxFusion",
        doc: "sum over lists of weight * (s - min) / (max - min); 1 where all scores of a list are \
              equal (Fox & Shaw 1994, normalised as Lee 1997)",
        params: &[WEIGHTS],
    },
    MethodInfo {
        method: Method::ZScoreFusion,
        name: "ZScoreFusion",
        doc: "sum over lists of weight * (s - mean) / standard deviation (of the population); 0 \
              where all scores of a list are equal (Montague & Aslam 2001)",
        params: &[WEIGHTS],
    },
    MethodInfo {
        method: Method::Dbsf,
        name: "DBSF",
        doc: "distribution-based score fusion: sum over lists of weight * (s - (mean - 3 sd)) / \
              (6 sd) with the sample's standard deviation; 0.5 where all scores of a list are \
              equal (Mazzeschi 2023, as Qdrant computes it)",
        params: &[WEIGHTS],
    },
    MethodInfo {
        method: Method::CombMnz,
        name: "CombMNZ",
        doc: "the number of lists that hold the document, times the sum over lists of weight * \
              (s - min) / (max - min); 1 where all scores of a list are equal (Fox & Shaw 1994, \
              normalised as Lee 1997)",
        params: &[WEIGHTS],
    },
    MethodInfo {
        method: Method::Borda,
        name: "Borda",
        doc: "Borda-fuse: of c documents in all lists, a list gives its first c points, the second \
              c - 1 and so on, and each that it does not hold the mean of the points left over; \
              sum over lists of weight * points (Aslam & Montague 2001)",
        params: &[WEIGHTS],
    },
];

/// All mergers.
#[must_use]
pub fn methods() -> &'static [MethodInfo] {
    &METHODS
}

impl Method {
    /// The merger of this service name; letter case matters, as in pipelines.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        METHODS
            .iter()
            .find(|info| info.name == name)
            .map(|info| info.method)
    }

    /// What there is to know of it; `None` for none of them.
    fn info(self) -> Option<&'static MethodInfo> {
        METHODS.iter().find(|info| info.method == self)
    }

    /// Its service name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().map_or("", |info| info.name)
    }

    /// The parameters that it understands.
    #[must_use]
    pub fn params(self) -> &'static [ParamSpec] {
        self.info().map_or(&[], |info| info.params)
    }

    /// Fuses `rankings`; only the `limit` best are returned, `None` is all.
    ///
    /// `expanded` says that an expander ran, so that the rankings come branch by branch and
    /// sub-query by sub-query in each: then the rankings may be a multiple of the weights.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for parameters that make no sense;
    /// [`routir_core::ErrorCode::EngineFailure`] for scores so large that their sum is not a number
    /// any more.
    pub fn fuse(
        self,
        rankings: &[Arc<Ranking>],
        expanded: bool,
        limit: Option<usize>,
        params: &Params,
    ) -> Result<Ranking> {
        let weights = match self {
            Self::Rrf => None,
            _ => params.numbers("weights")?,
        };
        let weights = match weights {
            Some(weights) if expanded => Some(spread_over_branches(&weights, rankings.len())?),
            weights => weights,
        };
        let weights = weights.as_deref();
        let sum = |normalisation| comb_sum(rankings, normalisation, weights, limit);
        match self {
            Self::Rrf => rrf(
                rankings,
                params.number("rrf_k")?.unwrap_or(0.0),
                None,
                limit,
            ),
            Self::WeightedRrf => rrf(
                rankings,
                params.number("rrf_k")?.unwrap_or(60.0),
                weights,
                limit,
            ),
            Self::ScoreFusion => sum(Normalisation::None),
            Self::MinMaxFusion => sum(Normalisation::MinMax),
            Self::ZScoreFusion => sum(Normalisation::ZScore),
            Self::Dbsf => sum(Normalisation::Distribution),
            Self::CombMnz => comb_mnz(rankings, Normalisation::MinMax, weights, limit),
            Self::Borda => borda(rankings, weights, limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name_and_knows_itself() {
        for info in methods() {
            assert_eq!(Method::by_name(info.name), Some(info.method));
            assert_eq!(info.method.name(), info.name);
            assert_eq!(info.method.params(), info.params);
        }
        assert_eq!(Method::by_name("rrf"), None);
    }
}
