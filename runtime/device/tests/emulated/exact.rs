use std::sync::Arc;

use routir_device::{
    Device, Element, ExactOnCpu, ExactOnDevice, ExactSearch, ExactSplit, Metric, Rows, split,
};

use crate::emulator::{Manner, accelerator, device};
use crate::{assert_alike, random, whole};

const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::I8];
const METRICS: [Metric; 2] = [Metric::InnerProduct, Metric::L2];

fn both(
    manner: Manner,
    element: Element,
    metric: Metric,
    dim: usize,
    values: &[f32],
) -> (ExactOnCpu, ExactOnDevice) {
    both_on(&device(manner), element, metric, dim, values)
}

fn both_on(
    device: &Arc<Device>,
    element: Element,
    metric: Metric,
    dim: usize,
    values: &[f32],
) -> (ExactOnCpu, ExactOnDevice) {
    let rows = Rows::new(element, dim, values).unwrap();
    let len = rows.len();
    // In two blocks, as a large corpus comes.
    let cut = len / 2 * dim;
    let blocks = [&values[..cut], &values[cut..]].map(|it| Rows::new(element, dim, it));
    let on_device =
        ExactOnDevice::new(device, "vectors", (element, metric), (dim, len), blocks).unwrap();
    (ExactOnCpu::new(rows, metric).unwrap(), on_device)
}

/// How far scores of numbers up to 1 may be apart: sums are added in another order, and L2 of many
/// queries is made of three sums.
fn tolerance(dim: usize) -> f32 {
    1e-6 * dim as f32
}

#[test]
fn whole_numbers_are_found_exactly_with_all_their_ties() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (round, (dim, len)) in [(1, 700), (33, 600), (64, 1100), (40, 1), (8, 257)]
        .into_iter()
        .enumerate()
    {
        let values = whole(&mut rng, dim * len);
        for element in [Element::F32, Element::F16] {
            for metric in METRICS {
                let order = (round % 3) as u32;
                let manner = Manner {
                    order,
                    ..Manner::default()
                };
                let (cpu, gpu) = both(manner, element, metric, dim, &values);
                for (queries, k) in [(1, 10), (3, 1), (8, 100), (9, 300), (40, 20)] {
                    let asked = whole(&mut rng, dim * queries);
                    let wanted = cpu.search(&asked, k, None).unwrap();
                    let got = gpu.search(&asked, k, None).unwrap();
                    let what = format!("{element:?} {metric:?} {dim}x{len} q{queries} k{k}");
                    assert_alike(&got, &wanted, 0.0, &what);
                }
            }
        }
    }
}

#[test]
fn any_numbers_are_found_within_tolerance() {
    let mut rng = fastrand::Rng::with_seed(2);
    for (dim, len) in [(24, 600), (129, 300), (768, 70)] {
        let values = random(&mut rng, dim * len);
        for element in ELEMENTS {
            for metric in METRICS {
                let (cpu, gpu) = both(Manner::default(), element, metric, dim, &values);
                for (queries, k) in [(1, 100), (6, 7), (33, 50)] {
                    let asked = random(&mut rng, dim * queries);
                    let wanted = cpu.search(&asked, k, None).unwrap();
                    let got = gpu.search(&asked, k, None).unwrap();
                    let what = format!("{element:?} {metric:?} {dim}x{len} q{queries} k{k}");
                    assert_alike(&got, &wanted, tolerance(dim), &what);
                }
            }
        }
    }
}

#[test]
fn only_what_is_allowed_is_found() {
    let mut rng = fastrand::Rng::with_seed(3);
    let (dim, len) = (16, 1000);
    let values = whole(&mut rng, dim * len);
    let none = vec![0; 125];
    let mut one = none.clone();
    one[77] = 4;
    let some: Vec<u8> = (0..125).map(|_| rng.u8(..)).collect();
    // Bits behind the last vector, and too few bits.
    let long = vec![255; 300];
    let short = vec![255; 5];
    for element in [Element::F32, Element::F16] {
        let (cpu, gpu) = both(
            Manner::default(),
            element,
            Metric::InnerProduct,
            dim,
            &values,
        );
        for bits in [&none, &one, &some, &long, &short] {
            for queries in [1, 12] {
                let asked = whole(&mut rng, dim * queries);
                let wanted = cpu.search(&asked, 64, Some(bits)).unwrap();
                let got = gpu.search(&asked, 64, Some(bits)).unwrap();
                assert_alike(&got, &wanted, 0.0, &format!("{element:?} q{queries}"));
            }
        }
    }
}

