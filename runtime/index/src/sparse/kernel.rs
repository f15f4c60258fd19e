//! The loops that searches spend their time in.

use super::BLOCK;
use super::row::List;

/// For which processors the loops are compiled. Sums beyond 32 bits, which no index has that is not
/// damaged, wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Any.
    Plain,
    /// With AVX2: SSE2 has no multiplication of 32 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// Proof that the processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Kernel {
    /// The best one for this processor.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            return Self::Avx2(Avx2(()));
        }
        Self::Plain
    }

    /// Adds `weight` times each maximum to the bounds of the blocks.
    pub(crate) fn add_maxima(self, bounds: &mut [u32], maxima: &[u8], weight: u32) {
        match self {
            Self::Plain => add(bounds, maxima, weight),
            // SAFETY: the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(Avx2(())) => unsafe { add_avx2(bounds, maxima, weight) },
        }
    }

    /// Adds `weight` times each impact to the scores of a block's documents.
    #[inline(always)]
    pub(crate) fn add_list(self, scores: &mut [u32; BLOCK], list: List<'_>, weight: u32) {
        match list {
            List::All(impacts) => self.add_maxima(scores, impacts, weight),
            List::Some(postings) => {
                for &[document, impact] in postings {
                    if let Some(score) = scores.get_mut(usize::from(document)) {
                        *score = score.wrapping_add(weight.wrapping_mul(u32::from(impact)));
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2(sums: &mut [u32], values: &[u8], weight: u32) {
    add(sums, values, weight);
}

#[inline(always)]
fn add(sums: &mut [u32], values: &[u8], weight: u32) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = sum.wrapping_add(weight.wrapping_mul(u32::from(*value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_agree() {
        for length in [0, 1, 7, 8, 33, 1000] {
            let maxima: Vec<u8> = (0..length).map(|it| (it * 37) as u8).collect();
            let (mut one, mut other) = (vec![5; length], vec![5; length]);
            Kernel::detect().add_maxima(&mut one, &maxima, 70_000);
            Kernel::Plain.add_maxima(&mut other, &maxima, 70_000);
            assert_eq!(one, other);
        }
    }
}
