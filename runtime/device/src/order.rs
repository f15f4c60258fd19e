//! The order of results: the better score first, of equal ones the earlier position. Kernels keep a
//! result as one number, `kernels/common.cuh::key_of`; here is the same on this side.

use routir_core::{Error, Result};

/// A result: where it is among the vectors, and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The vector's position.
    pub position: u32,
    /// Its score; higher is better. Of L2, the negated squared distance.
    pub score: f32,
}

/// The greater key is the better result. What is not a number comes first, so that it is seen.
pub(crate) fn key(score: f32, position: u32) -> u64 {
    let mut bits = if score.is_nan() {
        0x7fff_ffff
    } else {
        (score + 0.0).to_bits()
    };
    bits ^= if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
    (u64::from(bits) << 32) | u64::from(!position)
}

/// The result of a key.
///
/// # Errors
/// When its score is not a finite number.
pub(crate) fn found(key: u64) -> Result<Found> {
    let bits = (key >> 32) as u32;
    let score = f32::from_bits(bits ^ if bits >> 31 == 1 { 1 << 31 } else { u32::MAX });
    let position = !(key as u32);
    if !score.is_finite() {
        return Err(Error::engine(format!(
            "the score of vector {position} is {score}, not a finite number; its values or the \
             query's are too large"
        )));
    }
    Ok(Found { position, score })
}

/// The best `k` of what is pushed.
pub(crate) struct Best {
    k: usize,
    keys: Vec<u64>,
    floor: u64,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            keys: Vec::with_capacity(2 * k),
            floor: 0,
        }
    }

    pub(crate) fn push(&mut self, key: u64) {
        if key > self.floor && self.k > 0 {
            self.keys.push(key);
            if self.keys.len() >= 2 * self.k {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        self.keys.truncate(self.k);
        if let Some(worst) = self.keys.get(self.k.wrapping_sub(1)) {
            self.floor = *worst;
        }
    }

    pub(crate) fn add(mut self, other: Self) -> Self {
        for key in other.keys {
            self.push(key);
        }
        self
    }

    /// Best first.
    pub(crate) fn keys(mut self) -> Vec<u64> {
        self.cut();
        self.keys
    }

    pub(crate) fn found(self) -> Result<Vec<Found>> {
        self.keys().into_iter().map(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_order_as_scores_and_positions_do(
            a in any::<(f32, u32)>(),
            b in any::<(f32, u32)>(),
            same in any::<bool>(),
        ) {
            let b = if same { (a.0, b.1) } else { b };
            prop_assume!(a.0.is_finite() && b.0.is_finite());
            let wanted = (a.0 + 0.0).total_cmp(&(b.0 + 0.0)).then(b.1.cmp(&a.1));
            prop_assert_eq!(key(a.0, a.1).cmp(&key(b.0, b.1)), wanted);
            prop_assert_eq!(found(key(a.0, a.1)).unwrap(), Found { position: a.1, score: a.0 + 0.0 });
        }

        #[test]
        fn best_is_the_beginning_of_all_sorted(
            scores in prop::collection::vec(-3_i8..3, 0..200),
            k in 0_usize..40,
        ) {
            let mut all: Vec<u64> =
                scores.iter().zip(0..).map(|(score, at)| key(f32::from(*score), at)).collect();
            let mut best = Best::new(k);
            all.iter().for_each(|it| best.push(*it));
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.truncate(k);
            prop_assert_eq!(best.keys(), all);
        }
    }

    #[test]
    fn what_is_no_number_is_first_and_refused() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            assert!(key(bad, 7) > key(f32::MAX, 0));
            assert!(
                found(key(bad, 7))
                    .unwrap_err()
                    .message()
                    .contains("vector 7")
            );
        }
        assert!(found(key(f32::NEG_INFINITY, 1)).is_err());
        assert_eq!(key(-0.0, 3), key(0.0, 3));
    }
}
