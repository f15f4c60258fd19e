//! What holds for a store whatever its corpus, its hash and its index files are.

use std::collections::HashMap;
use std::fs::{self, OpenOptions as File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use routir_core::ErrorCode;

use super::*;
use crate::record::id_of;

struct Corpus {
    dir: tempfile::TempDir,
}

impl Corpus {
    fn new(text: &[u8]) -> Self {
        let corpus = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::write(corpus.path(), text).unwrap();
        corpus
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("corpus.jsonl")
    }

    fn location(&self) -> Location {
        Location {
            doc_path: self.path(),
            id_field: "id".into(),
            cache_dir: None,
            sidecar_path: None,
        }
    }

    fn open(&self, hash: IdHash) -> Result<Store> {
        Store::open_hashed(&self.location(), &OpenOptions::default(), hash)
    }

    fn file(&self, extension: &str) -> PathBuf {
        let mut found = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        found
            .find(|path| path.extension().is_some_and(|e| e == extension))
            .unwrap()
    }
}

fn read(store: &Store, ids: &[&str]) -> Vec<Result<String>> {
    let mut lines = vec![Err(Error::internal("no answer")); ids.len()];
    let parse = |line: &[u8]| {
        let text = String::from_utf8(line.to_vec()).unwrap();
        Ok((id_of(line, "id")?.into_owned(), text))
    };
    store.read(ids, &AtomicBool::new(false), &parse, &mut |index, line| {
        lines[index] = line;
    });
    for (id, line) in ids.iter().zip(&lines) {
        if let Some((at_hand, _)) = store.at_hand(id, u32::MAX, &parse) {
            assert_eq!(at_hand, *line.as_ref().unwrap());
        }
    }
    lines
}

fn line(id: &str, text: usize) -> String {
    serde_json::json!({"id": id, "text": format!("{id} {text}")}).to_string()
}

fn numbered(count: usize) -> String {
    (0..count)
        .map(|i| line(&format!("d{i}"), i) + "\n")
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    // Several members, as joined files have.
    for part in text.as_bytes().chunks(text.len() / 3 + 1) {
        let mut member = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
        member.write_all(part).unwrap();
        member.finish().unwrap();
    }
    out
}

fn zstd(text: &str) -> Vec<u8> {
    let parts = text.as_bytes().chunks(text.len() / 3 + 1);
    parts
        .flat_map(|part| zstd::encode_all(part, 1).unwrap())
        .collect()
}

#[test]
fn ids_whose_hashes_collide_keep_their_own_documents() {
    let corpus = Corpus::new(numbered(2000).as_bytes());
    // Two bits: four runs of entries, each over several pages.
    let store = corpus.open(IdHash::weak(2)).unwrap();
    let ids: Vec<String> = (0..2100).map(|i| format!("d{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let lines = read(&store, &[&ids[..40], &ids[1960..2040]].concat());
    for (line, (id, i)) in lines.iter().zip(ids[..40].iter().zip(0..)) {
        assert_eq!(line.as_ref().unwrap(), &self::line(id, i));
    }
    for line in &lines[80..] {
        assert_eq!(
            line.as_ref().unwrap_err().code(),
            ErrorCode::UnknownDocument
        );
    }
}

#[test]
fn a_second_opening_reuses_the_index_and_a_changed_corpus_rebuilds() {
    let corpus = Corpus::new(numbered(10).as_bytes());
    let keyed = |store: &Store| store.sidecar().find("d3", Reading::Patient).unwrap().0;
    let first = keyed(&corpus.open(IdHash::random()).unwrap());
    assert_eq!(
        keyed(&corpus.open(IdHash::random()).unwrap()),
        first,
        "built twice"
    );
    // The same length, so that only time and text tell.
    fs::write(corpus.path(), numbered(10).replace("\"d3\"", "\"dX\"")).unwrap();
    let store = corpus.open(IdHash::random()).unwrap();
    assert!(read(&store, &["d3"])[0].is_err());
    assert!(read(&store, &["dX"])[0].is_ok());
    let again = OpenOptions {
        rebuild: true,
        ..OpenOptions::default()
    };
    let rebuilt = Store::open(&corpus.location(), &again).unwrap();
    assert_ne!(
        keyed(&rebuilt),
        keyed(&store),
        "not built again though asked"
    );
}

#[test]
fn ten_malformed_lines_in_a_row_are_skipped_and_eleven_are_not_a_corpus() {
    let with = |bad: usize| {
        let bad = "\n{\"id\": 1\n".repeat(bad);
        format!(
            "{}\n{bad}{}\n{bad}{}",
            line("a", 1),
            line("b", 2),
            line("c", 3)
        )
    };
    let corpus = Corpus::new(with(10).as_bytes());
    let store = corpus.open(IdHash::random()).unwrap();
    assert_eq!(store.sidecar().head().malformed, 20);
    assert!(read(&store, &["a", "b", "c"]).iter().all(Result::is_ok));

    let error = Corpus::new(with(11).as_bytes())
        .open(IdHash::random())
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    // Line 1 is good, then empty and bad lines by turns.
    assert!(
        error.message().contains("corpus.jsonl, line 23: "),
        "{error}"
    );
}

#[test]
fn of_a_repeated_id_the_last_counts() {
    let text = [line("a", 1), line("b", 2), line("a", 3), line("a", 4)].join("\n");
    for hash in [IdHash::random(), IdHash::weak(0)] {
        let store = Corpus::new(text.as_bytes()).open(hash).unwrap();
        let head = store.sidecar().head();
        assert_eq!((head.documents, head.duplicates), (2, 2));
        assert_eq!(read(&store, &["a"])[0].as_ref().unwrap(), &line("a", 4));
    }
}

#[test]
fn a_corpus_that_changes_under_a_server_is_an_error_and_never_another_document() {
    let text = numbered(100);
    let corpus = Corpus::new(text.as_bytes());
    let store = corpus.open(IdHash::random()).unwrap();
    // Another document of the same length where d10 was.
    let file = File::new().write(true).open(corpus.path()).unwrap();
    let at = text.find(&line("d10", 10)).unwrap() as u64;
    file.write_all_at(line("d77", 77).as_bytes(), at).unwrap();
    file.set_len(text.find(&line("d90", 90)).unwrap() as u64 + 5)
        .unwrap();
    let lines = read(&store, &["d10", "d90", "d95", "d11", "nobody"]);
    for line in &lines[..3] {
        let error = line.as_ref().unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        assert!(
            error.message().contains("changed since it was indexed"),
            "{error}"
        );
    }
    assert_eq!(lines[3].as_ref().unwrap(), &line("d11", 11));
    assert_eq!(
        lines[4].as_ref().unwrap_err().message(),
        "ID nobody is not found."
    );
    // A file that is gone stays readable by who has it open.
    fs::remove_file(corpus.path()).unwrap();
    assert!(read(&store, &["d11"])[0].is_ok());
}

#[test]
fn a_compressed_corpus_reads_as_a_plain_one() {
    // Long enough for several blocks, and for lines that cross from one to the next.
    let text = numbered(20_000);
    for packed in [gzip(&text), zstd(&text)] {
        let corpus = Corpus::new(&packed);
        for _ in 0..2 {
            let store = corpus.open(IdHash::random()).unwrap();
            assert_eq!(store.source().text_bytes(), text.len() as u64);
            let ids: Vec<String> = (0..20_000).step_by(7).map(|i| format!("d{i}")).collect();
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for (at, found) in read(&store, &ids).iter().enumerate() {
                assert_eq!(found.as_ref().unwrap(), &line(ids[at], at * 7));
            }
        }
    }
}

#[test]
fn a_compressed_corpus_that_is_cut_off_is_an_error_and_leaves_nothing() {
    for packed in [gzip(&numbered(5000)), zstd(&numbered(5000))] {
        let corpus = Corpus::new(&packed[..packed.len() - 20]);
        let error = corpus.open(IdHash::random()).unwrap_err();
        assert!(error.message().contains("cut off or corrupt"), "{error}");
        assert_eq!(fs::read_dir(corpus.dir.path()).unwrap().count(), 1);
    }
    let error = Corpus::new(b"\xfd7zXZ\0...")
        .open(IdHash::random())
        .unwrap_err();
    assert!(error.message().contains("xz"), "{error}");
}

#[test]
fn a_line_over_the_limit_is_no_document() {
    let long = line("long", 0).replace("long 0", &"x".repeat(5000));
    let corpus = Corpus::new(format!("{}\n{long}\n{}", line("a", 1), line("b", 2)).as_bytes());
    let options = OpenOptions {
        max_line_bytes: 1000,
        ..OpenOptions::default()
    };
    let store = Store::open(&corpus.location(), &options).unwrap();
    assert!(read(&store, &["a", "b"]).iter().all(Result::is_ok));
    assert!(read(&store, &["long"])[0].is_err());
    // Another limit makes another index.
    assert!(read(&corpus.open(IdHash::random()).unwrap(), &["long"])[0].is_ok());
}

#[test]
fn an_empty_corpus_has_no_documents() {
    let store = Corpus::new(b"").open(IdHash::random()).unwrap();
    assert_eq!(
        read(&store, &["a"])[0].as_ref().unwrap_err().message(),
        "ID a is not found."
    );
}

#[test]
fn several_processes_may_build_at_once() {
    let corpus = Corpus::new(numbered(3000).as_bytes());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = corpus.open(IdHash::random()).unwrap();
                assert!(read(&store, &["d0", "d2999"]).iter().all(Result::is_ok));
            });
        }
    });
    assert_eq!(fs::read_dir(corpus.dir.path()).unwrap().count(), 2);
}

