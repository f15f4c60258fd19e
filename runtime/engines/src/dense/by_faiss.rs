//! An index that FAISS's own code searches on a GPU.

use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};
use routir_device::{Device, Element, Reservation};
use routir_index::faiss::{Faiss, ForGpu, GpuFailure, MOST_ON_GPU, Metric, Nearest, OnGpu};

use super::shared_faiss::OnDevices;
use crate::index_place::Held;

/// Queries that go to FAISS in one call.
const AT_ONCE: usize = 256;

/// What searches of an index share of a device's memory; a quarter of what is left if that is less.
const SCRATCH: u64 = 1 << 30;

/// What to do when FAISS has no such index.
const KINDS: &str = "FAISS has `Flat`, `SQfp16`, `IVF…,Flat`, `IVF…,SQ…` and `IVF…,PQ…` there, also behind a \
                     transform (`OPQ…`); build one of those with `routir-rt index faiss`, leave `index_library` \
                     out, or leave the index on the processor with `index_device`: \"cpu\"";

struct OnDevice {
    /// Before its part of the budget, which is given back when the memory is.
    index: OnGpu,
    _memory: Vec<Reservation>,
    device: Arc<Device>,
    description: String,
}

/// Has FAISS copy an index file to a device.
pub(super) fn open(
    faiss: &Arc<Faiss>,
    place: &OnDevices,
    devices: &[Arc<Device>],
    path: &Path,
) -> Result<Held<Box<dyn Nearest>>> {
    let ([device], [number]) = (devices, &place.numbers[..]) else {
        return Err(Error::internal("FAISS puts an index on one device"));
    };
    device.health()?;
    let what = format!("index `{}`", path.parent().unwrap_or(path).display());
    let read = ForGpu::read(faiss, path)?;
    let half = half(place.element, read.description(), &what)?;
    let kind = read.description().to_owned();
    let refused = |why: &Error| {
        let told = why.message();
        let message =
            format!("{what} ({kind}) cannot be searched by FAISS on a GPU: {told}; {KINDS}");
        Error::new(why.code(), message)
    };

    let bytes = read.bytes(half).map_err(|why| refused(&why))?;
    let budget = device.budget();
    let mut memory = vec![budget.reserve(&what, bytes)?];
    let scratch = SCRATCH.min(budget.left() / 4);
    memory.push(budget.reserve(&format!("searches of {what}"), scratch)?);
    let (index, taken) = read
        .place(*number, half, scratch)
        .map_err(|failure| match failure {
            GpuFailure::Call(why) => refused(&why),
            GpuFailure::Device(why) => device.lose(&format!("FAISS, placing {what}: {why}")),
        })?;
    // FAISS rounds as it likes, and says afterwards what it has.
    if let Some(more) = taken.checked_sub(bytes).filter(|more| *more > 0) {
        memory.push(budget.reserve(&what, more)?);
    }
    let numbers = if half { ", 16 bits," } else { "" };
    let nearest = Box::new(OnDevice {
        description: format!("{kind}{numbers} on {} by FAISS", device.name()),
        index,
        _memory: memory,
        device: Arc::clone(device),
    });
    Ok((nearest, vec![Arc::clone(device)]))
}

/// Whether numbers have 16 bits there: of flat vectors, and of the tables that codes are looked up in.
fn half(element: Option<Element>, kind: &str, what: &str) -> Result<bool> {
    let last = kind.rsplit(',').next().unwrap_or(kind);
    match (element, last, kind.contains("IVF")) {
        (None, ..) => Ok(false),
        (Some(element), "Flat", false) | (Some(element), "PQ", true) => Ok(element == Element::F16),
        _ => Err(Error::invalid(format!(
            "{what} ({kind}) keeps its numbers as they are on a GPU with `index_library`: \"faiss\"; leave \
             `index_dtype` out"
        ))),
    }
}

impl Nearest for OnDevice {
    fn dim(&self) -> usize {
        self.index.dim()
    }

    fn vectors(&self) -> usize {
        self.index.len()
    }

    fn metric(&self) -> Metric {
        self.index.metric()
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn most(&self) -> usize {
        MOST_ON_GPU
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
        if allowed.is_some() {
            return Err(Error::invalid("FAISS filters nothing on a GPU"));
        }
        let _queued = self.device.queue();
        self.device.health()?;
        let found = self.index.search(queries, limit, nprobe);
        found.map_err(|failure| match failure {
            GpuFailure::Call(why) => why,
            GpuFailure::Device(why) => self.device.lose(&format!("FAISS, searching: {why}")),
        })
    }
}
