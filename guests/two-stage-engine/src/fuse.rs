//! The fusion between the stages.

use std::collections::BTreeMap;

use crate::Hits;

/// Reciprocal rank fusion: documents and their scores, best first.
pub(crate) fn reciprocal_ranks(rankings: &[Hits], k: f64) -> Vec<(String, f64)> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for hits in rankings {
        for (place, id) in hits.ids.iter().enumerate() {
            *sums.entry(id).or_default() += 1.0 / (k + (place + 1) as f64);
        }
    }
    let mut fused: Vec<_> = sums
        .into_iter()
        .map(|(id, score)| (id.to_owned(), score))
        .collect();
    fused.sort_by(|(a_id, a), (b_id, b)| b.total_cmp(a).then_with(|| a_id.cmp(b_id)));
    fused
}
