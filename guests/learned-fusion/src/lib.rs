//! A linear combination of normalised scores, with weights that were learned per source.
//!
//! `score(document) = sum over lists of weight(source) * normalised(score)`. A list that does not
//! hold a document gives it what its own last document has (`missing: "min"`) or nothing
//! (`missing: "zero"`).

wit_bindgen::generate!({ path: "../../wit/since_v0.1.0", world: "fusion" });

mod manifest;
mod normalise;
mod settings;

use normalise::normalised;
use settings::Settings;

struct Learned;

impl Guest for Learned {
    fn fuse(
        _query: String,
        lists: Vec<RankedList>,
        doc_count: u32,
        params: Params,
    ) -> Result<Vec<f64>, Error> {
        let settings = Settings::read(&params).map_err(Error::Invalid)?;
        let weights = settings.weights_of(&lists).map_err(Error::Invalid)?;
        let mut fused = vec![0.0; doc_count as usize];
        for (list, weight) in lists.iter().zip(weights) {
            if list.docs.is_empty() {
                continue;
            }
            let scores = normalised(&list.scores, settings.normalisation);
            // What a document that is not in the list gets; those that are get the rest on top.
            let floor = if settings.missing_is_min {
                scores.iter().copied().fold(f64::INFINITY, f64::min)
            } else {
                0.0
            };
            for score in &mut fused {
                *score += weight * floor;
            }
            for (doc, score) in list.docs.iter().zip(scores) {
                fused[*doc as usize] += weight * (score - floor);
            }
        }
        Ok(fused)
    }
}

export!(Learned);
