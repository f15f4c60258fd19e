//! What is hard for a search: ties, equal vectors, zeros, more results than there are, numbers that are
//! none, texts without rows. Small, so that the emulator and a sanitizer can run it, too.

use std::sync::Arc;

use routir_core::{Error, ErrorCode, Result};
use routir_device::{
    CodedTokens, Device, Element, ExactOnCpu, ExactOnDevice, ExactSearch, MAX_K, MaxSim,
    MaxSimOfTexts, MaxSimOnCpu, MaxSimOnDevice, Metric, Rows, TokenRows,
};

const METRICS: [Metric; 2] = [Metric::InnerProduct, Metric::L2];

/// Everything.
///
/// # Errors
/// With what differs first.
pub(crate) fn all(device: &Arc<Device>) -> Result<()> {
    for metric in METRICS {
        for element in [Element::F32, Element::F16, Element::I8] {
            exact(device, element, metric)?;
        }
    }
    refused(device)?;
    late(device)?;
    for bits in [2, 4, 16] {
        coded(device, bits)?;
    }
    device.health()
}

fn differs(what: &str) -> Error {
    Error::internal(format!("the device differs: {what}"))
}

fn same<T: PartialEq>(what: &str, got: &T, wanted: &T) -> Result<()> {
    match got == wanted {
        true => Ok(()),
        false => Err(differs(what)),
    }
}

/// Equal vectors, zeros among them, and more results wanted than there are.
fn exact(device: &Arc<Device>, element: Element, metric: Metric) -> Result<()> {
    let dim = 40;
    let ones = vec![1.0; dim];
    let zeros = vec![0.0; dim];
    let minus = vec![-1.0; dim];
    let corpora: [(&str, Vec<f32>); 4] = [
        ("one", ones.clone()),
        ("equal", ones.repeat(400)),
        ("zeros", zeros.repeat(300)),
        (
            "in turns",
            [&*ones, &*zeros, &*minus, &*ones].concat().repeat(150),
        ),
    ];
    for (name, values) in &corpora {
        let rows = Rows::new(element, dim, values)?;
        let (len, kind) = (rows.len(), (element, metric));
        let gpu = ExactOnDevice::new(device, "vectors", kind, (dim, len), [Ok(rows.clone())])?;
        let cpu = ExactOnCpu::new(rows, metric)?;
        // Every third; and none.
        let pattern = [0x49, 0x92, 0x24].into_iter().cycle();
        let some: Vec<u8> = pattern.take(len.div_ceil(8)).collect();
        let none = vec![0; len.div_ceil(8)];
        for (count, k) in [(0, 10), (1, 0), (1, MAX_K), (9, 1), (9, 256), (40, 10)] {
            let queries = [&*zeros, &*ones, &*minus].concat().repeat(count);
            let queries = queries.get(..count * dim).unwrap_or_default();
            for allowed in [None, Some(&*some), Some(&*none)] {
                let what = format!("{name}, {element:?} {metric:?}, {count} queries, k {k}");
                let got = gpu.search(queries, k, allowed)?;
                same(&what, &got, &cpu.search(queries, k, allowed)?)?;
            }
        }
    }
    Ok(())
}

/// What is no number, or too large, goes neither in nor out, and harms nobody.
fn refused(device: &Arc<Device>) -> Result<()> {
    let rows = Rows::new(Element::F16, 4, &[1.0; 40])?;
    let kind = (Element::F16, Metric::InnerProduct);
    let gpu = ExactOnDevice::new(device, "vectors", kind, (4, 10), [Ok(rows)])?;
    let mut outcomes = Vec::new();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e6] {
        outcomes.push(("a query", gpu.search(&[1.0, bad, 0.0, 0.0], 3, None).err()));
        outcomes.push((
            "a vector",
            Rows::new(Element::F16, 4, &[1.0, bad, 0.0, 0.0]).err(),
        ));
        let text = [1.0, bad, 0.0, 0.0];
        outcomes.push(("a row", TokenRows::new(4, [text.as_slice()]).err()));
    }
    outcomes.push(("too many", gpu.search(&[1.0; 4], MAX_K + 1, None).err()));
    outcomes.push(("no whole query", gpu.search(&[1.0; 3], 1, None).err()));
    for (what, error) in outcomes {
        if error.map(|it| it.code()) != Some(ErrorCode::InvalidArgument) {
            return Err(differs(&format!("{what} was not refused")));
        }
    }
    // Finite on the way in, and not on the way out.
    let large = Rows::new(Element::F32, 4, &[3e38; 16])?;
    let kind = (Element::F32, Metric::InnerProduct);
    let gpu = ExactOnDevice::new(device, "vectors", kind, (4, 4), [Ok(large)])?;
    match gpu.search(&[3e38; 4], 2, None) {
        Err(error) if error.code() == ErrorCode::EngineFailure => device.health(),
        _ => Err(differs("a score that is not finite was answered")),
    }
}

