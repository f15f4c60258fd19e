//! Archives as GNU tar, Python and Rust write them, whole, damaged and hostile.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use ::tar::{Builder, EntryType, Header};
use proptest::prelude::*;

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn parts(&self, template: &str, shards: Shards, matcher: Matcher) -> TarParts {
        let template = self.path(template);
        TarParts {
            template: Template::parse(template.to_str().unwrap(), "shard").unwrap(),
            shards,
            matcher,
            mime: None,
            cache_dir: None,
        }
    }

    fn try_open(&self, name: &str, glob: &str) -> Result<TarView> {
        let parts = self.parts(name, Shards::One, Matcher::glob(glob).unwrap());
        TarView::open(parts, &OpenOptions::default())
    }

    fn open(&self, name: &str, glob: &str) -> TarView {
        self.try_open(name, glob).unwrap()
    }

    fn write(&self, name: &str, members: &[(&str, &[u8])]) {
        fs::write(self.path(name), archive(members)).unwrap();
    }
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn read_all(view: &TarView, id: &str) -> Result<Vec<Vec<u8>>> {
    let cancelled = AtomicBool::new(false);
    let room = Room {
        bytes: 1 << 20,
        cancelled: &cancelled,
    };
    let read = view.read(id, room)?;
    Ok(read.parts.iter().map(|part| part.to_vec()).collect())
}

