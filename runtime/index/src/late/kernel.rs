//! The one hot loop: inner products of up to 32 rows, held transposed in a panel, with any number
//! of rows.
//!
//! A lane of a vector register belongs to one row of the panel, so no product is ever summed across
//! lanes, and each product adds up in the order of the dimensions: its value depends on the two rows
//! alone, never on what else is computed with them.

/// Rows of one panel.
pub(crate) const WIDTH: usize = 32;
/// Lanes of one register.
const LANES: usize = 8;

/// Up to [`WIDTH`] rows, transposed: for each dimension the rows' values side by side, filled up
/// with zeros to whole registers.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    dim: usize,
    rows: usize,
    registers: usize,
    data: Vec<[f32; LANES]>,
}

impl Panel {
    /// An empty panel for rows of `dim` values.
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            dim,
            rows: 0,
            registers: 1,
            data: Vec::new(),
        }
    }

    /// Holds these rows, at most [`WIDTH`] of them, instead of what it held; a row that is not of
    /// the panel's dimension counts as far as it goes.
    pub(crate) fn hold<T: Copy + Into<f32>>(&mut self, rows: &[&[T]]) {
        self.rows = rows.len().min(WIDTH);
        self.registers = self.rows.div_ceil(LANES).max(1);
        self.data.clear();
        self.data.resize(self.dim * self.registers, [0.0; LANES]);
        for (at, row) in rows.iter().take(WIDTH).enumerate() {
            let registers = self.data.iter_mut().skip(at / LANES);
            for (register, value) in registers.step_by(self.registers).zip(*row) {
                if let Some(lane) = register.get_mut(at % LANES) {
                    *lane = (*value).into();
                }
            }
        }
    }

    /// How many rows it holds.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many products it answers for a row: [`Panel::rows`] rounded up to whole registers.
    pub(crate) fn width(&self) -> usize {
        self.registers * LANES
    }

    /// The inner products of each of `rows` (one after another) with the panel's, a row's
    /// [`Panel::width`] products side by side; as many as `out` has room for.
    pub(crate) fn products(&self, rows: &[f32], out: &mut [f32]) {
        let (out, _) = out.as_chunks_mut::<LANES>();
        match self.registers {
            1 => self.blocks::<1, 8>(rows, out),
            2 => self.blocks::<2, 4>(rows, out),
            3 => self.blocks::<3, 3>(rows, out),
            _ => self.blocks::<4, 2>(rows, out),
        }
    }

    /// `V` registers, `R` rows at a time: as many sums as keep both multipliers of a core busy and
    /// still fit its registers.
    fn blocks<const V: usize, const R: usize>(&self, rows: &[f32], out: &mut [[f32; LANES]]) {
        let (panel, _) = self.data.as_chunks::<V>();
        let (out, _) = out.as_chunks_mut::<V>();
        let block = self.dim * R;
        if block == 0 {
            return;
        }
        let full = rows.len() / block;
        let (rows, last_rows) = rows.split_at(full * block);
        let (out, last_out) = out.split_at_mut((full * R).min(out.len()));
        for (rows, out) in rows.chunks_exact(block).zip(out.chunks_exact_mut(R)) {
            run::<V, R>(panel, rows, out);
        }
        for (row, out) in last_rows
            .chunks_exact(self.dim)
            .zip(last_out.chunks_exact_mut(1))
        {
            run::<V, 1>(panel, row, out);
        }
    }
}

/// One block on the best instructions that the machine has.
#[inline]
fn run<const V: usize, const R: usize>(
    panel: &[[[f32; LANES]; V]],
    rows: &[f32],
    out: &mut [[[f32; LANES]; V]],
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the machine has both features.
        unsafe { avx2::block::<V, R>(panel, rows, out) };
        return;
    }
    block::<V, R>(panel, rows, out);
}

