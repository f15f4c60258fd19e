//! How long the mergers take: medians of many runs, in microseconds, sorting and the cloning of
//! ids included. `cargo bench -p routir-fusion`.
//!
//! `instructions.sh` beside this file counts instructions with the argument `rrf N`, which fuses N
//! times and measures nothing.

#![expect(clippy::print_stdout, reason = "a report for people")]
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_core::{Hit, Params, Ranking};
use routir_fusion::{methods, rrf};

/// A small generator of pseudo-random numbers (splitmix64), so that every run has the same input.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn uuid(document: u64) -> String {
    let (high, low) = (Random(document).next(), Random(document ^ 0xffff).next());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

fn passage(document: u64) -> String {
    format!(
        "msmarco_v2.1_doc_{:02}_{}#{}",
        document % 60,
        document * 7919,
        document % 10
    )
}

/// `lists` lists of `hits` documents out of one and a half times as many, so that two lists share
/// about two thirds. Every list has its own copies of the ids, as different engines give them.
fn input(lists: usize, hits: usize, id: fn(u64) -> String) -> Vec<Arc<Ranking>> {
    let mut random = Random(42);
    let pool = (hits as u64 * 3) / 2;
    let list = |_| {
        let mut documents: Vec<(u64, u64)> = (0..pool).map(|doc| (random.next(), doc)).collect();
        documents.sort_unstable();
        documents.truncate(hits);
        let score = |random: u64| (random >> 11) as f64 / (1u64 << 50) as f64;
        let hits = documents
            .iter()
            .map(|(key, doc)| Hit::new(id(*doc), score(*key)))
            .collect();
        Arc::new(Ranking::from_hits(hits).unwrap())
    };
    (0..lists).map(list).collect()
}

fn median(runs: usize, mut run: impl FnMut() -> Ranking) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            let ranking = black_box(run());
            let time = start.elapsed();
            drop(ranking);
            time
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, count] = arguments.as_slice()
        && what == "rrf"
    {
        let rankings = input(2, 1000, uuid);
        for _ in 0..count.parse::<usize>().unwrap() {
            let _ = black_box(rrf(black_box(&rankings), 60.0, None, None));
        }
        return;
    }
    // Under `cargo test` it only has to work.
    let runs = if arguments.iter().any(|argument| argument == "--bench") {
        3000
    } else {
        1
    };
    println!(
        "{:<14} {:>5} {:>6} {:>6} {:>7} {:>9}",
        "method", "lists", "hits", "limit", "ids", "µs"
    );
    let params = Params::default();
    for (lists, hits, limit) in [
        (2, 1000, None),
        (2, 1000, Some(100)),
        (2, 100, None),
        (4, 1000, None),
        (10, 1000, Some(100)),
    ] {
        for (ids, id) in [("uuid", uuid as fn(u64) -> String), ("passage", passage)] {
            let rankings = input(lists, hits, id);
            for info in methods() {
                let time = median(runs, || {
                    info.method.fuse(&rankings, false, limit, &params).unwrap()
                });
                let limit = limit.map_or("all".to_owned(), |limit| limit.to_string());
                let micros = time.as_secs_f64() * 1e6;
                println!(
                    "{:<14} {lists:>5} {hits:>6} {limit:>6} {ids:>7} {micros:>9.1}",
                    info.name
                );
            }
        }
    }
}