fn one(view: &TarView, id: &str) -> Result<String> {
    let mut parts = read_all(view, id)?;
    assert_eq!(parts.len(), 1);
    Ok(String::from_utf8(parts.remove(0)).unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn members_are_found_by_name_in_order_and_reopened_from_their_index() {
    let place = Place::new();
    let long = format!("d/{}/x_1.jpg", "n".repeat(300));
    let members: [(&str, &[u8]); 8] = [
        ("b_2.jpg", b"b2"),
        ("a_1.jpg", b"a1"),
        ("b_10.jpg", b"b10"),
        ("b_1.jpg", b""),
        ("b_1.png", b"png"),
        (&long, b"long"),
        ("\u{e9}_1.jpg", b"accent"),
        ("a_1.jpg", b"a1 again"),
    ];
    place.write("x.tar", &members);
    fs::write(place.path("y.tar.gz"), gzip(&archive(&members))).unwrap();
    for name in ["x.tar", "y.tar.gz", "x.tar", "y.tar.gz"] {
        let view = place.open(name, "{id}_*.jpg");
        let b: Vec<Vec<u8>> = vec![b"".to_vec(), b"b10".to_vec(), b"b2".to_vec()];
        assert_eq!(read_all(&view, "b").unwrap(), b);
        assert_eq!(one(&view, "a").unwrap(), "a1 again");
        assert_eq!(one(&view, "\u{e9}").unwrap(), "accent");
        assert_eq!(
            one(&view, &format!("d/{}/x", "n".repeat(300))).unwrap(),
            "long"
        );
        for absent in ["", "c", "*", &"z".repeat(5000)] {
            let error = read_all(&view, absent).unwrap_err();
            assert_eq!(error.code(), ErrorCode::UnknownDocument, "{absent}");
        }
        assert_eq!(one(&place.open(name, "*/{id}_1.jpg"), "x").unwrap(), "long");
    }
    assert!(place.path("x.tar.routir-members").exists());
    assert!(place.path("y.tar.gz.routir-gzip").exists());
}

#[test]
fn what_tar_and_python_write_is_read() {
    let place = Place::new();
    let deep = "q".repeat(120);
    fs::create_dir_all(place.path(&format!("in/{deep}"))).unwrap();
    for (name, text) in [("a.txt", "A"), ("b.txt", "B")] {
        fs::write(place.path(&format!("in/{name}")), text).unwrap();
        fs::write(place.path(&format!("in/{deep}/{name}")), text.repeat(700)).unwrap();
    }
    fs::hard_link(place.path("in/a.txt"), place.path("in/hard.txt")).unwrap();
    std::os::unix::fs::symlink("a.txt", place.path("in/soft.txt")).unwrap();
    let run = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .args(args)
            .current_dir(place.path("in"))
            .status();
        let done = done.is_ok_and(|status| status.success());
        if !done {
            let _ = writeln!(io::stderr(), "SKIPPED: archives of {program} {args:?}");
        }
        done
    };
    let python = "import sys, tarfile\n\
                  kind = {'pax': tarfile.PAX_FORMAT, 'gnu': tarfile.GNU_FORMAT}[sys.argv[2]]\n\
                  with tarfile.open(sys.argv[1], 'w', format=kind) as t: t.add('.', arcname='')";
    let made = [
        (
            "gnu.tar",
            run("tar", &["--format=gnu", "-cf", "../gnu.tar", "."]),
        ),
        (
            "pax.tar",
            run("tar", &["--format=pax", "-cf", "../pax.tar", "."]),
        ),
        ("z.tar.gz", run("tar", &["-czf", "../z.tar.gz", "."])),
        (
            "ppax.tar",
            run("python3", &["-c", python, "../ppax.tar", "pax"]),
        ),
        (
            "pgnu.tar",
            run("python3", &["-c", python, "../pgnu.tar", "gnu"]),
        ),
    ];
    for (name, made) in made {
        if !made {
            continue;
        }
        let view = place.open(name, "*{id}.txt");
        assert_eq!(one(&view, "hard").unwrap(), "A", "{name}");
        assert!(one(&view, "soft").is_err(), "{name}");
        let both = read_all(&view, "b").unwrap();
        let lengths: Vec<_> = both.iter().map(Vec::len).collect();
        assert!(
            lengths == [1, 700] || lengths == [700, 1],
            "{name}: {lengths:?}"
        );
        let deep = place.open(name, &format!("*{deep}/{{id}}.txt"));
        assert_eq!(one(&deep, "a").unwrap(), "A".repeat(700), "{name}");
    }
}

#[test]
fn shards_are_opened_when_they_are_asked_for() {
    let place = Place::new();
    let ids: Vec<String> = (0..40).map(|n| format!("doc{n}")).collect();
    let resolver = Resolver::Modulo { n: 4, width: 3 };
    for shard in resolver.all() {
        let own = ids
            .iter()
            .filter(|id| resolver.shard(id).as_ref() == Some(&shard));
        let names: Vec<_> = own.map(|id| (format!("{id}.bin"), id.clone())).collect();
        let members: Vec<_> = names
            .iter()
            .map(|(n, d)| (n.as_str(), d.as_bytes()))
            .collect();
        place.write(&format!("s-{shard}.tar"), &members);
    }
    let glob = || Matcher::glob("{id}.bin").unwrap();
    let shards = Shards::Modulo { n: 4, width: 3 };
    let parts = place.parts("s-{shard}.tar", shards.clone(), glob());
    let view = TarView::open(parts.clone(), &OpenOptions::default()).unwrap();
    assert!(!place.path("s-000.tar.routir-members").exists());
    for id in &ids {
        assert_eq!(&one(&view, id).unwrap(), id);
    }
    let options = OpenOptions {
        all_shards: true,
        ..OpenOptions::default()
    };
    TarView::open(parts, &options).unwrap();
    // A shard that must be there is missed; one that an id only suggests is not.
    fs::remove_file(place.path("s-001.tar")).unwrap();
    let fresh = place.parts("s-{shard}.tar", shards, glob());
    let fresh = TarView::open(fresh, &OpenOptions::default()).unwrap();
    let lost = ids
        .iter()
        .find(|id| resolver.shard(id).as_deref() == Some("001"))
        .unwrap();
    let error = one(&fresh, lost).unwrap_err();
    assert!(error.message().contains("s-001.tar"), "{error}");
    // That is no fault of whoever asks, nor is one that is no archive; it is not another's either.
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    place.write("s-001.tar", &[(&format!("{lost}.bin"), b"back")]);
    assert_eq!(one(&fresh, lost).unwrap(), "back");
    fs::write(place.path("s-001.tar"), "no archive".repeat(100)).unwrap();
    let error = one(&fresh, lost).unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
    let shards = Shards::Substring { start: 0, end: 3 };
    let guess = TarView::open(
        place.parts("{shard}.tar", shards, glob()),
        &OpenOptions::default(),
    );
    let error = one(&guess.unwrap(), "zzz1").unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownDocument);
}

