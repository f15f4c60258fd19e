//! Damaged files of FAISS: whatever byte is wrong, the answer is an error or a search, never a crash.
//!
//! Needs the library that `native/build.sh` builds; says `SKIPPED` where it is not.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use routir_index::faiss::{DenseIndex, Faiss, OpenOptions, SearchOptions};

/// What numbers become in the files: none, the least, the largest of each kind, and not a number.
const VALUES: [u64; 6] = [0, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 39, u64::MAX];

/// The same numbers each time, as far apart as chance would have them.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        // Steele, Lea, Flood 2014: SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

/// Cuts the file, flips a bit, or puts a number where another was. Mostly near the ends, where the
/// sizes are.
fn damage(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let near = bytes.len().min(400);
    let at = match chance.below(3) {
        0 => chance.below(near),
        1 => bytes.len() - 1 - chance.below(near),
        _ => chance.below(bytes.len()),
    };
    match chance.below(8) {
        0 => bytes.truncate(at),
        1..4 => {
            let bit = chance.below(8);
            bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << bit);
        }
        kind => {
            let value = VALUES
                .get(chance.below(VALUES.len()))
                .unwrap()
                .to_le_bytes();
            let width = if kind < 6 { 4 } else { 8 };
            let places = bytes.iter_mut().skip(at).take(width);
            places.zip(value).for_each(|(place, byte)| *place = byte);
        }
    }
}

#[test]
fn no_damage_to_a_file_ends_the_process() {
    let faiss = match Faiss::load(None) {
        Ok(faiss) => faiss,
        Err(error) => {
            // Not a print macro: of a test that passes the runner hides those.
            let _ = writeln!(std::io::stderr(), "SKIPPED: FAISS was not tested: {error}");
            return;
        }
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/faiss");
    let mut chance = Chance(1);
    let (mut refused, mut searched) = (0, 0);
    for entry in fs::read_dir(&golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "faiss") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::copy(golden.join("index.ids"), dir.path().join("index.ids")).unwrap();
        for round in 0..200 {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut chance);
            // Anew, because the last one may still be mapped.
            let _ = fs::remove_file(dir.path().join("index.faiss"));
            fs::write(dir.path().join("index.faiss"), bytes).unwrap();
            let options = OpenOptions {
                mmap: round % 2 == 0,
                ..OpenOptions::default()
            };
            let Ok(index) = DenseIndex::open(&faiss, dir.path(), options) else {
                refused += 1;
                continue;
            };
            let queries = vec![0.25; 3 * index.dim()];
            let _ = index.search(
                &queries,
                50,
                &SearchOptions::default(),
                &AtomicBool::new(false),
            );
            searched += 1;
        }
    }
    assert!(
        refused > 300 && searched > 300,
        "{refused} refused, {searched} searched"
    );
}

#[test]
fn numbers_at_the_end_of_their_range_end_no_process() {
    let Ok(faiss) = Faiss::load(None) else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/faiss");
    for file in [
        "hnsw.faiss",
        "nested.faiss",
        "refined.faiss",
        "ivf-l2.faiss",
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(golden.join(file), dir.path().join("index.faiss")).unwrap();
        fs::copy(golden.join("index.ids"), dir.path().join("index.ids")).unwrap();
        let index = DenseIndex::open(&faiss, dir.path(), OpenOptions::default()).unwrap();
        for large in [f32::MAX, -f32::MAX] {
            // Products overflow to both infinities, and those add up to what is no number.
            let signs = (0..3 * index.dim()).map(|at| if at % 3 == 0 { -large } else { large });
            let queries: Vec<f32> = signs.collect();
            let _ = index.search(
                &queries,
                50,
                &SearchOptions::default(),
                &AtomicBool::new(false),
            );
        }
    }
}
