use routir_device::{MaxSim, MaxSimOnCpu, MaxSimOnDevice, TokenRows};

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
