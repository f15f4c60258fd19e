//! Vectors of an index file that lie on a device and are searched there.

use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use routir_device::{
    Device, DeviceVector, Element, ExactOnDevice, ExactSearch, FaissRows, FaissVectors, Found,
    IndexFile, MAX_K, Metric, PqOnDevice, PqSearch, PqVectors,
};
use routir_index::faiss::{self, Nearest, There};

/// Queries that go to a device in one call.
const AT_ONCE: usize = 256;

/// What is searched.
enum Vectors {
    Exact(ExactOnDevice),
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

/// Copies the vectors of an index file to a device, with numbers as `element` or as the file has them.
pub(super) fn open(
    device: &Arc<Device>,
    path: &Path,
    element: Option<Element>,
) -> Result<Box<dyn Nearest>> {
    let file = IndexFile::open(path)?;
    let what = format!("index `{}`", path.parent().unwrap_or(path).display());
    let resident = match file.vectors().map_err(|why| advised(&why))? {
        FaissVectors::Rows(rows) => exact(device, &what, &rows, element)?,
        FaissVectors::Codes(codes) => self::codes(device, &what, codes, element)?,
    };
    Ok(Box::new(resident))
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
        vectors: Vectors::Exact(vectors),
        metric: rows.metric(),
        description: format!("{} as {} on {}", rows.kind(), element.name(), device.name()),
    })
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
            Vectors::Codes { codes, .. } => codes.dim(),
        }
    }

    fn vectors(&self) -> usize {
        match &self.vectors {
            Vectors::Exact(exact) => exact.len(),
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
