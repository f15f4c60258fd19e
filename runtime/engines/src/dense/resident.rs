//! Vectors of an index file that lie on a device and are searched there.

use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use routir_device::{
    Device, DeviceVector, Element, ExactOnDevice, ExactSearch, ExactSplit, FaissRows, FaissVectors,
    Found, IndexFile, MAX_K, Metric, PqOnDevice, PqSearch, PqVectors, split,
};
use routir_index::faiss::{self, Nearest, There};

use crate::index_place::Held;

/// Queries that go to a device in one call.
const AT_ONCE: usize = 256;

/// What is searched.
enum Vectors {
    Exact(Box<ExactOnDevice>),
    Split(Box<ExactSplit>),
    Codes {
        codes: Box<PqOnDevice>,
        nprobe: usize,
    },
}

struct Resident {
    vectors: Vectors,
    metric: Metric,
    description: String,
}

/// Copies the vectors of an index file to a device, or a share of them to each of several, with
/// numbers as `element` or as the file has them. Answers also which devices have any.
pub(super) fn open(
    devices: &[Arc<Device>],
    path: &Path,
    element: Option<Element>,
) -> Result<Held<Box<dyn Nearest>>> {
    let file = IndexFile::open(path)?;
    let what = format!("index `{}`", path.parent().unwrap_or(path).display());
    let vectors = file.vectors().map_err(|why| advised(&why))?;
    let (resident, on) = match (vectors, devices) {
        (FaissVectors::Rows(rows), [device]) => {
            let resident = exact(device, &what, &rows, element)?;
            (resident, vec![Arc::clone(device)])
        }
        (FaissVectors::Rows(rows), devices) => shared_out(devices, &what, &rows, element)?,
        (FaissVectors::Codes(codes), [device]) => {
            let resident = self::codes(device, &what, codes, element)?;
            (resident, vec![Arc::clone(device)])
        }
        (FaissVectors::Codes(_), _) => {
            return Err(Error::invalid(format!(
                "{what} holds codes, which lie on one device; name one in `index_device`"
            )));
        }
    };
    let nearest: Box<dyn Nearest> = Box::new(resident);
    Ok((nearest, on))
}

fn advised(why: &Error) -> Error {
    Error::new(
        why.code(),
        format!(
            "{}; build one of those with `routir-rt index faiss`, or leave the index on the \
             processor with `index_device`: \"cpu\"",
            why.message()
        ),
    )
}

fn exact(
    device: &Arc<Device>,
    what: &str,
    rows: &FaissRows<'_>,
    element: Option<Element>,
) -> Result<Resident> {
    let element = element.unwrap_or_else(|| rows.element());
    let kind = (element, rows.metric());
    let size = (rows.dim(), rows.len());
    let vectors = ExactOnDevice::new(device, what, kind, size, rows.blocks(element))?;
    Ok(Resident {
        vectors: Vectors::Exact(Box::new(vectors)),
        metric: rows.metric(),
        description: format!("{} as {} on {}", rows.kind(), element.name(), device.name()),
    })
}

/// As much on each device as it has room for, and on no more of them than are needed.
fn shared_out(
    devices: &[Arc<Device>],
    what: &str,
    rows: &FaissRows<'_>,
    element: Option<Element>,
) -> Result<Held<Resident>> {
    let element = element.unwrap_or_else(|| rows.element());
    let kind = (element, rows.metric());
    let shares = split(what, element, (rows.dim(), rows.len()), devices)?;
    let (mut parts, mut on): (Vec<Box<dyn ExactSearch>>, Vec<Arc<Device>>) = Default::default();
    let mut told = Vec::new();
    for (device, range) in shares {
        let size = (rows.dim(), range.len());
        let blocks = rows.some(range.clone(), element);
        parts.push(Box::new(ExactOnDevice::new(
            &device, what, kind, size, blocks,
        )?));
        told.push(format!("{} of them on {}", range.len(), device.name()));
        on.push(device);
    }
    let resident = Resident {
        vectors: Vectors::Split(Box::new(ExactSplit::new(parts)?)),
        metric: rows.metric(),
        description: format!("{} as {}, {}", rows.kind(), element.name(), told.join(", ")),
    };
    Ok((resident, on))
}