/// A damaged index is noticed when it is opened, and built again.
#[test]
fn a_damaged_index_is_built_again() {
    let text = numbered(3000);
    for (packed, extension) in [
        (text.clone().into_bytes(), "routir-offsets"),
        (gzip(&text), "routir-blocks"),
    ] {
        let corpus = Corpus::new(&packed);
        drop(corpus.open(IdHash::random()).unwrap());
        let path = corpus.file(extension);
        let whole = fs::read(&path).unwrap();
        let cut = |end: usize| whole[..end].to_vec();
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        let mut table = whole.clone();
        *table.last_mut().unwrap() ^= 1;
        let longer = [&whole[..], b"\0"].concat();
        for damaged in [
            cut(0),
            cut(100),
            cut(4096),
            cut(whole.len() - 1),
            flipped,
            table,
            longer,
        ] {
            fs::write(&path, damaged).unwrap();
            let store = corpus.open(IdHash::random()).unwrap();
            assert!(
                read(&store, &["d0", "d1234", "d2999"])
                    .iter()
                    .all(Result::is_ok)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_what_reading_the_file_naively_answers(
        docs in proptest::collection::vec((0_usize..30, "\\PC{0,40}", 0_u8..12), 0..80),
        bits in 0_u32..10,
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\n \n")],
        mark: bool,
        packed in 0_u8..3,
    ) {
        let names = |i: usize| format!("dé \u{1F600} {i}");
        let mut text = String::from(if mark { "\u{feff}" } else { "" });
        let mut naive: HashMap<String, String> = HashMap::new();
        for (id, content, kind) in &docs {
            let id = names(*id);
            let line = serde_json::json!({"id": id, "text": content}).to_string();
            // Some lines are cut off; ten in a row are too rare to come up.
            if *kind == 0 {
                text += &line[..line.len() - 1];
            } else {
                naive.insert(id, line.clone());
                text += &line;
            }
            text += end;
        }
        let bytes = match packed { 0 => text.into_bytes(), 1 => gzip(&text), _ => zstd(&text) };
        let store = Corpus::new(&bytes).open(IdHash::weak(bits)).unwrap();
        prop_assert_eq!(store.sidecar().head().documents, naive.len() as u64);
        let ids: Vec<String> = (0..35).map(names).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for (id, line) in ids.iter().zip(read(&store, &ids)) {
            match naive.get(*id) {
                Some(naive) => prop_assert_eq!(naive, &line.unwrap()),
                None => prop_assert_eq!(line.unwrap_err().code(), ErrorCode::UnknownDocument),
            }
        }
    }

    /// Bytes that change while the index is open, past the checks of opening: right or an error.
    #[test]
    fn an_index_that_is_damaged_in_use_never_answers_another_document(
        changes in proptest::collection::vec((0.0..1.0_f64, 1_u8..), 1..20),
        cut in prop_oneof![2 => Just(None), 1 => (0.0..1.0_f64).prop_map(Some)],
        compressed: bool,
    ) {
        let text = numbered(700);
        let bytes = if compressed { gzip(&text) } else { text.into_bytes() };
        let corpus = Corpus::new(&bytes);
        let mut store = corpus.open(IdHash::weak(9)).unwrap();
        store.sidecar.let_go();
        let path = corpus.file(if compressed { "routir-blocks" } else { "routir-offsets" });
        let file = File::new().read(true).write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        for (at, flip) in changes {
            let at = (length as f64 * at) as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ flip], at).unwrap();
        }
        if let Some(cut) = cut {
            file.set_len((length as f64 * cut) as u64).unwrap();
        }
        let ids: Vec<String> = (0..700).step_by(13).map(|i| format!("d{i}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        for (at, found) in read(&store, &ids).into_iter().enumerate() {
            match found {
                Ok(found) => prop_assert_eq!(found, line(ids[at], at * 13)),
                Err(error) => prop_assert!(error.code() != ErrorCode::UnknownDocument, "{}", error),
            }
        }
    }

    /// An index file of any bytes is built again, and answers as if it had not been there.
    #[test]
    fn an_index_of_any_bytes_does_no_harm(
        noise in proptest::collection::vec(any::<u8>(), 0..9000),
        keep in 0_usize..9000,
    ) {
        let corpus = Corpus::new(numbered(300).as_bytes());
        drop(corpus.open(IdHash::weak(9)).unwrap());
        let path = corpus.file("routir-offsets");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(keep);
        bytes.extend(noise);
        fs::write(path, bytes).unwrap();
        let store = corpus.open(IdHash::weak(9)).unwrap();
        let found = read(&store, &["d7", "d300"]);
        prop_assert_eq!(found[0].as_ref().unwrap(), &line("d7", 7));
        prop_assert!(found[1].is_err());
    }
}