#[test]
fn an_archive_that_is_cut_off_or_corrupt_is_refused() {
    let place = Place::new();
    let whole = archive(&[("a.x", &[7; 3000]), ("b.x", b"b")]);
    for cut in [100, 511, 600, 3000] {
        fs::write(place.path("c.tar"), &whole[..cut]).unwrap();
        let error = place.try_open("c.tar", "{id}.x").unwrap_err();
        assert!(error.message().contains("cut off"), "{cut}: {error}");
        fs::write(place.path("c.tar.gz"), gzip(&whole[..cut])).unwrap();
        let error = place.try_open("c.tar.gz", "{id}.x").unwrap_err();
        assert!(error.message().contains("cut off"), "{cut}: {error}");
        let mut packed = gzip(&whole);
        packed.truncate(packed.len() - 9);
        fs::write(place.path("d.tar.gz"), packed).unwrap();
        assert!(place.try_open("d.tar.gz", "{id}.x").is_err());
    }
    for bad in [b"not an archive".repeat(100), {
        let mut bad = whole;
        bad[3] ^= 1;
        bad
    }] {
        fs::write(place.path("e.tar"), bad).unwrap();
        assert!(place.try_open("e.tar", "{id}.x").is_err());
    }
    let files = fs::read_dir(place.0.path()).unwrap();
    let left: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| !name.to_str().unwrap().contains("routir")),
        "{left:?}"
    );
}

#[test]
fn an_archive_that_changes_while_it_is_served_is_never_another_document() {
    let place = Place::new();
    place.write("x.tar", &[("a.x", b"one"), ("b.x", b"two")]);
    let view = place.open("x.tar", "{id}.x");
    assert_eq!(one(&view, "b").unwrap(), "two");
    // Replaced by another: indexed anew.
    place.write("new.tar", &[("b.x", b"zwei"), ("c.x", b"drei")]);
    fs::rename(place.path("new.tar"), place.path("x.tar")).unwrap();
    assert_eq!(one(&view, "b").unwrap(), "zwei");
    assert_eq!(
        one(&view, "a").unwrap_err().code(),
        ErrorCode::UnknownDocument
    );
    // Written over in place.
    place.write("x.tar", &[("padding.x", &[1; 2000]), ("b.x", b"deux")]);
    assert_eq!(one(&view, "b").unwrap(), "deux");
    // Cut off.
    let bytes = fs::read(place.path("x.tar")).unwrap();
    fs::write(place.path("x.tar"), &bytes[..1000]).unwrap();
    assert!(one(&view, "b").is_err());
    fs::write(place.path("x.tar"), &bytes).unwrap();
    assert_eq!(one(&view, "b").unwrap(), "deux");
    // Gone: those who hold it open still read it.
    fs::remove_file(place.path("x.tar")).unwrap();
    assert_eq!(one(&view, "b").unwrap(), "deux");
    // Its index damaged: built again.
    place.write("y.tar", &[("a.x", b"one")]);
    assert_eq!(one(&place.open("y.tar", "{id}.x"), "a").unwrap(), "one");
    let index = place.path("y.tar.routir-members");
    let mut bytes = fs::read(&index).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&index, &bytes).unwrap();
    assert_eq!(one(&place.open("y.tar", "{id}.x"), "a").unwrap(), "one");
}

#[test]
fn hostile_headers_hold_nothing_and_go_nowhere() {
    let place = Place::new();
    let evil = |kind: EntryType, size: u64, data: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(data);
        bytes
    };
    for (what, bytes) in [
        (
            "a name of a terabyte",
            evil(EntryType::GNULongName, 1 << 40, b""),
        ),
        (
            "records of a terabyte",
            evil(EntryType::XHeader, 1 << 40, b""),
        ),
        (
            "a size past everything",
            evil(EntryType::Regular, u64::MAX, b""),
        ),
        (
            "a size that overflows",
            evil(EntryType::XGlobalHeader, u64::MAX - 100, b""),
        ),
        (
            "records that are none",
            evil(EntryType::XHeader, 512, &[b'9'; 512]),
        ),
    ] {
        fs::write(place.path("e.tar"), &bytes).unwrap();
        assert!(place.try_open("e.tar", "{id}").is_err(), "{what}");
    }
    // A name that leads elsewhere is a name and nothing more.
    let mut header = Header::new_old();
    header.as_old_mut().name[..9].copy_from_slice(b"../../etc");
    header.set_size(4);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(b"evil");
    bytes.resize(2048, 0);
    fs::write(place.path("e.tar"), &bytes).unwrap();
    assert_eq!(
        one(&place.open("e.tar", "{id}"), "../../etc").unwrap(),
        "evil"
    );
}

