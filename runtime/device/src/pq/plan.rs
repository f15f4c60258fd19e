//! Which lists a query is searched in, and with what tables.

use routir_core::Result;

use super::PqVectors;
use crate::exact::check;
use crate::{Element, ExactSearch, MAX_K, Metric, Rows};

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
    /// The vector of each table: a query, or what is left of it without a centre.
    pub(super) vectors: Vec<f32>,
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

/// Plans the search of queries, whose nearest centres `centres` finds.
pub(super) fn plan(
    of: &PqVectors,
    centres: Option<&dyn ExactSearch>,
    queries: &[f32],
    k: usize,
    nprobe: usize,
) -> Result<Plan> {
    let dim = of.parts.dim;
    check(queries, dim, k)?;
    let mut plan = Plan {
        vectors: Vec::new(),
        probes: Vec::new(),
    };
    let (Some(coarse), Some(centres)) = (&of.coarse, centres) else {
        plan.vectors.extend_from_slice(queries);
        let probe = |table| {
            let (list, bias) = (0, 0.0);
            vec![Probe { list, table, bias }]
        };
        plan.probes = (0..queries.len() / dim).map(probe).collect();
        return Ok(plan);
    };
    let wanted = nprobe.clamp(1, of.lists.len().max(1));
    check(&[], dim, wanted).map_err(|error| error.at(format!("`nprobe` (at most {MAX_K})")))?;
    let near = centres.search(queries, wanted, None)?;
    for (query, near) in queries.chunks_exact(dim).zip(near) {
        let first = plan.vectors.len() / dim;
        let own = coarse.by_residual && of.metric == Metric::L2;
        if !own {
            plan.vectors.extend_from_slice(query);
        }
        let mut probes = Vec::with_capacity(near.len());
        for (number, centre) in near.iter().enumerate() {
            let list = centre.position as usize;
            let values = coarse.centroids.get(list * dim..(list + 1) * dim);
            if own {
                let pairs = query.iter().zip(values.unwrap_or_default());
                plan.vectors.extend(pairs.map(|(q, c)| q - c));
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
