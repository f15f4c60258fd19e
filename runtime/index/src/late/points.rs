//! Token vectors to learn from and to encode: rows in half precision, one after another.

use half::f16;

use super::kernel::{Panel, WIDTH};

/// Rows of `dim` values in half precision, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points<'a> {
    pub(crate) dim: usize,
    pub(crate) values: &'a [f16],
}

impl<'a> Points<'a> {
    pub(crate) fn len(self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    /// Row `at`; empty when there is none.
    pub(crate) fn row(self, at: u32) -> &'a [f16] {
        let start = at as usize * self.dim;
        self.values.get(start..start + self.dim).unwrap_or_default()
    }

    /// Every row's number.
    pub(crate) fn all(self) -> Vec<u32> {
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect()
    }

    /// Puts the rows of these numbers, at most [`WIDTH`], into `panel`.
    pub(crate) fn hold(self, which: &[u32], panel: &mut Panel) {
        let mut rows: [&[f16]; WIDTH] = [&[]; WIDTH];
        for (row, at) in rows.iter_mut().zip(which) {
            *row = self.row(*at);
        }
        panel.hold(rows.get(..which.len()).unwrap_or(&rows));
    }
}

/// At most `count` of `from`, one at a pseudo-random place of each of `count` equal stretches: the
/// same ones for the same `seed`, whatever the machine.
pub(crate) fn sample(from: &[u32], count: usize, seed: u64) -> Vec<u32> {
    if from.len() <= count {
        return from.to_vec();
    }
    let pick = |stretch: usize| {
        let start = (stretch as u128 * from.len() as u128 / count as u128) as usize;
        let end = ((stretch as u128 + 1) * from.len() as u128 / count as u128) as usize;
        let offset = mix(seed ^ mix(stretch as u64)) % (end - start).max(1) as u64;
        from.get(start + offset as usize).copied()
    };
    (0..count).filter_map(pick).collect()
}

/// The finaliser of splitmix64: a fixed permutation of the 64-bit numbers without visible order.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_distinct_spread_and_repeatable() {
        let from: Vec<u32> = (0..1000).collect();
        let picks = sample(&from, 64, 7);
        assert_eq!(picks.len(), 64);
        assert!(picks.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(picks[0] < 16 && picks[63] >= 984);
        assert_eq!(picks, sample(&from, 64, 7));
        assert_ne!(picks, sample(&from, 64, 8));
        assert_eq!(sample(&from, 5000, 7), from);
    }
}
