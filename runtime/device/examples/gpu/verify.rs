//! Every kernel against its twin on the processor: whole numbers exactly, with all ties; any numbers
//! within the tolerances of docs/devices.md.

use std::sync::Arc;

use routir_core::{Error, Result};
use routir_device::{
    Coarse, Device, DeviceVector, Element, ExactOnCpu, ExactOnDevice, ExactSearch, Found, Join,
    MaxSim, MaxSimOnCpu, MaxSimOnDevice, Metric, Number, Pooled, Pooling, PqList, PqOnCpu,
    PqOnDevice, PqParts, PqSearch, PqVectors, Rows, TokenRows, Workspace, pool_on_cpu,
};

const METRICS: [Metric; 2] = [Metric::InnerProduct, Metric::L2];

/// How much there is of everything.
#[allow(dead_code, reason = "who includes this file has a GPU or an emulator")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// As much as keeps a GPU busy for a while.
    Whole,
    /// As much as an emulator does in a minute: every kernel and every way through them.
    Small,
}

/// Everything, also what comes after a difference, unless the device is lost.
///
/// # Errors
/// With all that differs.
pub(crate) fn all(device: &Arc<Device>, size: Size) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(1);
    let exacts: &[_] = match size {
        Size::Whole => &[(8, 5), (100, 3000), (768, 20_000), (64, 150_000)],
        Size::Small => &[(8, 5), (20, 500)],
    };
    let shapes: &[_] = match size {
        Size::Whole => &[(16, 4, 2), (7, 4, 3), (96, 4, 8), (16, 8, 4), (200, 8, 2)],
        Size::Small => &[(7, 4, 3), (16, 8, 4)],
    };
    let (coded, texts_of_late, dims) = match size {
        Size::Whole => (20_000, (400, 200), &[5, 96, 128, 768][..]),
        Size::Small => (300, (8, 70), &[5, 96][..]),
    };
    let (mut done, mut wrong) = (0, Vec::new());
    let mut note = |outcome: Result<()>| {
        done += 1;
        wrong.extend(outcome.err().map(|error| error.to_string()));
        device.health()
    };
    for metric in METRICS {
        for element in [Element::F32, Element::F16, Element::I8] {
            for (dim, len) in exacts {
                note(exact(device, &mut rng, (element, metric), (*dim, *len)))?;
            }
        }
        for shape in shapes {
            for lists in [None, Some(true), Some(false)] {
                note(codes(
                    device,
                    &mut rng,
                    (*shape, coded),
                    metric,
                    (lists, size),
                ))?;
            }
        }
    }
    for dim in dims {
        note(late(device, &mut rng, *dim, texts_of_late))?;
    }
    for join in [
        Join::First,
        Join::Last,
        Join::Mean,
        Join::Most,
        Join::MeanSqrt,
    ] {
        let widths: &[_] = match size {
            Size::Whole => &[(1, 1, 1), (40, 384, 384), (16, 768, 100)],
            Size::Small => &[(1, 1, 1), (9, 80, 33)],
        };
        for sizes in widths {
            note(texts(device, &mut rng, (join, size), *sizes))?;
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{} of {done} checks failed:\n{}",
        wrong.len(),
        wrong.join("\n")
    )))
}

