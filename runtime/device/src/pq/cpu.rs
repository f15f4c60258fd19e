//! Codes searched on the processor: what a device must equal.

use rayon::prelude::*;
use routir_core::Result;

use super::plan::{centres, plan};
use super::{PqSearch, PqVectors};
use crate::exact::{check, is_allowed};
use crate::order::{Best, key};
use crate::{ExactOnCpu, ExactSearch, Found, Metric};

/// Codes in memory.
pub struct PqOnCpu {
    vectors: PqVectors,
    centres: Option<ExactOnCpu>,
}

impl PqOnCpu {
    /// Searches `vectors`.
    ///
    /// # Errors
    /// When the centres cannot be searched.
    pub fn new(vectors: PqVectors) -> Result<Self> {
        let centres = centres(&vectors)?
            .map(|rows| ExactOnCpu::new(rows, vectors.metric))
            .transpose()?;
        Ok(Self { vectors, centres })
    }

    /// The summand of each part and code.
    fn table(&self, vector: &[f32]) -> Vec<f32> {
        let parts = &self.vectors.parts;
        let width = parts.width();
        let of_part = parts.codebooks.chunks_exact(width * parts.codes());
        let mut table = Vec::with_capacity(parts.parts * parts.codes());
        for (own, codebook) in vector.chunks_exact(width).zip(of_part) {
            table.extend(codebook.chunks_exact(width).map(|of_code| {
                let pairs = own.iter().zip(of_code);
                match self.vectors.metric {
                    Metric::InnerProduct => pairs.map(|(a, b)| a * b).sum::<f32>(),
                    Metric::L2 => -pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
                }
            }));
        }
        table
    }
}

impl PqSearch for PqOnCpu {
    fn dim(&self) -> usize {
        self.vectors.parts.dim
    }

    fn len(&self) -> usize {
        self.vectors.len
    }

    fn search(
        &self,
        queries: &[f32],
        k: usize,
        nprobe: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>> {
        let count = check(queries, self.dim(), k)?;
        let near = |wanted| {
            let near = self.centres.as_ref();
            near.map(|it| it.search(queries, wanted, None)).transpose()
        };
        let plan = plan(&self.vectors, count, k, nprobe, near)?;
        let vectors = plan.vectors(&self.vectors, queries);
        let parts = &self.vectors.parts;
        let search = |probes: &Vec<super::plan::Probe>| {
            let mut best = Best::new(k);
            let mut table = (usize::MAX, Vec::new());
            for probe in probes {
                if table.0 != probe.table {
                    let vector = vectors.get(probe.table * parts.dim..).unwrap_or_default();
                    table = (
                        probe.table,
                        self.table(vector.get(..parts.dim).unwrap_or_default()),
                    );
                }
                let Some(list) = self.vectors.lists.get(probe.list) else {
                    continue;
                };
                for (id, codes) in list.ids.iter().zip(list.codes.chunks_exact(parts.parts)) {
                    if !is_allowed(allowed, *id as usize) {
                        continue;
                    }
                    let of_part = table.1.chunks_exact(parts.codes()).zip(codes);
                    let summand = |(table, code): (&[f32], &u8)| {
                        table.get(usize::from(*code)).copied().unwrap_or_default()
                    };
                    let sum: f32 = of_part.map(summand).fold(0.0, |sum, it| sum + it);
                    best.push(key(probe.bias + sum, *id));
                }
            }
            best.found()
        };
        plan.probes.par_iter().map(search).collect()
    }
}
