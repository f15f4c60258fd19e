//! Vectors that are made on a device and searched for there.

use half::{bf16, f16};
use routir_core::ErrorCode;
use routir_device::{
    Coarse, Device, DeviceVector, Element, ExactOnDevice, ExactSearch, Join, Metric, Number,
    Pooled, Pooling, PqList, PqOnDevice, PqParts, PqSearch, PqVectors, Rows, Workspace,
    pool_on_cpu,
};
use std::sync::Arc;

use crate::emulator::{Manner, device};
use crate::{assert_alike, random, whole};

fn bytes_of(number: Number, values: &[f32]) -> Vec<u8> {
    let values = values.iter();
    match number {
        Number::Single => values.flat_map(|it| it.to_ne_bytes()).collect(),
        Number::Half => values
            .flat_map(|it| f16::from_f32(*it).to_ne_bytes())
            .collect(),
        Number::Brain => values
            .flat_map(|it| bf16::from_f32(*it).to_ne_bytes())
            .collect(),
    }
}

fn read(number: Number, values: &[f32]) -> Vec<f32> {
    let values = values.iter();
    match number {
        Number::Single => values.copied().collect(),
        Number::Half => values.map(|it| f16::from_f32(*it).to_f32()).collect(),
        Number::Brain => values.map(|it| bf16::from_f32(*it).to_f32()).collect(),
    }
}

/// Pools states on the device.
fn pool(
    work: &mut Workspace,
    how: &Pooling,
    states: &[f32],
    texts: &[(usize, bool)],
) -> Vec<Option<Pooled>> {
    let bytes = bytes_of(how.number, states);
    let at = work.memory(0, bytes.len()).unwrap();
    work.upload(0, &bytes).unwrap();
    // SAFETY: the states were just put there.
    unsafe { work.pool(at, how, texts) }.unwrap()
}

/// Vectors as they are, left on the device.
fn there(device: &Arc<Device>, dim: usize, values: &[f32]) -> Vec<DeviceVector> {
    let mut work = Workspace::new(device, "a model").unwrap();
    let how = Pooling {
        number: Number::Single,
        length: 1,
        width: dim,
        join: Join::First,
        scale: false,
        dim,
        scale_last: false,
    };
    let pooled = pool(
        &mut work,
        &how,
        values,
        &vec![(1, true); values.len() / dim],
    );
    let stays = |it: Option<Pooled>| match it {
        Some(Pooled::There(vector)) => vector,
        other => panic!("{other:?}"),
    };
    pooled.into_iter().map(stays).collect()
}

