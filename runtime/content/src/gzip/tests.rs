//! Seek indices over what gzip and others write, whole and damaged.

use std::io::Write;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

struct Packed {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Packed {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.gz");
        std::fs::write(&path, bytes).unwrap();
        Self { dir, path }
    }

    fn index(&self) -> io::Result<()> {
        let file = File::open(&self.path).unwrap();
        let out = File::create(self.dir.path().join("index")).unwrap();
        Indexer::new(&file, &out).finish(&SourceStamp::of(&file).unwrap())
    }

    fn open(&self) -> Result<Gzip, Unusable> {
        let file = File::open(&self.path).unwrap();
        let stamp = SourceStamp::of(&file).unwrap();
        let at = self.dir.path().join("index");
        let index = File::open(&at).unwrap();
        Gzip::open((&self.path, file, &stamp), (&at, index), &spans())
    }

    fn opened(&self) -> Gzip {
        self.index().unwrap();
        self.open().unwrap()
    }
}

fn gzip(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Text that packs, but not into nothing.
fn prose(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 40
    };
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        write!(text, "w{} ", next() % 5000).unwrap();
    }
    text.truncate(length);
    text
}

/// Bytes that do not pack.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}

fn check(gzip: &Gzip, text: &[u8]) {
    assert_eq!(gzip.text_bytes(), text.len() as u64);
    let mut from = 0;
    while from < text.len() {
        let length = (text.len() - from).min(300_007);
        let mut into = vec![0; length];
        gzip.read(from as u64, &mut into).unwrap();
        assert!(into == text[from..from + length], "at {from}");
        from += 400_003;
    }
    let mut one = [0];
    assert!(gzip.read(text.len() as u64, &mut one).is_err());
}

#[test]
fn any_part_of_the_text_can_be_read() {
    let prose = prose(5 << 20);
    let noise = noise(3 << 20);
    for (text, level) in [(&prose, 6), (&prose, 1), (&prose, 0), (&noise, 6)] {
        let packed = Packed::new(&gzip(text, level));
        let opened = packed.opened();
        assert!(opened.points.len() > 3, "{} points", opened.points.len());
        check(&opened, text);
    }
}

#[test]
fn members_follow_each_other() {
    let text = prose(3 << 20);
    let mut packed = Vec::new();
    for piece in text.chunks(70_001) {
        packed.extend(gzip(piece, 6));
        packed.extend(gzip(b"", 6));
    }
    packed.extend([0; 100]);
    let packed = Packed::new(&packed);
    let opened = packed.opened();
    assert!(
        opened
            .points
            .iter()
            .skip(1)
            .any(|point| point.resume.member)
    );
    check(&opened, &text);
    check(&Packed::new(&gzip(b"", 6)).opened(), b"");
}

#[test]
fn what_gzip_itself_writes_is_read() {
    let text = prose(4 << 20);
    let child = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: gzip's own files, there is no gzip here"
        );
        return;
    };
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn({
        let text = text.clone();
        move || input.write_all(&text).unwrap()
    });
    let packed = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    check(&Packed::new(&packed).opened(), &text);
}

#[test]
fn what_is_cut_off_or_corrupt_is_refused() {
    let whole = gzip(&prose(2 << 20), 6);
    for length in [
        0,
        1,
        9,
        200,
        whole.len() / 2,
        whole.len() - 8,
        whole.len() - 1,
    ] {
        let error = Packed::new(&whole[..length]).index().unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::UnexpectedEof,
            "{length}: {error}"
        );
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    assert!(Packed::new(&flipped).index().is_err());
    let mut checksum = whole.clone();
    *checksum.last_mut().unwrap() ^= 1;
    let error = Packed::new(&checksum).index().unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    let mut followed = whole;
    followed.extend_from_slice(b"tail");
    assert!(Packed::new(&followed).index().is_err());
}

#[test]
fn a_file_that_changed_gives_no_other_text() {
    let text = prose(4 << 20);
    let packed = Packed::new(&gzip(&text, 6));
    let opened = packed.opened();
    let mut bytes = std::fs::read(&packed.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0x55);
    // In place: what is open sees it.
    std::fs::write(&packed.path, &bytes).unwrap();
    let mut failed = 0;
    for at in (0..text.len()).step_by(100_000) {
        let mut into = vec![0; 1000.min(text.len() - at)];
        match opened.read(at as u64, &mut into) {
            Ok(()) => assert!(into == text[at..at + into.len()], "at {at}"),
            Err(error) => {
                assert!(
                    error.message().contains("changed since it was indexed"),
                    "{error}"
                );
                failed += 1;
            }
        }
    }
    assert!(failed > 0);
    assert!(matches!(packed.open(), Err(Unusable::Stale)));
}

#[test]
fn a_damaged_index_is_found_out() {
    let text = prose(3 << 20);
    let packed = Packed::new(&gzip(&text, 6));
    let opened = packed.opened();
    let at = packed.dir.path().join("index");
    let whole = std::fs::read(&at).unwrap();
    for cut in [0, 100, 5000, whole.len() - 1] {
        std::fs::write(&at, &whole[..cut]).unwrap();
        assert!(matches!(packed.open(), Err(Unusable::Corrupt(_))), "{cut}");
    }
    for place in [4, 30, whole.len() - 10] {
        let mut bad = whole.clone();
        bad[place] ^= 0x40;
        std::fs::write(&at, &bad).unwrap();
        assert!(packed.open().is_err(), "{place}");
    }
    // A window is only looked at when it is needed.
    let mut bad = whole;
    let window = opened.points[1].window_at as usize;
    bad[window + 20..window + 40].fill(0);
    std::fs::write(&at, &bad).unwrap();
    let opened = packed.open().unwrap();
    let mut into = [0; 8];
    opened.read(0, &mut into).unwrap();
    assert!(opened.read(opened.points[1].text, &mut into).is_err());
}

#[test]
fn many_read_at_once() {
    let text = prose(4 << 20);
    let packed = Packed::new(&gzip(&text, 6));
    let opened = packed.opened();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (opened, text) = (&opened, &text);
            scope.spawn(move || {
                for round in 0..40_usize {
                    let at = (thread * 7919 + round * 104_729) % (text.len() - 5000);
                    let mut into = vec![0; 5000];
                    opened.read(at as u64, &mut into).unwrap();
                    assert!(into == text[at..at + 5000]);
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300),
                        at in 0_usize..400, to: u8) {
        let mut head = vec![0x1f, 0x8b, 8, 0];
        head.extend(bytes);
        let _ = Packed::new(&head).index();
        let mut packed = gzip(&prose(40_000), 6);
        if let Some(byte) = packed.get_mut(at) {
            *byte = to;
        }
        let _ = Packed::new(&packed).index();
    }
}