#[test]
fn hard_cases_are_answered_as_on_the_processor() {
    let dim = 8;
    let rising: Vec<f32> = (0..1500).flat_map(|i| [i as f32; 8]).collect();
    let cases: [(&str, Vec<f32>); 4] = [
        ("zeros", vec![0.0; dim * 500]),
        (
            "one vector again and again",
            [1.0, -1.0, 0.5, 0.0, 2.0, 0.0, 0.0, 1.0].repeat(900),
        ),
        ("better and better", rising),
        ("minus zeros", vec![-0.0; dim * 300]),
    ];
    for (what, values) in cases {
        for element in [Element::F32, Element::F16] {
            for metric in METRICS {
                let (cpu, gpu) = both(Manner::default(), element, metric, dim, &values);
                for (queries, k) in [(1, 1024), (2, 0), (10, 1024)] {
                    let asked = [1.0, 0.0].repeat(queries * dim / 2);
                    let wanted = cpu.search(&asked, k, None).unwrap();
                    let got = gpu.search(&asked, k, None).unwrap();
                    assert_alike(
                        &got,
                        &wanted,
                        0.0,
                        &format!("{what} {element:?} {metric:?}"),
                    );
                    let most = k.min(values.len() / dim);
                    assert!(got.iter().all(|it| it.len() == most), "{what}: k > n");
                }
            }
        }
    }
    let (_, gpu) = both(
        Manner::default(),
        Element::F32,
        Metric::InnerProduct,
        dim,
        &[],
    );
    assert!(
        gpu.search(&[1.0; 16], 5, None)
            .unwrap()
            .iter()
            .all(Vec::is_empty)
    );
    assert!(gpu.search(&[f32::NAN; 8], 5, None).is_err());
    assert!(gpu.search(&[1.0; 8], 1025, None).is_err());
    let (_, gpu) = both(
        Manner::default(),
        Element::F32,
        Metric::InnerProduct,
        1,
        &[f32::MAX],
    );
    let error = gpu.search(&[10.0], 1, None).unwrap_err();
    assert!(error.message().contains("not a finite number"), "{error}");
}

#[test]
fn a_large_corpus_is_sampled_first_and_answered_the_same() {
    let mut rng = fastrand::Rng::with_seed(5);
    let (dim, len) = (4, (1 << 17) + 77);
    let values = whole(&mut rng, dim * len);
    let (cpu, gpu) = both(
        Manner::default(),
        Element::F16,
        Metric::InnerProduct,
        dim,
        &values,
    );
    for queries in [1, 9] {
        let asked = whole(&mut rng, dim * queries);
        let wanted = cpu.search(&asked, 50, None).unwrap();
        assert_alike(
            &gpu.search(&asked, 50, None).unwrap(),
            &wanted,
            0.0,
            "sampled",
        );
    }
}

#[test]
fn where_one_query_finds_memory_so_do_many() {
    let mut rng = fastrand::Rng::with_seed(16);
    let (dim, len, k) = (32, 2000, 20);
    let values = whole(&mut rng, dim * len);
    let asked = whole(&mut rng, dim * 70);
    let alone = asked.get(..dim).unwrap();
    for element in ELEMENTS {
        let (cpu, gpu) = both(Manner::default(), element, Metric::L2, dim, &values);
        let wanted = cpu.search(&asked, k, None).unwrap();
        let index = gpu.bytes();
        let mut scarce = 0;
        for left in (4..200).map(|step| step << 13) {
            let emulated = accelerator(Manner::default());
            let device = Arc::new(Device::new("`emulated`", emulated, (index + left) as u64));
            let (_, gpu) = both_on(&device, element, Metric::L2, dim, &values);
            if gpu.search(alone, k, None).is_ok() {
                scarce += 1;
                let got = gpu.search(&asked, k, None).unwrap();
                let most = if element == Element::I8 { 0.5 } else { 0.0 };
                assert_alike(&got, &wanted, most, &format!("{element:?}, {left} left"));
            }
            if scarce == 5 {
                break;
            }
        }
        assert_eq!(scarce, 5, "{element:?}");
    }
}

