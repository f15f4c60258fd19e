//! What is written is read again, in every format, from any row on.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use proptest::prelude::*;
use routir_vectors::{Element, Format, VectorFile, VectorWriter, Written};

const FORMATS: [Format; 3] = [Format::Npy, Format::Safetensors, Format::Routir];

fn write(
    path: &Path,
    format: Format,
    element: Element,
    rows: &[(String, Vec<f32>)],
    dim: usize,
) -> Written {
    let mut writer = VectorWriter::create(path, format, element, dim).unwrap();
    for (id, row) in rows {
        writer.push(id, row).unwrap();
    }
    writer.finish().unwrap()
}

fn ids(file: &VectorFile) -> Vec<String> {
    let mut reader = file.ids().unwrap();
    let mut ids = Vec::new();
    while let Some(id) = reader.next_id().unwrap() {
        ids.push(id.to_owned());
    }
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_format_keeps_ids_and_numbers(
        (dim, rows) in (1_usize..40).prop_flat_map(|dim| {
            let row = prop::collection::vec(any::<f32>(), dim);
            (Just(dim), prop::collection::vec(("[^\r\n]{1,12}", row), 0..30))
        }),
        first in 0_usize..30,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for format in FORMATS {
            let path = dir.path().join(format!("{format}.{}", format.extension()));
            let written = write(&path, format, Element::F32, &rows, dim);
            prop_assert_eq!(written.rows, rows.len() as u64);
            let file = VectorFile::open(&path).unwrap();
            prop_assert_eq!((file.format(), file.dim()), (format, dim));
            prop_assert_eq!(file.rows(), rows.len() as u64);
            let wanted: Vec<_> = rows.iter().map(|(id, _)| id.clone()).collect();
            prop_assert_eq!(ids(&file), wanted);
            let first = first.min(rows.len());
            let mut read = vec![7.0; 3];
            file.read(first as u64, rows.len() - first, &mut read).unwrap();
            let expected: Vec<_> = rows[first..].iter().flat_map(|(_, row)| row).collect();
            prop_assert_eq!(read.len(), expected.len());
            for (read, expected) in read.iter().zip(expected) {
                prop_assert_eq!(read.to_bits(), expected.to_bits());
            }
            prop_assert!(file.read(first as u64, rows.len() - first + 1, &mut read).is_err());
        }
    }
}

#[test]
fn half_precision_takes_half_the_place_and_comes_out_rounded() {
    let dir = tempfile::tempdir().unwrap();
    // More than is converted at once.
    let row = |number: u16| (0..50).map(move |at| f32::from(number) + f32::from(at as u8) / 64.0);
    let rows: Vec<_> = (0..1500_u16)
        .map(|number| (format!("d{number}"), row(number % 16).collect::<Vec<_>>()))
        .collect();
    for format in FORMATS {
        let path = dir.path().join(format!("{format}.{}", format.extension()));
        let half = write(&path, format, Element::F16, &rows, 50);
        let file = VectorFile::open(&path).unwrap();
        assert_eq!(file.element(), Element::F16);
        let mut read = Vec::new();
        file.read(0, rows.len(), &mut read).unwrap();
        let wanted: Vec<f32> = rows.iter().flat_map(|(_, row)| row.clone()).collect();
        assert!(
            read.iter()
                .zip(&wanted)
                .all(|(a, b)| (a - b).abs() <= 0.008)
        );
        let full = write(&path, format, Element::F32, &rows, 50);
        assert_eq!(full.bytes - half.bytes, 1500 * 50 * 2);
    }
    let bf16 = VectorWriter::create(&dir.path().join("a.npy"), Format::Npy, Element::Bf16, 4);
    assert!(bf16.unwrap_err().message().contains("use safetensors"));
}

#[test]
fn what_is_not_finished_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = dir.path().join(format!("a.{}", format.extension()));
        let mut writer = VectorWriter::create(&path, format, Element::F32, 2).unwrap();
        writer.push("a", &[1.0, 2.0]).unwrap();
        assert!(writer.push("b", &[1.0]).is_err());
        assert!(writer.push("line\nbreak", &[1.0, 2.0]).is_err());
        drop(writer);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            0,
            "{format}"
        );
    }
}

#[test]
fn ids_that_do_not_fit_are_told_before_a_row_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let rows = [("a".to_owned(), vec![1.0]), ("b".to_owned(), vec![2.0])];
    write(&path, Format::Npy, Element::F32, &rows, 1);
    std::fs::write(dir.path().join("a.ids"), "a\n").unwrap();
    let error = VectorFile::open(&path).unwrap_err();
    assert!(
        error.message().contains("a.ids`: it has 1 ids, but"),
        "{error}"
    );
    std::fs::remove_file(dir.path().join("a.ids")).unwrap();
    let file = VectorFile::open(&path).unwrap();
    let error = file.ids().unwrap_err();
    assert!(error.message().contains("write one id per line"), "{error}");
}
