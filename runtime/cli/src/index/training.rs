//! How many vectors a FAISS index wants to learn from, told by its index string.

use crate::failure::wrong;

/// How many vectors per centroid FAISS looks at, at most; it takes a sample of more.
const MOST_PER_CENTROID: u64 = 256;

/// How many it wants at least; with fewer it warns, and the index is worse than it could be.
const LEAST_PER_CENTROID: u64 = 39;

/// The least default, in vectors: what rotations and quantisers learn from.
const USUAL: u64 = 1 << 16;

/// The most centroids that a part of `index_string` learns, with that part: of an inverted file its
/// lists, of a product quantiser the centroids of a subspace. 0 when nothing is learned by clusters.
pub(crate) fn centroids(index_string: &str) -> (u64, &str) {
    let parts = index_string.split([',', '(', ')', '[', ']', ':']);
    let counted = parts.map(|part| (of_part(part.trim()), part.trim()));
    counted.max_by_key(|(count, _)| *count).unwrap_or((0, ""))
}

fn of_part(part: &str) -> u64 {
    // `IVF4096_HNSW32`: the lists are found by another index.
    if let Some(rest) = part.strip_prefix("IVF") {
        return leading(rest).unwrap_or(0);
    }
    if let Some(rest) = part.strip_prefix("IMI") {
        // `IMI2x10`: two quantisers of 2^10 centroids.
        let bits = rest.split_once('x').and_then(|(_, bits)| leading(bits));
        return bits.map_or(0, power);
    }
    if let Some(rest) = part.strip_prefix("PQ") {
        // `PQ16`, `PQ16x4`, `PQ16x4fs`, `PQ16np`.
        let bits = rest.split_once('x').and_then(|(_, bits)| leading(bits));
        return power(bits.unwrap_or(8));
    }
    0
}

fn leading(text: &str) -> Option<u64> {
    let end = text.find(|it: char| !it.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

fn power(bits: u64) -> u64 {
    1 << bits.min(24)
}

/// How many of `rows` vectors are taken to learn from.
pub(crate) fn sample_size(
    index_string: &str,
    rows: u64,
    sample: Option<u64>,
    rate: Option<f64>,
) -> u64 {
    let (centroids, _) = centroids(index_string);
    let by_rate = |rate: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the rows, rounded"
        )]
        let count = (rows as f64 * rate).ceil() as u64;
        count
    };
    let usual = || centroids.saturating_mul(MOST_PER_CENTROID).max(USUAL);
    let wanted = sample.or(rate.map(by_rate)).unwrap_or_else(usual);
    wanted.clamp(1, rows.max(1))
}

/// Checks that `sample` vectors are enough.
///
/// # Errors
/// When there are fewer than centroids.
pub(crate) fn check(index_string: &str, sample: u64) -> anyhow::Result<()> {
    let (centroids, part) = centroids(index_string);
    if sample >= centroids {
        return Ok(());
    }
    Err(wrong(format!(
        "the sample has {sample} vectors, but `{part}` of `{index_string}` learns {centroids} \
         centroids; give a larger --sample, or fewer centroids"
    )))
}

/// What is to be told of a sample that is small, if anything.
pub(crate) fn warning(index_string: &str, sample: u64) -> Option<String> {
    let (centroids, part) = centroids(index_string);
    (sample < centroids.saturating_mul(LEAST_PER_CENTROID)).then(|| {
        format!(
            "the sample has {sample} vectors for the {centroids} centroids of `{part}`; FAISS asks \
             for {LEAST_PER_CENTROID} a centroid, and up to {MOST_PER_CENTROID} are of use"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centroids_are_those_of_the_part_that_has_most() {
        for (index_string, expected) in [
            ("Flat", (0, "Flat")),
            ("HNSW32", (0, "HNSW32")),
            ("PQ16", (256, "PQ16")),
            ("PQ2048x4fs", (16, "PQ2048x4fs")),
            ("IVF4096,PQ64", (4096, "IVF4096")),
            (
                "OPQ16_64,IVF65536_HNSW32,PQ16x4fsr,RFlat",
                (65536, "IVF65536_HNSW32"),
            ),
            ("IVF16,PQ8", (256, "PQ8")),
            ("IMI2x10,Flat", (1024, "IMI2x10")),
            ("IDMap,IVF(x)", (0, "IVF")),
        ] {
            let (count, part) = centroids(index_string);
            assert_eq!(count, expected.0, "{index_string}");
            if count > 0 {
                assert_eq!(part, expected.1);
            }
        }
    }

    #[test]
    fn the_sample_is_as_large_as_asked_for_or_as_is_of_use() {
        assert_eq!(
            sample_size("IVF4096,PQ64", 100_000_000, None, None),
            4096 * 256
        );
        assert_eq!(sample_size("PQ16x4fs", 100_000_000, None, None), 65_536);
        assert_eq!(sample_size("PQ16x4fs", 1000, None, None), 1000);
        assert_eq!(sample_size("IVF4096,PQ64", 1000, Some(5000), None), 1000);
        assert_eq!(sample_size("IVF4096,PQ64", 100_000, Some(5000), None), 5000);
        assert_eq!(sample_size("IVF4096,PQ64", 100_001, None, Some(0.07)), 7001);
    }

    #[test]
    fn fewer_vectors_than_centroids_are_an_error() {
        let error = check("OPQ8,IVF4096,PQ8", 4095).unwrap_err().to_string();
        assert!(
            error.contains("`IVF4096` of `OPQ8,IVF4096,PQ8` learns 4096 centroids"),
            "{error}"
        );
        check("IVF4096,PQ8", 4096).unwrap();
        check("Flat", 1).unwrap();
        assert!(warning("IVF4096,PQ8", 5000).is_some_and(|it| it.contains("4096 centroids")));
        assert_eq!(warning("IVF16,Flat", 1000), None);
        assert_eq!(warning("Flat", 1), None);
    }
}
