//! What the kernels reach, beside what the device can: copying, and multiplying.

use std::sync::Arc;
use std::time::Instant;

use routir_core::Result;
use routir_device::{
    CodedTokens, Device, DeviceInfo, Element, ExactOnDevice, ExactSearch, Join, MaxSim,
    MaxSimOnDevice, Metric, Number, Pooling, PqList, PqOnDevice, PqParts, PqSearch, PqVectors,
    Rows, TokenRows, Workspace,
};
use serde_json::{Value, json};

/// How often each is measured; the median counts.
const TIMES: usize = 7;
const DIM: usize = 768;
/// Vectors that are made once and copied again and again.
const BLOCK: usize = 10_000;

/// A measurement.
pub(crate) struct Row {
    what: String,
    seconds: f64,
    /// Bytes that were read at least, and operations on numbers.
    bytes: f64,
    operations: f64,
}

/// Measures everything, and prints a table.
///
/// # Errors
/// When the device fails.
pub(crate) fn all(device: &Arc<Device>, info: &DeviceInfo, vectors: usize) -> Result<Vec<Row>> {
    let mut rows = peaks(device, info)?;
    rows.extend(exact(device, vectors)?);
    rows.extend(codes(device, vectors)?);
    rows.extend(late(device)?);
    rows.extend(texts(device)?);
    let peak = |at: usize, of: fn(&Row) -> f64| rows.get(at).map_or(f64::NAN, of);
    let copy = peak(0, |it| it.bytes / it.seconds);
    let multiply = peak(1, |it| it.operations / it.seconds);
    println!(
        "{:<44} {:>9} {:>8} {:>6} {:>8} {:>6}",
        "", "ms", "GB/s", "copy", "TFLOP/s", "mma"
    );
    for row in &rows {
        let (bytes, operations) = (row.bytes / row.seconds, row.operations / row.seconds);
        println!(
            "{:<44} {:>9.3} {:>8.0} {:>5.0}% {:>8.1} {:>5.0}%",
            row.what,
            row.seconds * 1e3,
            bytes / 1e9,
            bytes / copy * 100.0,
            operations / 1e12,
            operations / multiply * 100.0
        );
    }
    Ok(rows)
}

/// The measurements as JSON.
pub(crate) fn as_json(info: &DeviceInfo, driver: &str, rows: &[Row]) -> String {
    let row = |it: &Row| json!({"what": it.what, "seconds": it.seconds, "bytes": it.bytes, "operations": it.operations});
    let rows: Vec<Value> = rows.iter().map(row).collect();
    format!(
        "{:#}\n",
        json!({"device": info, "driver": driver, "rows": rows})
    )
}

/// The median of several runs, after one that counts for nothing.
fn timed(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(TIMES / 2).copied().unwrap_or_default())
}

/// What the device copies and multiplies in a second, by kernels that do nothing else.
fn peaks(device: &Arc<Device>, info: &DeviceInfo) -> Result<Vec<Row>> {
    let bytes = 4_usize << 30;
    let copied = routir_device::Peaks::new(device, bytes)?;
    let copy = timed(|| copied.copy())?;
    let mut rows = vec![Row {
        what: "copying 4 GiB, read and written".to_owned(),
        seconds: copy,
        bytes: 2.0 * bytes as f64,
        operations: 0.0,
    }];
    // The fastest way first, of which the others are shares.
    for wide in [true, false] {
        if wide && info.compute_capability != (9, 0) {
            continue;
        }
        rows.push(Row {
            what: match wide {
                true => "multiplying f16 in the fastest way (wgmma)".to_owned(),
                false => "multiplying f16 as searches do (mma.sync)".to_owned(),
            },
            seconds: timed(|| copied.multiply(info.processors, wide))?,
            bytes: 0.0,
            operations: copied.operations(info.processors),
        });
    }
    Ok(rows)
}

fn numbers(rng: &mut fastrand::Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.f32() * 2.0 - 1.0).collect()
}

fn exact(device: &Arc<Device>, len: usize) -> Result<Vec<Row>> {
    let mut rng = fastrand::Rng::with_seed(3);
    let len = len.next_multiple_of(BLOCK);
    let mut rows = Vec::new();
    for element in [Element::F16, Element::I8] {
        // Blocks of different vectors, over and over: what is read does not depend on them.
        let made: Vec<Rows> = (0..8)
            .map(|_| Rows::new(element, DIM, &numbers(&mut rng, BLOCK * DIM)))
            .collect::<Result<_>>()?;
        let blocks = made.iter().cycle().take(len / BLOCK).cloned().map(Ok);
        let kind = (element, Metric::InnerProduct);
        let search = ExactOnDevice::new(device, "vectors", kind, (DIM, len), blocks)?;
        // 8 by the scan: where they take longer than 32 by tiles, these should take them.
        for queries in [1, 8, 32, 256] {
            let asked = numbers(&mut rng, queries * DIM);
            for k in [10, 100, 1000] {
                let seconds = timed(|| search.search(&asked, k, None).map(drop))?;
                rows.push(Row {
                    what: format!(
                        "exact {} {len} x {DIM}, {queries} queries, k {k}",
                        element.name()
                    ),
                    seconds,
                    bytes: (len * element.row_bytes(DIM)) as f64,
                    operations: 2.0 * (len * DIM * queries) as f64,
                });
            }
        }
    }
    Ok(rows)
}

