//! Which lists a query is searched in, and with what tables.

use routir_core::Result;

use super::PqVectors;
use crate::exact::check;
use crate::{Element, Found, MAX_K, Metric, Rows};

/// A list that is searched with a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Probe {
    pub(super) list: usize,
    pub(super) table: usize,
    /// What every score gets in addition.
    pub(super) bias: f32,
}

/// What is searched for some queries.
pub(super) struct Plan {
    /// The vector of each table: a query, less a centre if there is one.
    pub(super) tables: Vec<(usize, Option<usize>)>,
    /// The lists of each query.
    pub(super) probes: Vec<Vec<Probe>>,
}

/// The centres as vectors to search, for an inverted file.
pub(super) fn centres(of: &PqVectors) -> Result<Option<Rows>> {
    let rows = |it: &super::Coarse| Rows::new(Element::F32, of.parts.dim, &it.centroids);
    of.coarse.as_ref().map(rows).transpose()
}

/// The most tables that one query takes.
pub(super) fn tables_of_query(of: &PqVectors, nprobe: usize) -> usize {
    match &of.coarse {
        Some(coarse) if coarse.by_residual && of.metric == Metric::L2 => {
            nprobe.clamp(1, of.lists.len().max(1))
        }
        _ => 1,
    }
}

impl Plan {
    /// The vector of each table, for queries that are here.
    pub(super) fn vectors(&self, of: &PqVectors, queries: &[f32]) -> Vec<f32> {
        let dim = of.parts.dim;
        let row = |all: &[f32], at: usize| all.get(at * dim..(at + 1) * dim).map(<[f32]>::to_vec);
        let mut vectors = Vec::with_capacity(self.tables.len() * dim);
        for (query, centre) in &self.tables {
            let mut vector = row(queries, *query).unwrap_or_default();
            let centroids = of.coarse.as_ref().map(|it| it.centroids.as_slice());
            let centre = centre
                .and_then(|at| row(centroids?, at))
                .unwrap_or_default();
            for (value, centre) in vector.iter_mut().zip(centre) {
                *value -= centre;
            }
            vectors.extend(vector);
        }
        vectors
    }
}

/// Plans the search of `count` queries, whose nearest centres `nearest` finds.
pub(super) fn plan(
    of: &PqVectors,
    count: usize,
    k: usize,
    nprobe: usize,
    nearest: impl FnOnce(usize) -> Result<Option<Vec<Vec<Found>>>>,
) -> Result<Plan> {
    let dim = of.parts.dim;
    check(&[], dim, k)?;
    let wanted = nprobe.clamp(1, of.lists.len().max(1));
    let near = match &of.coarse {
        None => None,
        Some(coarse) => {
            check(&[], dim, wanted)
                .map_err(|error| error.at(format!("`nprobe` (at most {MAX_K})")))?;
            nearest(wanted)?.map(|near| (coarse, near))
        }
    };
    let mut plan = Plan {
        tables: Vec::new(),
        probes: Vec::new(),
    };
    let Some((coarse, near)) = near else {
        plan.tables = (0..count).map(|query| (query, None)).collect();
        let probe = |table| {
            let (list, bias) = (0, 0.0);
            vec![Probe { list, table, bias }]
        };
        plan.probes = (0..count).map(probe).collect();
        return Ok(plan);
    };
    for (query, near) in near.iter().enumerate() {
        let first = plan.tables.len();
        let own = coarse.by_residual && of.metric == Metric::L2;
        if !own {
            plan.tables.push((query, None));
        }
        let mut probes = Vec::with_capacity(near.len());
        for (number, centre) in near.iter().enumerate() {
            let list = centre.position as usize;
            if own {
                plan.tables.push((query, Some(list)));
            }
            probes.push(Probe {
                list,
                table: if own { first + number } else { first },
                bias: match coarse.by_residual && of.metric == Metric::InnerProduct {
                    true => centre.score,
                    false => 0.0,
                },
            });
        }
        plan.probes.push(probes);
    }
    Ok(plan)
}