fn tokens(dim: usize, texts: &[Vec<f32>]) -> Result<TokenRows> {
    TokenRows::new(dim, texts.iter().map(Vec::as_slice))
}

/// Texts without rows, equal ones, zeros.
fn late(device: &Arc<Device>) -> Result<()> {
    for dim in [1, 33, 128] {
        let text = |value: f32, rows: usize| vec![value; rows * dim];
        let texts: Vec<_> = [(0.0, 0), (1.0, 3), (1.0, 3), (0.0, 40), (-1.0, 1), (1.0, 3)]
            .map(|(value, rows)| text(value, rows))
            .to_vec();
        let documents = tokens(dim, &texts)?;
        let queries = tokens(
            dim,
            &[text(1.0, 2), text(0.0, 65), text(0.0, 0), text(-2.0, 1)],
        )?;
        let gpu = MaxSimOnDevice::new(device, "documents", &documents)?;
        let cpu = MaxSimOnCpu::new(documents.clone());
        for k in [0, 1, 3, MAX_K] {
            let what = format!("MaxSim of {dim}, k {k}");
            let got = gpu.candidates(&queries, k)?;
            same(&what, &got, &cpu.candidates(&queries, k)?)?;
        }
        let pairs = [[0, 0], [1, 5], [2, 1], [3, 4], [3, 4]];
        let got = MaxSimOfTexts::new(device, dim)?.score(&queries, &documents, &pairs)?;
        same("MaxSim of texts", &got, &cpu.score(&queries, &pairs)?)?;
    }
    Ok(())
}

/// Passages of an index, of which some are equal and some have no vectors.
fn coded(device: &Arc<Device>, bits: usize) -> Result<()> {
    for dim in [5, 96, 128] {
        let lengths = [0_usize, 1, 9, 9, 40, 0, 130];
        let mut end = 0;
        let ends = lengths.map(|it| {
            end += it as u64;
            end
        });
        let count = lengths.iter().sum::<usize>();
        let bytes = (dim * bits).div_ceil(8);
        let kept: Vec<u8> = match bits {
            // Ones and minus ones in half precision.
            16 => (0..count * dim)
                .flat_map(|at| [0, if at % 3 == 0 { 0x3c } else { 0xbc }])
                .collect(),
            _ => (0..count * bytes).map(|at| (at % 5 * 37) as u8).collect(),
        };
        let centroids: Vec<f32> = (0..2 * dim).map(|at| (at % 3) as f32 - 1.0).collect();
        let levels: Vec<f32> = (0..1_i16 << bits.min(4))
            .map(|at| f32::from(at - 2))
            .collect();
        let levels = if bits == 16 { &[] } else { &*levels };
        let codes: Vec<u32> = (0..count as u32).map(|at| at % 2).collect();
        for unit in [false, true] {
            let index = CodedTokens {
                dim,
                bits,
                unit,
                centroids: &centroids,
                spread: &vec![1.0; dim],
                levels,
                ends: &ends,
                codes: &codes,
                kept: &kept,
            };
            let gpu = MaxSimOnDevice::coded(device, "index", &index)?;
            let cpu = MaxSimOnCpu::new(index.rows()?);
            let queries = tokens(dim, &[vec![1.0; 3 * dim], vec![-1.0; 66 * dim], Vec::new()])?;
            let got = gpu.candidates(&queries, 7)?;
            let wanted = cpu.candidates(&queries, 7)?;
            let what = format!("MaxSim of {bits} bits, {dim} numbers, unit {unit}");
            if !unit || bits == 16 {
                same(&what, &got, &wanted)?;
                continue;
            }
            // Rows are scaled before they are rounded there, and behind here.
            let scores = got.iter().flatten().zip(wanted.iter().flatten());
            let most = 2e-3 * 66.0 * (dim as f32).sqrt();
            for (got, wanted) in scores {
                if (got.score - wanted.score).abs() > most {
                    return Err(differs(&format!("{what}: {got:?} {wanted:?}")));
                }
            }
        }
    }
    Ok(())
}
