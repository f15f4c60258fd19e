use std::path::Path;

use routir_device::{
    Coarse, Metric, PqList, PqOnCpu, PqOnDevice, PqParts, PqSearch, PqVectors, faiss_pq,
};

use crate::emulator::{Manner, device};
use crate::{assert_alike, random, whole};

/// Random codes, in `lists` lists of different lengths, some of them empty.
fn made(
    rng: &mut fastrand::Rng,
    (parts, bits, width): (usize, usize, usize),
    metric: Metric,
    lists: Option<(usize, bool)>,
    len: usize,
    exact: bool,
) -> PqVectors {
    let draw = |rng: &mut fastrand::Rng, count| match exact {
        true => whole(rng, count),
        false => random(rng, count),
    };
    let dim = parts * width;
    let count = lists.map_or(1, |(count, _)| count);
    let mut all: Vec<PqList> = vec![PqList::default(); count];
    let mut ids: Vec<u32> = (0..len as u32).collect();
    if lists.is_some() {
        rng.shuffle(&mut ids);
    }
    for id in ids {
        let list = rng.usize(..count) / 2;
        all[list].ids.push(id);
        let most = if bits == 4 { 15 } else { 255 };
        all[list].codes.extend((0..parts).map(|_| rng.u8(..=most)));
    }
    let codebooks = draw(rng, dim << bits);
    let coarse = lists.map(|(count, by_residual)| Coarse {
        centroids: draw(rng, dim * count),
        by_residual,
    });
    let parts = PqParts {
        dim,
        parts,
        bits,
        codebooks,
    };
    PqVectors::new(parts, metric, coarse, all).unwrap()
}

#[test]
fn codes_are_searched_as_on_the_processor() {
    let mut rng = fastrand::Rng::with_seed(21);
    let mut round = 0;
    for metric in [Metric::InnerProduct, Metric::L2] {
        for shape in [(8, 4, 2), (3, 4, 1), (16, 8, 2), (5, 8, 3)] {
            for lists in [None, Some((9, true)), Some((9, false))] {
                for exact in [true, false] {
                    let vectors = made(&mut rng, shape, metric, lists, 500, exact);
                    round += 1;
                    let manner = Manner {
                        order: round % 3,
                        checked: round % 5 == 0,
                        // Tables of eight bits do not fit there.
                        shared: if round % 2 == 0 { 8 << 10 } else { 0 },
                        ..Manner::default()
                    };
                    let gpu = PqOnDevice::new(&device(manner), "codes", vectors.clone()).unwrap();
                    let cpu = PqOnCpu::new(vectors).unwrap();
                    let dim = cpu.dim();
                    let bits: Vec<u8> = (0..63).map(|_| rng.u8(..)).collect();
                    for (queries, k, nprobe, allowed) in [
                        (1, 10, 3, None),
                        (3, 100, 9, Some(&bits[..])),
                        (2, 200, 1, None),
                    ] {
                        let asked = match exact {
                            true => whole(&mut rng, dim * queries),
                            false => random(&mut rng, dim * queries),
                        };
                        let wanted = cpu.search(&asked, k, nprobe, allowed).unwrap();
                        let got = gpu.search(&asked, k, nprobe, allowed).unwrap();
                        let most = if exact { 0.0 } else { 1e-4 };
                        let what = format!("{metric:?} {shape:?} {lists:?} q{queries} k{k}");
                        assert_alike(&got, &wanted, most, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn files_of_faiss_are_searched_as_faiss_does() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/faiss");
    let text = std::fs::read_to_string(golden.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let queries: Vec<Vec<f32>> = serde_json::from_value(expected["queries"].clone()).unwrap();
    let queries = queries.concat();
    let mut seen = 0;
    for index in expected["indices"].as_array().unwrap() {
        let name = index["file"].as_str().unwrap();
        let path = golden.join(name);
        let read = faiss_pq(&path, &std::fs::read(&path).unwrap());
        if ![
            "pq.faiss",
            "pq-fast.faiss",
            "ivf-pq.faiss",
            "ivf-pq-fast.faiss",
        ]
        .contains(&name)
        {
            let error = read.unwrap_err();
            assert!(error.message().contains(name), "{error}");
            continue;
        }
        seen += 1;
        let vectors = read.unwrap();
        let l2 = index["metric"] == "l2";
        let nprobe = index["how"]["nprobe"].as_u64().unwrap_or(1) as usize;
        // A fast scan rounds its tables: each of 8 parts is off by up to half of a 255th of the
        // tables' range, which is at most about 1 for vectors of length 1; and what is rounded up and
        // down changes places.
        let most: f32 = if name.contains("fast") {
            8.0 * 0.5 / 255.0
        } else {
            1e-5
        };
        let gpu = PqOnDevice::new(&device(Manner::default()), name, vectors.clone()).unwrap();
        let cpu = PqOnCpu::new(vectors).unwrap();
        for search in [&cpu as &dyn PqSearch, &gpu] {
            let found = search.search(&queries, 10, nprobe, None).unwrap();
            for (found, wanted) in found.iter().zip(index["found"].as_array().unwrap()) {
                let wanted = wanted.as_array().unwrap();
                assert_eq!(found.len(), wanted.len(), "{name}");
                let mut both = 0;
                for (found, wanted_at) in found.iter().zip(wanted) {
                    let score = wanted_at[1].as_f64().unwrap() as f32;
                    let score = if l2 { -score } else { score };
                    assert!(
                        (found.score - score).abs() <= most,
                        "{name}: {found:?} {wanted_at}"
                    );
                    let id = format!("d{}", found.position);
                    both += usize::from(wanted.iter().any(|it| it[0] == id.as_str()));
                }
                assert!(
                    both >= if name.contains("fast") { 8 } else { 10 },
                    "{name}: {both} of 10"
                );
            }
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn a_damaged_file_is_an_error_wherever_it_was_cut_or_changed() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/faiss");
    let mut rng = fastrand::Rng::with_seed(22);
    for name in [
        "pq.faiss",
        "pq-fast.faiss",
        "ivf-pq.faiss",
        "ivf-pq-fast.faiss",
    ] {
        let path = golden.join(name);
        let good = std::fs::read(&path).unwrap();
        for cut in 0..good.len() {
            assert!(
                faiss_pq(&path, &good[..cut]).is_err(),
                "{name} cut at {cut}"
            );
        }
        for _ in 0..3000 {
            let mut bad = good.clone();
            let most = if rng.bool() { 160 } else { bad.len() };
            bad[rng.usize(..most)] = rng.u8(..);
            // Another number somewhere may still be an index, but never a panic or endless memory.
            let _ = faiss_pq(&path, &bad);
        }
    }
}
