//! The first half of a search: the query against the centroids.
//!
//! Every centroid's product with every query row is kept in one byte, so that a passage's token
//! costs one register: its centroid's bytes for up to 32 query rows. The sum over the query rows of
//! the largest byte among a passage's tokens is what PLAID calls centroid interaction.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::AtomicBool;

use routir_core::Result;

use super::kernel::Panel;
use super::maxsim::LateQuery;
use super::search::still_wanted;

/// Centroids between two looks at whether the caller is still there.
const STEP: usize = 4096;

/// A query's products with all centroids.
pub(crate) struct Probe {
    tables: Vec<Table>,
    /// The centroids nearest to some row of the query, ascending.
    pub(crate) cells: Vec<u32>,
}

/// The products of one panel of the query, in steps of `step`.
struct Table {
    width: usize,
    step: f32,
    bytes: Vec<u8>,
}

impl Probe {
    /// Compares `query` with `centroids` and picks the `probes` best ones of each row; of equals the
    /// first.
    pub(crate) fn new(
        query: &LateQuery,
        centroids: &[f32],
        probes: usize,
        cancelled: &AtomicBool,
    ) -> Result<Self> {
        let count = centroids.len() / query.dim().max(1);
        let mut products = Vec::new();
        let (mut tables, mut cells) = (Vec::new(), Vec::new());
        for panel in query.panels() {
            let width = panel.width();
            products.clear();
            products.resize(count * width, 0.0);
            let blocks = centroids.chunks(STEP * query.dim().max(1));
            for (rows, out) in blocks.zip(products.chunks_mut(STEP * width)) {
                still_wanted(cancelled)?;
                panel.products(rows, out);
            }
            if probes < count {
                cells.extend(best(&products, panel, probes));
            }
            tables.push(Table::new(&products, width));
        }
        if probes >= count && query.rows() > 0 {
            cells = (0..count as u32).collect();
        }
        cells.sort_unstable();
        cells.dedup();
        Ok(Self { tables, cells })
    }

    /// The score of a passage whose tokens have these centroids, as if each token were its centroid,
    /// plus what is the same for all passages. `None` when there is no such centroid.
    pub(crate) fn interaction(&self, codes: &[u32]) -> Option<f32> {
        let mut sum = 0.0;
        for Table { width, step, bytes } in &self.tables {
            let bytes = match width {
                8 => interaction::<8>(bytes, codes),
                16 => interaction::<16>(bytes, codes),
                24 => interaction::<24>(bytes, codes),
                _ => interaction::<32>(bytes, codes),
            };
            sum += bytes? as f32 * step;
        }
        Some(sum)
    }
}

fn interaction<const W: usize>(bytes: &[u8], codes: &[u32]) -> Option<u32> {
    let (rows, _) = bytes.as_chunks::<W>();
    let mut best = [0_u8; W];
    for code in codes {
        let row = rows.get(*code as usize)?;
        for (best, byte) in best.iter_mut().zip(row) {
            *best = (*best).max(*byte);
        }
    }
    Some(best.iter().map(|byte| u32::from(*byte)).sum())
}

impl Table {
    /// Rounds products to bytes: each query row's best product is 255, and a step is the same for
    /// all, so that bytes of different rows may be added.
    fn new(products: &[f32], width: usize) -> Self {
        let mut low = vec![f32::INFINITY; width];
        let mut high = vec![f32::NEG_INFINITY; width];
        for row in products.chunks_exact(width) {
            for ((low, high), value) in low.iter_mut().zip(&mut high).zip(row) {
                *low = if *value < *low { *value } else { *low };
                *high = if *value > *high { *value } else { *high };
            }
        }
        let range = low
            .iter()
            .zip(&high)
            .map(|(low, high)| high - low)
            .fold(0.0, f32::max);
        let step = range / 255.0;
        let factor = if step > 0.0 { 1.0 / step } else { 0.0 };
        let mut bytes = Vec::with_capacity(products.len());
        for row in products.chunks_exact(width) {
            let byte = |(value, high): (&f32, &f32)| ((value - high) * factor + 255.5) as u8;
            bytes.extend(row.iter().zip(&high).map(byte));
        }
        Self { width, step, bytes }
    }
}

/// The `probes` best centroids of each row that `panel` holds.
fn best(products: &[f32], panel: &Panel, probes: usize) -> Vec<u32> {
    let width = panel.width();
    let mut heaps = vec![BinaryHeap::new(); panel.rows()];
    // What a product must be above to get in.
    let mut bars = vec![f32::NEG_INFINITY; width];
    for (bar, _) in bars.iter_mut().zip(0..).skip(panel.rows()) {
        *bar = f32::INFINITY;
    }
    for (centroid, row) in (0_u32..).zip(products.chunks_exact(width)) {
        // Without a branch inside, so that it runs on whole registers; it is rarely true.
        let above = row
            .iter()
            .zip(&bars)
            .fold(false, |any, (value, bar)| any | (value > bar));
        if !above {
            continue;
        }
        for ((value, bar), heap) in row.iter().zip(&mut bars).zip(&mut heaps) {
            if value > bar {
                heap.push(Reverse((Ordered(*value), Reverse(centroid))));
                if heap.len() > probes {
                    heap.pop();
                }
                if heap.len() >= probes {
                    *bar = heap
                        .peek()
                        .map_or(f32::INFINITY, |Reverse((worst, _))| worst.0);
                }
            }
        }
    }
    let cells = heaps.into_iter().flatten();
    cells
        .map(|Reverse((_, Reverse(centroid)))| centroid)
        .collect()
}

/// A number in the total order of numbers.
#[derive(Clone, Copy, PartialEq)]
struct Ordered(f32);

impl Eq for Ordered {}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::mix;
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        (0..count as u64)
            .map(|i| (mix(seed ^ mix(i)) % 2001) as f32 / 1000.0 - 1.0)
            .collect()
    }

    #[test]
    fn picks_the_best_cells_of_each_row_and_rounds_little() {
        let (dim, count) = (8, 300);
        let centroids = numbers(count * dim, 1);
        for rows in [1, 8, 11, 32, 40] {
            let values = numbers(rows * dim, 2);
            let query = LateQuery::new(&values, dim).unwrap();
            let cancelled = AtomicBool::new(false);
            let probe = Probe::new(&query, &centroids, 3, &cancelled).unwrap();
            let dot = |q: &[f32], c: usize| {
                q.iter()
                    .zip(&centroids[c * dim..])
                    .map(|(a, b)| a * b)
                    .sum::<f32>()
            };
            let mut wanted = Vec::new();
            for row in values.chunks(dim) {
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by(|a, b| dot(row, *b).total_cmp(&dot(row, *a)));
                wanted.extend(order[..3].iter().map(|c| *c as u32));
            }
            wanted.sort_unstable();
            wanted.dedup();
            assert_eq!(probe.cells, wanted);
            let exact = |codes: &[u32]| {
                let best = |q: &[f32]| {
                    codes
                        .iter()
                        .map(|c| dot(q, *c as usize))
                        .fold(f32::MIN, f32::max)
                };
                values.chunks(dim).map(best).sum::<f32>()
            };
            let (a, b) = ([1, 5, 9], [7, 200, 299, 4]);
            let difference = probe.interaction(&a).unwrap() - probe.interaction(&b).unwrap();
            assert!((difference - (exact(&a) - exact(&b))).abs() < 0.04 * rows as f32);
            assert!(probe.interaction(&[300]).is_none());
            let all = Probe::new(&query, &centroids, usize::MAX, &cancelled).unwrap();
            assert_eq!(all.cells.len(), count);
        }
    }
}