fn codes(
    device: &Arc<Device>,
    what: &str,
    codes: PqVectors,
    element: Option<Element>,
) -> Result<Resident> {
    if element.is_some() {
        return Err(Error::invalid(format!(
            "{what} holds codes, which stay as they are; leave `index_dtype` out"
        )));
    }
    let (metric, nprobe) = (codes.metric(), codes.nprobe());
    let parts = codes.parts();
    let description = format!(
        "PQ{}x{} in {} lists on {}",
        parts.parts,
        parts.bits,
        codes.lists(),
        device.name()
    );
    let codes = Box::new(PqOnDevice::new(device, what, codes)?);
    Ok(Resident {
        vectors: Vectors::Codes { codes, nprobe },
        metric,
        description,
    })
}

impl Nearest for Resident {
    fn dim(&self) -> usize {
        match &self.vectors {
            Vectors::Exact(exact) => exact.dim(),
            Vectors::Split(exact) => exact.dim(),
            Vectors::Codes { codes, .. } => codes.dim(),
        }
    }

    fn vectors(&self) -> usize {
        match &self.vectors {
            Vectors::Exact(exact) => exact.len(),
            Vectors::Split(exact) => exact.len(),
            Vectors::Codes { codes, .. } => codes.len(),
        }
    }

    fn metric(&self) -> faiss::Metric {
        match self.metric {
            Metric::InnerProduct => faiss::Metric::InnerProduct,
            Metric::L2 => faiss::Metric::L2,
        }
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn most(&self) -> usize {
        MAX_K
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn search(
        &self,
        queries: &[f32],
        limit: usize,
        nprobe: Option<usize>,
        allowed: Option<&[u8]>,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        let found = match &self.vectors {
            Vectors::Exact(exact) => exact.search(queries, limit, allowed)?,
            Vectors::Split(exact) => exact.search(queries, limit, allowed)?,
            Vectors::Codes {
                codes,
                nprobe: usual,
            } => codes.search(queries, limit, nprobe.unwrap_or(*usual), allowed)?,
        };
        Ok(self.answer(&found, limit))
    }

    fn search_there(
        &self,
        queries: &[There<'_>],
        limit: usize,
        nprobe: Option<usize>,
        allowed: Option<&[u8]>,
    ) -> Result<(Vec<f32>, Vec<i64>)> {
        let on_device = queries.iter().map(|query| query.downcast_ref());
        let queries: Option<Vec<&DeviceVector>> = on_device.collect();
        let queries = queries.ok_or_else(|| Error::internal("a query lies on no device"))?;
        let found = match &self.vectors {
            Vectors::Exact(exact) => exact.search_there(&queries, limit, allowed)?,
            Vectors::Split(_) => {
                return Err(Error::internal(
                    "vectors on several devices take none that lie on one",
                ));
            }
            Vectors::Codes {
                codes,
                nprobe: usual,
            } => codes.search_there(&queries, limit, nprobe.unwrap_or(*usual), allowed)?,
        };
        Ok(self.answer(&found, limit))
    }
}

impl Resident {
    /// What was found, as FAISS says it.
    fn answer(&self, found: &[Vec<Found>], limit: usize) -> (Vec<f32>, Vec<i64>) {
        let places = found.len().saturating_mul(limit);
        let (mut scores, mut positions) = (Vec::with_capacity(places), Vec::with_capacity(places));
        for (query, found) in found.iter().enumerate() {
            let score = |it: &Found| match self.metric {
                Metric::InnerProduct => it.score,
                // As FAISS says it: the distance itself.
                Metric::L2 => -it.score,
            };
            scores.extend(found.iter().map(score));
            positions.extend(found.iter().map(|it| i64::from(it.position)));
            scores.resize((query + 1) * limit, 0.0);
            positions.resize((query + 1) * limit, -1);
        }
        (scores, positions)
    }
}