#[test]
fn the_vectors_of_texts_are_the_processors() {
    let mut rng = fastrand::Rng::with_seed(21);
    let mut order = 0;
    for (length, width, dim) in [(1, 1, 1), (7, 33, 33), (16, 384, 100), (3, 600, 600)] {
        for number in [Number::Single, Number::Half, Number::Brain] {
            for join in [
                Join::First,
                Join::Last,
                Join::Mean,
                Join::Most,
                Join::MeanSqrt,
            ] {
                for (scale, scale_last) in [(false, false), (true, false), (true, true)] {
                    order = (order + 1) % 3;
                    let manner = Manner {
                        order,
                        checked: order == 0,
                        ..Manner::default()
                    };
                    let mut work = Workspace::new(&device(manner), "a model").unwrap();
                    let how = Pooling {
                        number,
                        length,
                        width,
                        join,
                        scale,
                        dim,
                        scale_last,
                    };
                    let counts = [length, 1, length.div_ceil(2)];
                    let mut states = random(&mut rng, counts.len() * length * width);
                    // What fills a text up may be anything.
                    for (text, count) in states.chunks_mut(length * width).zip(counts) {
                        text[count * width..].fill(f32::NAN);
                    }
                    let texts = counts.map(|count| (count, false));
                    let pooled = pool(&mut work, &how, &states, &texts);
                    let states = read(number, &states);
                    let each = states.chunks(length * width).zip(counts).zip(pooled);
                    for ((text, count), pooled) in each {
                        let wanted = pool_on_cpu(&how, text, count);
                        let Some(Pooled::Here(got)) = pooled else {
                            panic!("{how:?}: {pooled:?}")
                        };
                        assert_eq!(got.len(), wanted.len());
                        for (a, b) in got.iter().zip(&wanted) {
                            assert!((a - b).abs() <= 2e-6, "{how:?}: {a} {b}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_text_whose_vector_is_not_finite_has_none_and_its_neighbours_have() {
    let device = device(Manner::default());
    let mut work = Workspace::new(&device, "a model").unwrap();
    let how = Pooling {
        number: Number::Half,
        length: 2,
        width: 3,
        join: Join::Mean,
        scale: false,
        dim: 3,
        scale_last: false,
    };
    let mut states = vec![1.0; 18];
    states[8] = f32::INFINITY;
    let pooled = pool(
        &mut work,
        &how,
        &states,
        &[(2, true), (2, true), (1, false)],
    );
    assert!(matches!(pooled[0], Some(Pooled::There(_))));
    assert!(pooled[1].is_none());
    assert!(matches!(&pooled[2], Some(Pooled::Here(it)) if *it == [1.0; 3]));
    // SAFETY: refused before anything is read.
    let too_long = unsafe { work.pool(0, &how, &[(3, false)]) };
    assert_eq!(too_long.unwrap_err().code(), ErrorCode::Internal);
    device.health().unwrap();
}

#[test]
fn vectors_that_find_no_place_come_back_and_places_are_used_again() {
    let device = device(Manner::default());
    let mut work = Workspace::new(&device, "a model").unwrap();
    let how = Pooling {
        number: Number::Single,
        length: 1,
        width: 2,
        join: Join::First,
        scale: false,
        dim: 2,
        scale_last: false,
    };
    let count = 1030;
    let states: Vec<f32> = (0..count * 2).map(|it| it as f32).collect();
    for _ in 0..2 {
        let pooled = pool(&mut work, &how, &states, &vec![(1, true); count]);
        let stayed = pooled
            .iter()
            .filter(|it| matches!(it, Some(Pooled::There(_))));
        assert_eq!(stayed.count(), 1024);
        let last = pooled.last().unwrap();
        assert!(matches!(last, Some(Pooled::Here(it)) if *it == states[count * 2 - 2..]));
    }
    let others = device.budget().reserve("others", device.budget().left());
    let wide = Pooling {
        width: 4,
        dim: 4,
        ..how
    };
    // There is no memory for places of four numbers.
    let pooled = pool(&mut work, &wide, &states[..8], &[(1, true), (1, true)]);
    assert!(pooled.iter().all(|it| matches!(it, Some(Pooled::Here(_)))));
    drop(others);
}

#[test]
fn a_search_for_vectors_on_the_device_finds_what_one_for_their_numbers_does() {
    let mut rng = fastrand::Rng::with_seed(22);
    for metric in [Metric::InnerProduct, Metric::L2] {
        for element in [Element::F32, Element::F16, Element::I8] {
            for (dim, len) in [(5, 70), (96, 700)] {
                let device = device(Manner::default());
                let values = whole(&mut rng, dim * len);
                let rows = Rows::new(element, dim, &values).unwrap();
                let kind = (element, metric);
                let search =
                    ExactOnDevice::new(&device, "vectors", kind, (dim, len), [Ok(rows)]).unwrap();
                for count in [0, 1, 5, 40] {
                    let asked = whole(&mut rng, dim * count);
                    let vectors = there(&device, dim, &asked);
                    let vectors: Vec<&DeviceVector> = vectors.iter().collect();
                    let bits: Vec<u8> = (0..len.div_ceil(8)).map(|_| rng.u8(..)).collect();
                    for allowed in [None, Some(&bits[..])] {
                        let got = search.search_there(&vectors, 9, allowed).unwrap();
                        let wanted = search.search(&asked, 9, allowed).unwrap();
                        assert_alike(&got, &wanted, 0.0, &format!("{kind:?} {dim} {count}"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_search_in_codes_does_so_too() {
    let mut rng = fastrand::Rng::with_seed(23);
    let (parts, width, count, len) = (4, 3, 5, 600_u32);
    let dim = parts * width;
    for metric in [Metric::InnerProduct, Metric::L2] {
        for residual in [None, Some(true), Some(false)] {
            let device = device(Manner::default());
            let mut lists = vec![PqList::default(); if residual.is_some() { count } else { 1 }];
            for id in 0..len {
                let at = rng.usize(..lists.len());
                lists[at].ids.push(id);
                let codes = (0..parts).map(|_| rng.u8(..16));
                lists[at].codes.extend(codes);
            }
            let coarse = residual.map(|by_residual| Coarse {
                centroids: whole(&mut rng, dim * count),
                by_residual,
            });
            let of = PqParts {
                dim,
                parts,
                bits: 4,
                codebooks: whole(&mut rng, dim << 4),
            };
            let vectors = PqVectors::new(of, metric, coarse, lists).unwrap();
            let search = PqOnDevice::new(&device, "codes", vectors).unwrap();
            let asked = whole(&mut rng, dim * 7);
            let queries = there(&device, dim, &asked);
            let queries: Vec<&DeviceVector> = queries.iter().collect();
            let got = search.search_there(&queries, 20, 3, None).unwrap();
            let wanted = search.search(&asked, 20, 3, None).unwrap();
            assert_alike(&got, &wanted, 0.0, &format!("{metric:?} {residual:?}"));
        }
    }
}

#[test]
fn queries_that_cannot_be_searched_for_are_refused() {
    let (one, other) = (device(Manner::default()), device(Manner::default()));
    let rows = || Rows::new(Element::F16, 2, &[1.0; 8]).unwrap();
    let kind = (Element::F16, Metric::InnerProduct);
    let search = ExactOnDevice::new(&one, "vectors", kind, (2, 4), [Ok(rows())]).unwrap();
    let [large, elsewhere, long] = [
        there(&one, 2, &[1.0, 70_000.0]),
        there(&other, 2, &[1.0, 1.0]),
        there(&one, 3, &[1.0; 3]),
    ];
    for (query, part) in [
        (&large, "query 0 has a number"),
        (&elsewhere, "a query lies on"),
        (&long, "a query of 3 numbers does not fit vectors of 2"),
    ] {
        let error = search.search_there(&[&query[0]], 1, None).unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
    assert!(search.search_there(&[&large[0]], 1025, None).is_err());
    one.health().unwrap();
}

#[test]
fn a_device_that_fails_on_the_way_from_states_to_ranking_is_lost() {
    let rows = || Rows::new(Element::F16, 4, &[1.0; 400]).unwrap();
    let kind = (Element::F16, Metric::InnerProduct);
    let how = Pooling {
        number: Number::Single,
        length: 2,
        width: 4,
        join: Join::Mean,
        scale: true,
        dim: 4,
        scale_last: false,
    };
    let (mut failed, mut found) = (0, 0);
    for calls in 0..60 {
        let manner = Manner {
            fails_after: Some(calls),
            ..Manner::default()
        };
        let device = device(manner);
        let outcome = (|| {
            let search = ExactOnDevice::new(&device, "vectors", kind, (4, 100), [Ok(rows())])?;
            let mut work = Workspace::new(&device, "a model")?;
            let states: Vec<u8> = [1.0_f32; 8]
                .iter()
                .flat_map(|it| it.to_ne_bytes())
                .collect();
            let at = work.memory(0, states.len())?;
            work.upload(0, &states)?;
            // SAFETY: the states were just put there.
            let pooled = unsafe { work.pool(at, &how, &[(2, true)]) }?;
            match &pooled[0] {
                Some(Pooled::There(vector)) => search.search_there(&[vector], 5, None),
                // No place could be made on a device that is lost.
                other => panic!("{other:?}"),
            }
        })();
        assert_eq!(device.queued(), 0);
        match outcome {
            Ok(answers) => {
                assert_eq!(answers[0].len(), 5);
                device.health().unwrap();
                found += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
                assert!(error.message().contains("`emulated` failed"), "{error}");
                assert_eq!(device.health().unwrap_err().message(), error.message());
                failed += 1;
            }
        }
        assert_eq!(device.budget().left(), device.budget().total());
    }
    assert!(failed > 15 && found > 5, "{failed} {found}");
}
