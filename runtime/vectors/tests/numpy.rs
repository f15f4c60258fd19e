//! Files pass between Python's numpy and this crate, both ways.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use routir_vectors::{Element, Format, VectorFile, VectorWriter};

/// Pythons that may have numpy: that of the models, that of the benchmarks, the system's.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [
        root.join(".cache/models/venv/bin/python"),
        root.join(".cache/bench/routir-0.0.2/bin/python"),
        PathBuf::from("python3"),
    ];
    let has_numpy = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import numpy"]).output();
        asked.is_ok_and(|ran| ran.status.success())
    };
    let found = candidates.into_iter().find(has_numpy);
    if found.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: files from and for numpy: there is no python3 with numpy"
        );
    }
    found
}

fn run(python: &Path, dir: &Path, script: &str) -> String {
    let ran = Command::new(python)
        .args(["-W", "error", "-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    String::from_utf8(ran.stdout).unwrap()
}

fn ids(file: &VectorFile) -> Vec<String> {
    let mut reader = file.ids().unwrap();
    let mut ids = Vec::new();
    while let Some(id) = reader.next_id().unwrap() {
        ids.push(id.to_owned());
    }
    ids
}

/// Saves as numpy 1 and 2 do with each protocol that they have used; array after array.
const SAVE: &str = "
import io, pickle, sys
import numpy as np
from numpy.lib import format as npy
def save(name, value, protocol):
    array = np.asanyarray(value)
    with open(name, 'wb') as file:
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
        pickle.dump(array, file, protocol=protocol)
features = (np.arange(2000 * 48) % 1000 / 8 - 50).reshape(2000, 48)
ids = [f'd\\u00fc{n}' for n in range(2000)]
for protocol in range(2, 6):
    for kind in ('f2', 'f4', 'f8'):
        save(f'{kind}-{protocol}.npy', {'features': features.astype(kind), 'ids': ids}, protocol)
    save(f'ints-{protocol}.npy', {'ids': list(range(-5, 1995)), 'features': features.astype('f4')}, protocol)
    save(f'array-{protocol}.npy', {'features': features.astype('f4'), 'ids': np.array(ids)}, protocol)
    save(f'objects-{protocol}.npy', {'features': features.astype('f4'), 'ids': np.array(ids, dtype=object)}, protocol)
    save(f'numbers-{protocol}.npy', {'features': features.astype('f4'), 'ids': np.arange(-5, 1995)}, protocol)
    save(f'bytes-{protocol}.npy', {'features': features.astype('f4'), 'ids': np.array([i.encode() for i in ids])}, protocol)
    save(f'again-{protocol}.npy', {'features': features.astype('f4'), 'ids': ids, 'model': 'm', 'date': (1, None, True, 0.5)}, protocol)
np.save('whole.npy', {'features': features.astype('f4'), 'ids': ids})
np.save('plain.npy', features.astype('f4'))
np.save('half.npy', features.astype('f2'))
np.save('double.npy', features)
np.save('slice.npy', {'features': features.astype('f4')[::2], 'ids': ids[::2]})
np.save('fortran.npy', {'features': np.asfortranarray(features.astype('f4')), 'ids': ids})
np.save('few.npy', {'features': features.astype('f4'), 'ids': ids[:-1]})
np.save('int.npy', {'features': features.astype('i4'), 'ids': ids})
np.save('big.npy', {'features': features.astype('>f4'), 'ids': ids})
np.save('scalars.npy', {'features': features.astype('f4'), 'ids': list(np.array(ids))})
np.save('floats.npy', {'features': features.astype('f4'), 'ids': [0.5] * 2000})
np.save('list.npy', {'features': [[1.0]], 'ids': ['a']})
np.save('keys.npy', {'embeddings': features, 'ids': ids})
np.save('array-of-dicts.npy', np.array([{'features': features, 'ids': ids}]))
np.save('date.npy', {'features': features.astype('f4'), 'ids': ids, 'at': __import__('datetime').date(2020, 1, 1)})
print(np.__version__)
";

#[test]
fn what_numpy_saves_is_read() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    run(&python, dir.path(), SAVE);
    let value = |at: u32| f64::from(at % 1000) / 8.0 - 50.0;
    let check = |name: &str, wanted_ids: Option<&dyn Fn(u32) -> String>| {
        let file = VectorFile::open(&dir.path().join(name)).unwrap();
        assert_eq!((file.rows(), file.dim()), (2000, 48), "{name}");
        let mut rows = Vec::new();
        for first in [0, 777, 1999] {
            file.read(first, 1, &mut rows).unwrap();
            for (column, number) in (0_u32..).zip(&rows) {
                let at = u32::try_from(first).unwrap() * 48 + column;
                assert_eq!(f64::from(*number), value(at), "{name}");
            }
        }
        if let Some(wanted) = wanted_ids {
            let wanted: Vec<_> = (0..2000).map(wanted).collect();
            assert_eq!(ids(&file), wanted, "{name}");
        }
    };
    let named = |at: u32| format!("d\u{fc}{at}");
    let numbered = |at: u32| (i64::from(at) - 5).to_string();
    for protocol in 2..=5 {
        for kind in ["f2", "f4", "f8", "array", "objects", "bytes", "again"] {
            check(&format!("{kind}-{protocol}.npy"), Some(&named));
        }
        for kind in ["ints", "numbers"] {
            check(&format!("{kind}-{protocol}.npy"), Some(&numbered));
        }
    }
    check("whole.npy", Some(&named));
    for plain in ["plain.npy", "half.npy", "double.npy"] {
        check(plain, None);
    }
    let slice = VectorFile::open(&dir.path().join("slice.npy")).unwrap();
    let mut row = Vec::new();
    slice.read(999, 1, &mut row).unwrap();
    assert_eq!(row.first().map(|it| f64::from(*it)), Some(value(1998 * 48)));

    for (name, why) in [
        ("fortran.npy", "ascontiguousarray"),
        ("few.npy", "1999 `ids`, but 2000 rows"),
        ("int.npy", "type `i4`"),
        ("big.npy", "big-endian"),
        ("scalars.npy", "scalar"),
        ("floats.npy", "neither a string nor a whole number"),
        ("list.npy", "`features`: it is no array"),
        ("keys.npy", "no `features`; it has: embeddings, ids"),
        ("array-of-dicts.npy", "it holds no dictionary"),
        ("date.npy", "`datetime.date`"),
    ] {
        let error = VectorFile::open(&dir.path().join(name)).unwrap_err();
        assert!(error.message().contains(why), "{name}: {error}");
        assert!(error.message().contains(name), "{name}: {error}");
    }
}

#[test]
fn numpy_loads_what_is_written() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rows = 2500_u16;
    for format in [Format::Npy, Format::Routir] {
        for element in [Element::F16, Element::F32, Element::F64] {
            for count in [0, 1, rows] {
                let path = dir.path().join(format!("{format}-{element}-{count}.npy"));
                let mut writer = VectorWriter::create(&path, format, element, 5).unwrap();
                for row in 0..count {
                    let long = "x".repeat(usize::from(row % 300));
                    let id = format!("d\u{fc}{row}{long}");
                    let number = f32::from(row % 100);
                    writer
                        .push(&id, &[number, -1.5, 0.0, 0.25, -number])
                        .unwrap();
                }
                writer.finish().unwrap();
            }
        }
    }
    let told = run(
        &python,
        dir.path(),
        "
import numpy as np
for element, kind in (('f16', 'f2'), ('f32', 'f4'), ('f64', 'f8')):
    for count in (0, 1, 2500):
        ids = ['d\\u00fc' + str(n) + 'x' * (n % 300) for n in range(count)]
        features = np.array([[n % 100, -1.5, 0, 0.25, -(n % 100)] for n in range(count)], kind)
        shard = np.load(f'routir-{element}-{count}.npy', allow_pickle=True).item()
        assert list(shard) == ['features', 'ids']
        assert shard['ids'] == ids
        plain = np.load(f'npy-{element}-{count}.npy')
        for array in (shard['features'], plain):
            assert array.dtype == np.dtype(kind) and array.shape == (count, 5), array.shape
            assert array.flags.c_contiguous
            assert count == 0 or (array == features).all()
        # What RoutIR's indexing does with a shard.
        mask = ~np.isnan(shard['features']).any(axis=1)
        assert np.array(shard['ids'])[mask].tolist() == ids
        assert open(f'npy-{element}-{count}.ids').read() == ''.join(i + '\\n' for i in ids)
print('loaded')
",
    );
    assert_eq!(told.trim(), "loaded");
}
