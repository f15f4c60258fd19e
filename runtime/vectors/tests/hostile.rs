//! Files that are cut off, that lie, or that want more than to be read: each is an error that names
//! the file, quickly and without taking memory for what is not there.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use routir_vectors::{Element, Format, VectorFile, VectorWriter};
use tempfile::TempDir;

const FORMATS: [Format; 3] = [Format::Npy, Format::Safetensors, Format::Routir];

/// A small file of every format, with its bytes.
fn samples() -> (TempDir, Vec<(PathBuf, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let samples = FORMATS.map(|format| {
        let path = dir.path().join(format!("{format}.{}", format.extension()));
        let mut writer = VectorWriter::create(&path, format, Element::F32, 3).unwrap();
        for id in ["a", "b\u{fc}", "c"] {
            writer.push(id, &[1.0, -2.0, 0.5]).unwrap();
        }
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    });
    (dir, samples.into())
}

/// Opens and reads everything; the error, if any.
fn read(path: &Path) -> Result<Vec<f32>, String> {
    let file = VectorFile::open(path).map_err(|error| error.message().to_owned())?;
    let mut ids = file.ids().map_err(|error| error.message().to_owned())?;
    while ids
        .next_id()
        .map_err(|error| error.message().to_owned())?
        .is_some()
    {}
    let mut rows = Vec::new();
    let count = usize::try_from(file.rows()).unwrap();
    file.read(0, count, &mut rows)
        .map_err(|error| error.message().to_owned())?;
    Ok(rows)
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error_that_names_it() {
    let (_dir, samples) = samples();
    for (path, bytes) in samples {
        assert_eq!(read(&path).unwrap().len(), 9);
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains(path.to_str().unwrap()), "{length}: {error}");
        }
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        read(&path).unwrap_err();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        thread_local!(static SAMPLES: (TempDir, Vec<(PathBuf, Vec<u8>)>) = samples());
        SAMPLES.with(|(_, samples)| {
            for (path, bytes) in samples {
                let mut bytes = bytes.clone();
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                std::fs::write(path, bytes).unwrap();
                let _ = read(path);
            }
        });
    }

    #[test]
    fn no_pickle_does_harm(program in prop::collection::vec(opcode(), 0..60)) {
        let _ = pickle(&program.concat());
    }
}

/// Instructions, known and unknown, with arguments that are often sound.
fn opcode() -> impl Strategy<Value = Vec<u8>> {
    let known = b"(}])tNesau.bRqhrjcXBCJKM\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x8e\x93\x94\x95\x96";
    let code = prop_oneof![
        8 => prop::sample::select(known.to_vec()),
        1 => any::<u8>(),
    ];
    let whole = prop::sample::select(vec![
        b"cnumpy.core.multiarray\n_reconstruct\n".to_vec(),
        b"cnumpy\ndtype\n".to_vec(),
        b"cnumpy\nndarray\n".to_vec(),
        b"cnumpy.core.numeric\n_frombuffer\n".to_vec(),
        b"c_codecs\nencode\n".to_vec(),
        b"\x8c\x08features".to_vec(),
        b"\x8c\x03ids".to_vec(),
        b"\x8c\x02f4".to_vec(),
        b"\x8c\x02O8".to_vec(),
        b"\x8c\x01<".to_vec(),
        b"(K\x01)".to_vec(),
        b"K\x02K\x02\x86".to_vec(),
        b"C\x10aaaabbbbccccdddd".to_vec(),
    ]);
    let argument = prop::collection::vec(prop_oneof![3 => 0_u8..5, 1 => any::<u8>()], 0..9);
    prop_oneof![
        2 => whole,
        3 => (code, argument).prop_map(|(code, argument)| [vec![code], argument].concat()),
    ]
}

/// Reads `program` as the pickle of a `.npy` file.
fn pickle(program: &[u8]) -> Result<Vec<f32>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(program);
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

#[test]
fn a_pickle_that_wants_to_run_something_is_refused_by_name() {
    for (program, asked) in [
        (
            b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.".as_slice(),
            "`os.system`",
        ),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            "`builtins.eval`",
        ),
        (
            b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.",
            "`numpy.load`",
        ),
        (
            b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
            "`numpy.core.multiarray.scalar`",
        ),
        (b"\x80\x02i__main__\nx\n.", "instruction 0x69"),
        (b"\x80\x02P1\n.", "instruction 0x50"),
        (b"\x80\x06.", "protocol 6"),
        (b"\x80\x05\x97.", "instruction 0x97"),
        (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\n\x85R.",
            "Reconstruct",
        ),
    ] {
        let error = pickle(program).unwrap_err();
        assert!(error.contains("its pickle is refused"), "{error}");
        assert!(error.contains(asked), "{error}");
    }
}

#[test]
fn lengths_that_are_not_there_take_no_memory() {
    let huge = u64::MAX.to_le_bytes();
    for head in [&b"\x8e"[..], b"\x8d", b"\x96"] {
        let error = pickle(&[head, &huge, b"xyz"].concat()).unwrap_err();
        assert!(error.contains("it is cut off"), "{error}");
    }
    // More than memory has, if it were believed.
    let error = pickle(&[b"X".as_slice(), &u32::MAX.to_le_bytes()].concat()).unwrap_err();
    assert!(error.contains("it is cut off"), "{error}");
    for endless in [b"(".as_slice(), b"]", b")", b"N"] {
        pickle(&endless.repeat(2 << 20)).unwrap_err();
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    for head in [
        [&huge[..], b"{}"].concat(),
        [&100_u64.to_le_bytes()[..], b"{\"vectors\":"].concat(),
        {
            let lie = br#"{"vectors":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
            [&(lie.len() as u64).to_le_bytes()[..], lie].concat()
        },
        {
            let lie = br#"{"vectors":{"dtype":"F32","shape":[10,4],"data_offsets":[0,160]}}"#;
            [&(lie.len() as u64).to_le_bytes()[..], lie, &[0; 159]].concat()
        },
    ] {
        std::fs::write(&path, head).unwrap();
        read(&path).unwrap_err();
    }
}

#[test]
fn other_arrays_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    for (header, data, why) in [
        (
            "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1), }",
            8,
            "astype",
        ),
        (
            "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1), }",
            4,
            "big-endian",
        ),
        (
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }",
            16,
            "ascontiguousarray",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",
            16,
            "1 dimensions",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 0), }",
            0,
            "0 numbers",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }",
            63,
            "cut off",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }",
            65,
            "do not fit",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 4), }",
            4,
            "do not fit",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 18446744073709551615), }",
            4,
            "can be read",
        ),
    ] {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.contains(why), "{header}: {error}");
    }
    std::fs::write(&path, "{\"id\": 1}\n").unwrap();
    assert!(read(&path).unwrap_err().contains("no file of vectors"));
    assert!(read(dir.path()).unwrap_err().contains("it is no file"));
    assert!(
        read(&dir.path().join("none.npy"))
            .unwrap_err()
            .contains("check the path")
    );
}