/// As Python's `tarfile` reads them.
#[test]
fn records_may_have_line_breaks_and_sizes_may_be_blank() {
    let member = |kind: EntryType, name: &str, data: &[u8], blank: bool| {
        let mut header = Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        if blank {
            header.as_old_mut().size = [0; 12];
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let records = |records: &[u8]| member(EntryType::XHeader, "pax", records, false);
    let place = Place::new();
    let two = b"19 comment=one\ntwo\n15 path=a=b\n.x\n";
    let bytes = [
        records(two),
        member(EntryType::Regular, "short.x", b"one", false),
        member(EntryType::Regular, "blank.x", b"", true),
        vec![0; 1024],
    ];
    fs::write(place.path("x.tar"), bytes.concat()).unwrap();
    let view = place.open("x.tar", "{id}.x");
    assert_eq!(one(&view, "a=b\n").unwrap(), "one");
    assert_eq!(one(&view, "blank").unwrap(), "");
    for wrong in [
        "9 path=x\n",
        "8 path=x\n",
        "x path=x\n",
        "4 p\n",
        "1 a=b\n",
        "9",
        "0 a=b\n",
    ] {
        let bytes = [records(wrong.as_bytes()), vec![0; 1024]];
        fs::write(place.path("w.tar"), bytes.concat()).unwrap();
        let fits = place.try_open("w.tar", "{id}.x").is_ok();
        assert_eq!(fits, wrong == "9 path=x\n", "{wrong:?}");
    }
}

#[test]
fn a_document_has_bounds() {
    let place = Place::new();
    let large = vec![1; 600 << 10];
    place.write(
        "x.tar",
        &[("a_1", &large), ("a_2", &large), ("b_1", &large)],
    );
    let view = place.open("x.tar", "{id}_*");
    assert_eq!(read_all(&view, "b").unwrap()[0].len(), large.len());
    assert_eq!(
        read_all(&view, "a").unwrap_err().code(),
        ErrorCode::TooLarge
    );
    let names: Vec<_> = (0..1100).map(|n| format!("m_{n:04}")).collect();
    let members: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    place.write("many.tar", &members);
    let error = read_all(&place.open("many.tar", "{id}_*"), "m").unwrap_err();
    assert!(error.message().contains("1024 parts"), "{error}");
}

#[test]
fn many_read_at_once() {
    let place = Place::new();
    let names: Vec<_> = (0..500)
        .map(|n| (format!("{n}.x"), format!("text {n}")))
        .collect();
    let members: Vec<_> = names
        .iter()
        .map(|(n, d)| (n.as_str(), d.as_bytes()))
        .collect();
    fs::write(place.path("x.tar.gz"), gzip(&archive(&members))).unwrap();
    place.write("x.tar", &members);
    for name in ["x.tar", "x.tar.gz"] {
        let view = place.open(name, "{id}.x");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let view = &view;
                scope.spawn(move || {
                    for n in (thread..500).step_by(3) {
                        assert_eq!(one(view, &n.to_string()).unwrap(), format!("text {n}"));
                    }
                });
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_found(members in proptest::collection::btree_map(
        "[a-zé/_]{1,130}[a-z]", proptest::collection::vec(any::<u8>(), 0..1500), 1..12)
    ) {
        let place = Place::new();
        let names: Vec<_> = members.iter().filter(|(name, _)| {
            !name.starts_with('/') && !name.contains("//")
        }).map(|(name, data)| (name.as_str(), data.as_slice())).collect();
        place.write("x.tar", &names);
        let view = place.open("x.tar", "{id}");
        for (name, data) in &names {
            prop_assert_eq!(read_all(&view, name).unwrap(), vec![data.to_vec()]);
        }
    }

    #[test]
    fn no_byte_does_harm(at in 0_usize..3000, to: u8) {
        let place = Place::new();
        let long = "n".repeat(200);
        let mut bytes = archive(&[(&long, &b"data"[..]), ("a.x", &b"one"[..])]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        fs::write(place.path("x.tar"), &bytes).unwrap();
        if let Ok(view) = place.try_open("x.tar", "{id}.x") {
            let _ = read_all(&view, "a");
        }
    }
}
