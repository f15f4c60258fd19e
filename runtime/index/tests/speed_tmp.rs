//! temp
mod common;
use std::time::Instant;
use common::*;
use routir_index::*;
#[test]
fn speed() {
    let n: usize = 400_000;
    let mut state = 88172645463325252u64;
    let mut r = move || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; (state >> 11) as f64 / (1u64 << 53) as f64 };
    let documents: Vec<_> = (0..n).map(|i| {
        let len = 20 + (r() * 80.0) as usize;
        let text: Vec<String> = (0..len).map(|_| format!("w{}", ((200_000f64).powf(r()) - 1.0) as u32)).collect();
        (format!("doc{}", (i * 7919) % n), text.join(" "))
    }).collect();
    let corpus = Corpus { stamp: "x".into(), documents };
    let home = tempfile::tempdir().unwrap();
    let t = Instant::now();
    let (index, _) = open(home.path(), &corpus, Bm25Params::default()).unwrap();
    eprintln!("built {n} in {:?}", t.elapsed());
    drop(index);
    for (k1, b) in [(0.9, 0.4), (1.2, 0.75)] {
        let (index, _) = open(home.path(), &corpus, Bm25Params::new(k1, b).unwrap()).unwrap();
        for q in ["w3", "w0", "w1000", "w0 w1 w2 w3", "w10 w100 w1000 w5000", "w5 w50 w500 w30 w300 w3000 w7000", "w2000 w3000 w4000"] {
            for k in [10, 1000, n] {
                let t = Instant::now();
                let reps = 10;
                let mut len = 0;
                for _ in 0..reps { len = search(&index, q, k).len(); }
                eprintln!("{k1} {b} {q:40} k={k:7} {:?} ({len})", t.elapsed() / reps);
            }
        }
    }
}