/// Vectors of texts, and a search for them where they are.
fn texts(
    device: &Arc<Device>,
    rng: &mut fastrand::Rng,
    (join, size): (Join, Size),
    (length, width, dim): (usize, usize, usize),
) -> Result<()> {
    let (count, len) = match size {
        Size::Whole => (50, 3000),
        Size::Small => (12, 200),
    };
    for scaled in [false, true] {
        let how = Pooling {
            number: Number::Single,
            length,
            width,
            join,
            scale: scaled,
            dim,
            scale_last: scaled && dim < width,
        };
        let counts: Vec<usize> = (0..count).map(|_| rng.usize(1..=length)).collect();
        let states = draw(rng, counts.len() * length * width, false);
        let stays: Vec<_> = counts.iter().map(|count| (*count, true)).collect();
        let mut work = Workspace::new(device, "states")?;
        let bytes: Vec<u8> = states.iter().flat_map(|it| it.to_ne_bytes()).collect();
        let at = work.memory(0, bytes.len())?;
        work.upload(0, &bytes)?;
        // SAFETY: the states were just put there, and the workspace keeps them.
        let there = unsafe { work.pool(at, &how, &stays) }?;
        let here: Vec<_> = counts.iter().map(|count| (*count, false)).collect();
        // SAFETY: as above.
        let here = unsafe { work.pool(at, &how, &here) }?;
        let what = format!("{how:?}");
        let wrong = |why: &str| Err(Error::internal(format!("{what}: {why}")));
        let mut queries = Vec::new();
        let each = states.chunks(length * width).zip(&counts).zip(&here);
        for ((states, count), got) in each {
            let wanted = pool_on_cpu(&how, states, *count);
            let Some(Pooled::Here(got)) = got else {
                return wrong("no vector came back");
            };
            let close = got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= 1e-5);
            if got.len() != wanted.len() || !close {
                return wrong("a vector differs from the processor's");
            }
            queries.extend(wanted);
        }
        let vectors: Vec<&DeviceVector> = there
            .iter()
            .filter_map(|it| match it {
                Some(Pooled::There(vector)) => Some(vector),
                _ => None,
            })
            .collect();
        if vectors.len() != counts.len() {
            return wrong("a vector did not stay");
        }
        let rows = Rows::new(Element::F32, dim, &draw(rng, dim * len, false))?;
        let kind = (Element::F32, Metric::InnerProduct);
        let search = ExactOnDevice::new(device, "vectors", kind, (dim, len), [Ok(rows)])?;
        let got = search.search_there(&vectors, 100, None)?;
        let wanted = search.search(&queries, 100, None)?;
        alike(&what, &got, &wanted, 1e-5 * dim as f32 * 10.0)?;
    }
    Ok(())
}

fn draw(rng: &mut fastrand::Rng, count: usize, whole: bool) -> Vec<f32> {
    let number = || match whole {
        true => f32::from(rng.i8(-2..=2)),
        false => rng.f32() * 2.0 - 1.0,
    };
    std::iter::repeat_with(number).take(count).collect()
}

fn exact(
    device: &Arc<Device>,
    rng: &mut fastrand::Rng,
    (element, metric): (Element, Metric),
    (dim, len): (usize, usize),
) -> Result<()> {
    for whole in [true, false] {
        let mut values = draw(rng, dim * len, whole);
        // The first vector again and again at the end: ties at every cut.
        let first: Vec<f32> = values.iter().take(dim).copied().collect();
        let repeated = first.repeat(len / 10);
        let at = values.len() - repeated.len();
        values.splice(at.., repeated);
        let rows = Rows::new(element, dim, &values)?;
        let kind = (element, metric);
        let gpu = ExactOnDevice::new(device, "vectors", kind, (dim, len), [Ok(rows.clone())])?;
        let cpu = ExactOnCpu::new(rows, metric)?;
        let bits: Vec<u8> = (0..len.div_ceil(8)).map(|_| rng.u8(..)).collect();
        for (queries, k) in [
            (1, 10),
            (1, 1000),
            (7, 100),
            (20, 1024),
            (100, 10),
            (140, 100),
        ] {
            for allowed in [None, Some(&bits[..])] {
                let mut asked = draw(rng, dim * queries, whole);
                asked.splice(..dim, first.iter().copied());
                let what = format!("exact {element:?} {metric:?} {dim}x{len} q{queries} k{k}");
                let got = gpu.search(&asked, k, allowed)?;
                let wanted = cpu.search(&asked, k, allowed)?;
                // Factors of eight bits are no whole numbers.
                let exactly = whole && element != Element::I8;
                let most = if exactly {
                    0.0
                } else {
                    2e-6 * dim as f32 * if whole { 4.0 } else { 1.0 }
                };
                alike(&what, &got, &wanted, most)?;
            }
        }
    }
    Ok(())
}

