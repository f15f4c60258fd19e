//! That searches, again and again, leave nothing behind: neither on the device nor in the process.

use std::sync::Arc;

use routir_core::{Error, Result};
use routir_device::{
    Device, Devices, Element, ExactOnDevice, ExactSearch, MaxSim, MaxSimOfTexts, MaxSimOnDevice,
    Metric, Rows, TokenRows,
};

/// Batches after which memory has grown as far as it does.
const FIRST: usize = 200;
/// What memory may differ by at the end: others use the device, and allocators keep some.
const SLACK: u64 = 32 << 20;

/// Memory that is free on the device, and what the process has.
struct Memory {
    budget: u64,
    free: Option<u64>,
    process: Option<u64>,
}

impl Memory {
    fn now(device: &Device) -> Self {
        let found = Devices::discover().devices;
        let named = |it: &&routir_device::DeviceInfo| {
            device.name().starts_with(&format!("`cuda:{}`", it.number))
        };
        Self {
            budget: device.budget().left(),
            free: found.iter().find(named).map(|it| it.free_bytes),
            process: resident(),
        }
    }
}

/// Vectors of so many numbers, so many of them, and the most queries of a batch.
pub(crate) type Sizes = (usize, usize, usize);

/// Searches `batches` times, with as many queries and results as come by chance.
///
/// # Errors
/// When memory has grown, or the device fails.
pub(crate) fn all(device: &Arc<Device>, batches: usize, (dim, len, most): Sizes) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(6);
    let mut numbers = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.f32()).collect() };
    let rows = Rows::new(Element::F16, dim, &numbers(dim * len))?;
    let kind = (Element::F16, Metric::InnerProduct);
    let exact = ExactOnDevice::new(device, "vectors", kind, (dim, len), [Ok(rows)])?;
    let texts: Vec<Vec<f32>> = (0..30).map(|at| numbers(at * dim)).collect();
    let documents = TokenRows::new(dim, texts.iter().map(Vec::as_slice))?;
    let late = MaxSimOnDevice::new(device, "documents", &documents)?;
    let of_texts = MaxSimOfTexts::new(device, dim)?;
    let queries = numbers(most * dim);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut batch = |largest: bool| -> Result<()> {
        let count = if largest { most } else { rng.usize(1..=most) };
        let asked = queries.get(..count * dim).unwrap_or_default();
        let k = if largest { 100 } else { rng.usize(1..=100) };
        exact.search(asked, k, None)?;
        let query = TokenRows::new(dim, [asked])?;
        let last = if largest { 29 } else { rng.u32(..30) };
        late.score(&query, &[[0, last]])?;
        of_texts.score(&query, &documents, &[[0, last]])?;
        Ok(())
    };
    batch(true)?;
    for _ in 0..FIRST.min(batches) {
        batch(false)?;
    }
    let before = Memory::now(device);
    for _ in 0..batches {
        batch(false)?;
    }
    let after = Memory::now(device);
    let grown = |what: &str, before: u64, after: u64| {
        Err(Error::internal(format!(
            "{batches} batches left something behind: {what} was {before} bytes, and is {after}"
        )))
    };
    if after.budget != before.budget {
        return grown("what is left of the budget", before.budget, after.budget);
    }
    if let (Some(before), Some(after)) = (before.free, after.free)
        && after + SLACK < before
    {
        return grown("what is free on the device", before, after);
    }
    if let (Some(before), Some(after)) = (before.process, after.process)
        && after > before + SLACK
    {
        return grown("the process", before, after);
    }
    Ok(())
}

/// The memory of this process, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
