use routir_core::ErrorCode;
use routir_device::{CodedTokens, MaxSim, MaxSimOfTexts, MaxSimOnCpu, MaxSimOnDevice, TokenRows};

use crate::emulator::{Manner, device};
use crate::{assert_alike, random, whole};

fn tokens(dim: usize, texts: &[Vec<f32>]) -> TokenRows {
    TokenRows::new(dim, texts.iter().map(Vec::as_slice)).unwrap()
}

#[test]
fn documents_and_queries_of_any_lengths_score_as_on_the_processor() {
    let mut rng = fastrand::Rng::with_seed(11);
    for (dim, order) in [(128, 0), (32, 1), (5, 2), (96, 0)] {
        // None, one, around a product's 8 and a block's 32 rows, many.
        let lengths = [0, 1, 7, 8, 9, 31, 33, 100, 3, 0, 65];
        let whole_numbers: Vec<_> = lengths.iter().map(|it| whole(&mut rng, it * dim)).collect();
        let any_numbers: Vec<_> = lengths
            .iter()
            .map(|it| random(&mut rng, it * dim))
            .collect();
        for (documents, tolerance) in [(whole_numbers, 0.0), (any_numbers, 1e-4)] {
            // Around a product's 16 and a block's 64 rows.
            let queries: Vec<_> = [1, 16, 17, 0, 64, 70]
                .iter()
                .map(|rows| match tolerance {
                    0.0 => whole(&mut rng, rows * dim),
                    _ => random(&mut rng, rows * dim),
                })
                .collect();
            let (queries, documents) = (tokens(dim, &queries), tokens(dim, &documents));
            let manner = Manner {
                order,
                ..Manner::default()
            };
            let gpu = MaxSimOnDevice::new(&device(manner), "documents", &documents).unwrap();
            let cpu = MaxSimOnCpu::new(documents);
            let got = gpu.candidates(&queries, 5).unwrap();
            let wanted = cpu.candidates(&queries, 5).unwrap();
            assert_alike(&got, &wanted, tolerance * dim as f32, &format!("dim {dim}"));
            let pairs = [[1, 10], [5, 7], [5, 0], [3, 4], [1, 10]];
            let got = gpu.score(&queries, &pairs).unwrap();
            for (got, wanted) in got.iter().zip(cpu.score(&queries, &pairs).unwrap()) {
                assert!((got - wanted).abs() <= tolerance * dim as f32);
            }
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_the_device_sees_it() {
    let device = device(Manner::default());
    let documents = tokens(2, &[vec![1.0, 2.0]]);
    let gpu = MaxSimOnDevice::new(&device, "documents", &documents).unwrap();
    assert!(gpu.score(&tokens(2, &[vec![1.0; 2]]), &[[0, 1]]).is_err());
    assert!(gpu.score(&tokens(3, &[vec![1.0; 3]]), &[[0, 0]]).is_err());
    assert!(
        gpu.score(&tokens(2, &[vec![1.0; 2 * 1025]]), &[[0, 0]])
            .is_err()
    );
    assert!(
        gpu.score(&tokens(2, &[vec![1.0; 2]]), &[])
            .unwrap()
            .is_empty()
    );
    device.health().unwrap();
    let long = tokens(4096, &[vec![1.0; 4096]]);
    assert!(MaxSimOnDevice::new(&device, "documents", &long).is_err());
}

/// The parts of a late-interaction index.
struct Parts {
    dim: usize,
    bits: usize,
    unit: bool,
    centroids: Vec<f32>,
    spread: Vec<f32>,
    levels: Vec<f32>,
    ends: Vec<u64>,
    codes: Vec<u32>,
    kept: Vec<u8>,
}

impl Parts {
    /// Of small whole numbers, or any.
    fn new(rng: &mut fastrand::Rng, (dim, bits): (usize, usize), unit: bool) -> Self {
        let lengths = [0, 1, 7, 8, 9, 31, 33, 100, 3, 0, 65];
        let tokens: usize = lengths.iter().sum();
        let numbers = |rng: &mut _, count| match unit {
            false => whole(rng, count),
            true => random(rng, count),
        };
        let mut end = 0;
        let ends = lengths.map(|it| {
            end += it as u64;
            end
        });
        let row = (dim * bits).div_ceil(8);
        let kept = match bits {
            16 => numbers(rng, tokens * dim)
                .iter()
                .flat_map(|it| half::f16::from_f32(*it).to_le_bytes())
                .collect(),
            _ => (0..tokens * row).map(|_| rng.u8(..)).collect(),
        };
        Self {
            dim,
            bits,
            unit,
            centroids: numbers(rng, 6 * dim),
            spread: numbers(rng, dim),
            levels: numbers(rng, if bits == 16 { 0 } else { 1 << bits }),
            ends: ends.to_vec(),
            codes: (0..tokens).map(|_| rng.u32(..6)).collect(),
            kept,
        }
    }

    fn tokens(&self) -> CodedTokens<'_> {
        CodedTokens {
            dim: self.dim,
            bits: self.bits,
            unit: self.unit,
            centroids: &self.centroids,
            spread: &self.spread,
            levels: &self.levels,
            ends: &self.ends,
            codes: &self.codes,
            kept: &self.kept,
        }
    }
}

#[test]
fn coded_documents_score_as_their_vectors_do() {
    let mut rng = fastrand::Rng::with_seed(12);
    for (at, dim) in [128, 32, 5, 96].into_iter().enumerate() {
        for bits in [2, 4, 16] {
            for unit in [false, true] {
                let parts = Parts::new(&mut rng, (dim, bits), unit);
                let queries: Vec<_> = [1, 17, 0, 70]
                    .iter()
                    .map(|rows| match unit {
                        false => whole(&mut rng, rows * dim),
                        true => random(&mut rng, rows * dim),
                    })
                    .collect();
                let queries = tokens(dim, &queries);
                let manner = Manner {
                    order: at as u32 % 3,
                    ..Manner::default()
                };
                let gpu = MaxSimOnDevice::coded(&device(manner), "index", &parts.tokens()).unwrap();
                let cpu = MaxSimOnCpu::new(parts.tokens().rows().unwrap());
                let what = format!("dim {dim}, {bits} bits, unit {unit}");
                let got = gpu.candidates(&queries, 11).unwrap();
                let wanted = cpu.candidates(&queries, 11).unwrap();
                // Scaled before they are rounded, or behind.
                let tolerance = if unit { 2e-3 * 70.0 } else { 0.0 };
                assert_alike(&got, &wanted, tolerance, &what);
            }
        }
    }
}

#[test]
fn documents_that_come_with_their_queries_score_the_same() {
    let mut rng = fastrand::Rng::with_seed(13);
    let dim = 20;
    let texts = |rng: &mut _, lengths: &[usize]| {
        let texts: Vec<_> = lengths.iter().map(|it| whole(rng, it * dim)).collect();
        tokens(dim, &texts)
    };
    let device = device(Manner::default());
    let gpu = MaxSimOfTexts::new(&device, dim).unwrap();
    let reserved = device.budget().left();
    for lengths in [&[3, 0, 40][..], &[100, 8], &[]] {
        let mut documents = texts(&mut rng, lengths);
        documents.append(&texts(&mut rng, &[5, 1])).unwrap();
        let queries = texts(&mut rng, &[4, 70, 0]);
        let pairs: Vec<_> = (0..3)
            .flat_map(|query| (0..documents.len() as u32).map(move |it| [query, it]))
            .collect();
        let cpu = MaxSimOnCpu::new(documents.clone());
        assert_eq!(
            gpu.score(&queries, &documents, &pairs).unwrap(),
            cpu.score(&queries, &pairs).unwrap()
        );
    }
    assert!(device.budget().left() < reserved);
    let other = TokenRows::new(3, [[1.0; 3].as_slice()]).unwrap();
    let own = texts(&mut rng, &[2]);
    assert!(gpu.score(&own, &other, &[[0, 0]]).is_err());
    assert!(gpu.score(&other, &own, &[[0, 0]]).is_err());
    assert!(gpu.score(&own, &own, &[[0, 1]]).is_err());
    assert!(own.clone().append(&other).is_err());
    let others = device
        .budget()
        .reserve("others", device.budget().left())
        .unwrap();
    let long = texts(&mut rng, &[5000]);
    let error = gpu.score(&own, &long, &[[0, 0]]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(
        error.message().contains("searches (documents) needs"),
        "{error}"
    );
    drop(others);
    assert_eq!(gpu.score(&own, &long, &[[0, 0]]).unwrap().len(), 1);
    device.health().unwrap();
}

#[test]
fn a_damaged_index_is_refused_whatever_is_wrong_and_one_that_is_too_large_with_its_sum() {
    let mut rng = fastrand::Rng::with_seed(14);
    let device = device(Manner::default());
    let open = |parts: &Parts| MaxSimOnDevice::coded(&device, "index `i`", &parts.tokens());
    for bits in [2, 4, 16] {
        let parts = || Parts::new(&mut fastrand::Rng::with_seed(15), (6, bits), true);
        open(&parts()).unwrap();
        let mut wrong = vec![parts(), parts(), parts(), parts()];
        wrong[0].ends[10] += 1;
        wrong[1].ends[3] = 100;
        wrong[2].kept.pop();
        wrong[3].ends.pop();
        if bits < 16 {
            let mut code = parts();
            code.codes[40] = 6;
            let mut levels = parts();
            levels.levels.pop();
            let mut large = parts();
            large.centroids.fill(1e6);
            wrong.extend([code, levels, large]);
        } else {
            let mut infinite = parts();
            infinite.kept[..2].copy_from_slice(&half::f16::INFINITY.to_le_bytes());
            wrong.push(infinite);
        }
        for parts in wrong {
            let error = open(&parts).err().unwrap();
            assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
            assert!(error.message().contains("index `i`"), "{error}");
        }
    }
    let unknown = Parts {
        bits: 3,
        ..Parts::new(&mut rng, (6, 4), true)
    };
    assert!(open(&unknown).is_err());
    assert_eq!(device.budget().left(), device.budget().total());
    let left = device.budget().left();
    let others = device.budget().reserve("others", left - 1000).unwrap();
    let error = open(&Parts::new(&mut rng, (128, 4), true)).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    for part in ["index `i` needs 21.2 KiB", "others 1024.0 MiB"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    drop(others);
    device.health().unwrap();
}