fn codes(
    device: &Arc<Device>,
    rng: &mut fastrand::Rng,
    ((parts, bits, width), len): ((usize, usize, usize), u32),
    metric: Metric,
    (by_residual, size): (Option<bool>, Size),
) -> Result<()> {
    let count = if by_residual.is_some() { 37 } else { 1 };
    for whole in [true, false] {
        let mut lists = vec![PqList::default(); count];
        for id in 0..len {
            let at = rng.usize(..count);
            let most = if bits == 4 { 15 } else { 255 };
            let codes: Vec<u8> = (0..parts).map(|_| rng.u8(..=most)).collect();
            if let Some(list) = lists.get_mut(at) {
                list.ids.push(id);
                list.codes.extend(codes);
            }
        }
        let dim = parts * width;
        let coarse = by_residual.map(|by_residual| Coarse {
            centroids: draw(rng, dim * count, whole),
            by_residual,
        });
        let codebooks = draw(rng, dim << bits, whole);
        let of = PqParts {
            dim,
            parts,
            bits,
            codebooks,
        };
        let vectors = PqVectors::new(of, metric, coarse, lists)?;
        let gpu = PqOnDevice::new(device, "codes", vectors.clone())?;
        let cpu = PqOnCpu::new(vectors)?;
        let searches = match size {
            Size::Whole => [(1, 10, 5), (30, 1000, 12), (5, 100, 37)],
            Size::Small => [(1, 10, 5), (5, 300, 3), (2, 100, 37)],
        };
        for (queries, k, nprobe) in searches {
            let asked = draw(rng, dim * queries, whole);
            let got = gpu.search(&asked, k, nprobe, None)?;
            let wanted = cpu.search(&asked, k, nprobe, None)?;
            let what = format!("codes {parts}x{bits} {metric:?} {by_residual:?} q{queries} k{k}");
            alike(
                &what,
                &got,
                &wanted,
                if whole { 0.0 } else { 4e-6 * dim as f32 },
            )?;
        }
    }
    Ok(())
}

fn late(
    device: &Arc<Device>,
    rng: &mut fastrand::Rng,
    dim: usize,
    (documents, longest): (usize, usize),
) -> Result<()> {
    for whole in [true, false] {
        let mut texts = |count: usize, most: usize| {
            let lengths: Vec<usize> = (0..count).map(|_| rng.usize(..=most)).collect();
            let texts: Vec<_> = lengths
                .iter()
                .map(|it| draw(rng, it * dim, whole))
                .collect();
            TokenRows::new(dim, texts.iter().map(Vec::as_slice))
        };
        let (documents, queries) = (texts(documents, longest)?, texts(6, 150)?);
        let gpu = MaxSimOnDevice::new(device, "documents", &documents)?;
        let cpu = MaxSimOnCpu::new(documents);
        let got = gpu.candidates(&queries, 50)?;
        let wanted = cpu.candidates(&queries, 50)?;
        let most = if whole { 0.0 } else { 1e-4 * dim as f32 };
        alike(&format!("MaxSim of {dim}"), &got, &wanted, most)?;
    }
    Ok(())
}

fn alike(what: &str, got: &[Vec<Found>], wanted: &[Vec<Found>], most: f32) -> Result<()> {
    let differs = |at: usize, got: &[Found], wanted: &[Found]| {
        let pairs = got.iter().zip(wanted);
        let mut pairs = pairs.enumerate().filter(|(_, (a, b))| match most {
            0.0 => a != b,
            _ => (a.score - b.score).abs() > most || a.score.is_nan(),
        });
        let first = pairs.next();
        let lengths = (got.len() != wanted.len()).then_some((got.len(), wanted.len()));
        (first.is_some() || lengths.is_some())
            .then(|| format!("{what}, query {at}: {first:?} {lengths:?}"))
    };
    let mut each = got.iter().zip(wanted).enumerate();
    match each.find_map(|(at, (got, wanted))| differs(at, got, wanted)) {
        Some(why) => Err(Error::internal(format!("the device differs: {why}"))),
        None if got.len() != wanted.len() => {
            Err(Error::internal(format!("{what}: queries differ")))
        }
        None => Ok(()),
    }
}