/// A block without particular instructions.
#[expect(
    clippy::indexing_slicing,
    reason = "constant bounds, unrolled; `k` is under the length that all have"
)]
fn block<const V: usize, const R: usize>(
    panel: &[[[f32; LANES]; V]],
    rows: &[f32],
    out: &mut [[[f32; LANES]; V]],
) {
    let dim = panel.len();
    if rows.len() < dim * R {
        return;
    }
    let mut sums = [[[0.0_f32; LANES]; V]; R];
    for (k, values) in panel.iter().enumerate() {
        for r in 0..R {
            let factor = rows[r * dim + k];
            for v in 0..V {
                for lane in 0..LANES {
                    sums[r][v][lane] += factor * values[v][lane];
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = sums;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::LANES;

    /// A block on 256-bit registers with fused multiply and add.
    #[target_feature(enable = "avx2,fma")]
    #[expect(
        clippy::indexing_slicing,
        clippy::needless_range_loop,
        reason = "constant bounds, unrolled"
    )]
    pub(super) fn block<const V: usize, const R: usize>(
        panel: &[[[f32; LANES]; V]],
        rows: &[f32],
        out: &mut [[[f32; LANES]; V]],
    ) {
        let dim = panel.len();
        if rows.len() < dim * R {
            return;
        }
        let mut sums = [[_mm256_setzero_ps(); V]; R];
        for (k, values) in panel.iter().enumerate() {
            let mut columns = [_mm256_setzero_ps(); V];
            for v in 0..V {
                // SAFETY: an array of eight values is what it reads.
                columns[v] = unsafe { _mm256_loadu_ps(values[v].as_ptr()) };
            }
            for r in 0..R {
                // SAFETY: `r * dim + k < R * dim`, and there are that many.
                let factor = _mm256_set1_ps(unsafe { *rows.get_unchecked(r * dim + k) });
                for v in 0..V {
                    sums[r][v] = _mm256_fmadd_ps(factor, columns[v], sums[r][v]);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (out, sums) in out.iter_mut().zip(sums) {
                // SAFETY: an array of eight values is what it writes.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr(), sums) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(a: &[f32], b: &[f32]) -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_are_those_of_the_rows_and_do_not_depend_on_company(
            dim in 1_usize..40, held in 1_usize..=WIDTH, count in 0_usize..20, seed in 0_u32..1000,
        ) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 1e7 - 0.8;
            let a: Vec<f32> = (0..held * dim).map(value).collect();
            let b: Vec<f32> = (0..count * dim).map(|i| value(i + 7919)).collect();
            let rows: Vec<&[f32]> = a.chunks(dim).collect();
            let mut panel = Panel::new(dim);
            panel.hold(&rows);
            let width = panel.width();
            let mut out = vec![f32::NAN; count * width];
            panel.products(&b, &mut out);
            for (row, products) in b.chunks(dim).zip(out.chunks(width)) {
                for (held, product) in rows.iter().zip(products) {
                    prop_assert!((naive(held, row) - f64::from(*product)).abs() < 1e-4);
                }
                prop_assert!(products[held..].iter().all(|p| *p == 0.0));
                let mut alone = vec![f32::NAN; width];
                panel.products(row, &mut alone);
                prop_assert_eq!(&alone, products);
            }
        }
    }

    #[test]
    fn both_kinds_of_block_agree() {
        let dim = 96;
        let panel: Vec<[[f32; LANES]; 4]> = (0..dim)
            .map(|k| {
                [
                    [(k as f32).sin(); LANES],
                    [0.5; LANES],
                    [k as f32; LANES],
                    [-1.0; LANES],
                ]
            })
            .collect();
        let rows: Vec<f32> = (0..2 * dim).map(|i| (i as f32 * 0.37).cos()).collect();
        let (mut fast, mut plain) = ([[[0.0; LANES]; 4]; 2], [[[0.0; LANES]; 4]; 2]);
        run::<4, 2>(&panel, &rows, &mut fast);
        block::<4, 2>(&panel, &rows, &mut plain);
        for (a, b) in fast
            .as_flattened()
            .as_flattened()
            .iter()
            .zip(plain.as_flattened().as_flattened())
        {
            assert!((a - b).abs() < 1e-2 * (1.0 + b.abs()), "{a} {b}");
        }
    }
}