fn codes(device: &Arc<Device>, len: usize) -> Result<Vec<Row>> {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut rows = Vec::new();
    for (parts, bits) in [(96, 4), (96, 8)] {
        let most = if bits == 4 { 15 } else { 255 };
        let list = PqList {
            ids: (0..u32::try_from(len).unwrap_or(u32::MAX)).collect(),
            codes: (0..len * parts).map(|_| rng.u8(..=most)).collect(),
        };
        let of = PqParts {
            dim: DIM,
            parts,
            bits,
            codebooks: numbers(&mut rng, DIM << bits),
        };
        let vectors = PqVectors::new(of, Metric::InnerProduct, None, vec![list])?;
        let search = PqOnDevice::new(device, "codes", vectors)?;
        for queries in [1, 32] {
            let asked = numbers(&mut rng, queries * DIM);
            let seconds = timed(|| search.search(&asked, 100, 1, None).map(drop))?;
            rows.push(Row {
                what: format!("PQ{parts}x{bits} {len}, {queries} queries, k 100"),
                seconds,
                bytes: (len * parts * bits / 8) as f64,
                operations: (len * parts * queries) as f64,
            });
        }
    }
    Ok(rows)
}

fn late(device: &Arc<Device>) -> Result<Vec<Row>> {
    let mut rng = fastrand::Rng::with_seed(5);
    let dim = 128;
    let lengths: Vec<usize> = (0..10_000).map(|_| rng.usize(20..300)).collect();
    let texts: Vec<Vec<f32>> = lengths
        .iter()
        .map(|it| numbers(&mut rng, it * dim))
        .collect();
    let documents = TokenRows::new(dim, texts.iter().map(Vec::as_slice))?;
    let search = MaxSimOnDevice::new(device, "documents", &documents)?;
    let query = numbers(&mut rng, 32 * dim);
    let queries = TokenRows::new(dim, [query.as_slice()])?;
    let mut rows = Vec::new();
    let mut measure = |search: &MaxSimOnDevice, kept: &str, of_row: usize| -> Result<()> {
        for count in [1_000, 10_000] {
            let pairs: Vec<_> = (0..count).map(|document| [0, document]).collect();
            let seconds = timed(|| search.score(&queries, &pairs).map(drop))?;
            let read: usize = lengths.iter().take(count as usize).sum();
            rows.push(Row {
                what: format!("MaxSim 32 x {dim}, {count} documents of 20 to 300, {kept}"),
                seconds,
                bytes: (read * of_row) as f64,
                operations: 2.0 * (read * dim * 32) as f64,
            });
        }
        Ok(())
    };
    measure(&search, "f16", dim * 2)?;
    // As an index keeps them: a centroid and 4 or 2 bits per number.
    let count: usize = lengths.iter().sum();
    let centroids = 1 << 14;
    let mut end = 0;
    let ends: Vec<u64> = lengths
        .iter()
        .map(|it| {
            end += *it as u64;
            end
        })
        .collect();
    for bits in [4, 2] {
        let tokens = CodedTokens {
            dim,
            bits,
            unit: true,
            centroids: &numbers(&mut rng, centroids * dim),
            spread: &numbers(&mut rng, dim),
            levels: &numbers(&mut rng, 1 << bits),
            ends: &ends,
            codes: &(0..count).map(|_| rng.u32(..1 << 14)).collect::<Vec<_>>(),
            kept: &(0..count * dim * bits / 8)
                .map(|_| rng.u8(..))
                .collect::<Vec<_>>(),
        };
        let coded = MaxSimOnDevice::coded(device, "index", &tokens)?;
        // Beside the bits a centroid's number, a scale, and the centroid itself.
        let of_row = dim * bits / 8 + 8 + dim * 2;
        measure(&coded, &format!("{bits} bits"), of_row)?;
    }
    Ok(rows)
}

/// Pooling the states of 32 texts of 128 tokens.
fn texts(device: &Arc<Device>) -> Result<Vec<Row>> {
    let (texts, length) = (32, 128);
    let mut work = Workspace::new(device, "states")?;
    let mut rows = Vec::new();
    for (number, name, size) in [(Number::Single, "f32", 4), (Number::Half, "f16", 2)] {
        let how = Pooling {
            number,
            length,
            width: DIM,
            join: Join::Mean,
            scale: true,
            dim: DIM,
            scale_last: false,
        };
        let bytes = vec![0; texts * length * DIM * size];
        let at = work.memory(0, bytes.len())?;
        work.upload(0, &bytes)?;
        let counts = vec![(length, true); texts];
        let seconds = timed(|| {
            // SAFETY: so many bytes were put there, and the workspace keeps them.
            unsafe { work.pool(at, &how, &counts) }.map(drop)
        })?;
        rows.push(Row {
            what: format!("pooling {texts} x {length} x {DIM} {name}"),
            seconds,
            bytes: bytes.len() as f64,
            operations: (texts * length * DIM) as f64,
        });
    }
    Ok(rows)
}