#[test]
fn a_device_with_little_shared_memory_takes_fewer_queries_at_once() {
    let mut rng = fastrand::Rng::with_seed(6);
    let (dim, len) = (1024, 90);
    let values = whole(&mut rng, dim * len);
    let manner = Manner {
        shared: 40 << 10,
        ..Manner::default()
    };
    for element in ELEMENTS {
        let (cpu, gpu) = both(manner, element, Metric::InnerProduct, dim, &values);
        let asked = whole(&mut rng, dim * 20);
        let wanted = cpu.search(&asked, 30, None).unwrap();
        let most = if element == Element::I8 { 0.5 } else { 0.0 };
        assert_alike(
            &gpu.search(&asked, 30, None).unwrap(),
            &wanted,
            most,
            "little memory",
        );
    }
}

#[test]
fn many_queries_take_several_groups_of_a_tile_whichever_fits() {
    let mut rng = fastrand::Rng::with_seed(8);
    let (dim, len) = (120, 600);
    let values = whole(&mut rng, dim * len);
    // The large tile with all of its queries in shared memory, with half of them, with none, and where
    // it does not fit the small one.
    for (round, shared) in [0, 120 << 10, 104 << 10, 100 << 10].into_iter().enumerate() {
        let manner = Manner {
            shared,
            checked: true,
            ..Manner::default()
        };
        let metric = METRICS[round % 2];
        let (cpu, gpu) = both(manner, Element::F16, metric, dim, &values);
        let asked = whole(&mut rng, dim * 140);
        let wanted = cpu.search(&asked, 30, None).unwrap();
        let got = gpu.search(&asked, 30, None).unwrap();
        assert_alike(&got, &wanted, 0.0, "groups");
    }
}

#[test]
fn a_corpus_is_split_over_devices_or_refused_with_the_sum() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (dim, len) = (16, 500);
    let values = whole(&mut rng, dim * len);
    let devices = [device(Manner::default()), device(Manner::default())];
    // Each has 1 GiB, three quarters of it for vectors.
    let row = Element::F16.row_bytes(1 << 10) as u64;
    let shares = split("`big`", Element::F16, (1 << 10, 700_000), &devices).unwrap();
    let taken: Vec<usize> = shares.iter().map(|(_, range)| range.len()).collect();
    assert_eq!(taken.iter().sum::<usize>(), 700_000);
    assert!(
        taken.iter().all(|it| *it as u64 * row <= 3 << 28),
        "{taken:?}"
    );
    let error = split("`big`", Element::F32, (1 << 10, 700_000), &devices).unwrap_err();
    assert!(error.message().contains("take 2.7 GiB"), "{error}");
    assert!(
        error.message().contains("`emulated` has 1.0 GiB left"),
        "{error}"
    );

    let parts = devices
        .iter()
        .zip([&values[..201 * dim], &values[201 * dim..]]);
    let parts = parts.map(|(device, values)| {
        let rows = Rows::new(Element::F16, dim, values);
        let kind = (Element::F16, Metric::L2);
        let size = (dim, values.len() / dim);
        let part = ExactOnDevice::new(device, "a share", kind, size, [rows]).unwrap();
        Box::new(part) as Box<dyn ExactSearch>
    });
    let on_both = ExactSplit::new(parts.collect()).unwrap();
    let whole_rows = Rows::new(Element::F16, dim, &values).unwrap();
    let cpu = ExactOnCpu::new(whole_rows, Metric::L2).unwrap();
    let asked = whole(&mut rng, dim * 3);
    let wanted = cpu.search(&asked, 40, None).unwrap();
    assert_alike(
        &on_both.search(&asked, 40, None).unwrap(),
        &wanted,
        0.0,
        "split",
    );
}
