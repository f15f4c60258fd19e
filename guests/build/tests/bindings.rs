//! The bindings of C and Go that are checked in are those that the generators make of the WIT. With
//! `UPDATE_BINDINGS=1` they are written anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

fn generate(mut generator: Box<dyn WorldGenerator>, world: &str) -> BTreeMap<PathBuf, String> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("extension.wit", routir_guests::WIT)
        .unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).unwrap();
    files
        .iter()
        .map(|(name, contents)| (name.into(), String::from_utf8(contents.to_vec()).unwrap()))
        .collect()
}

/// Compares what was generated with the files in a folder.
fn compare(folder: &str, generated: &BTreeMap<PathBuf, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    for (name, expected) in generated {
        let path = folder.join(name);
        if env::var_os("UPDATE_BINDINGS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == *expected,
            "{} is not what the generator makes; run: UPDATE_BINDINGS=1 cargo test -p \
             routir-guests --test bindings",
            path.display()
        );
    }
}

#[test]
fn c_bindings_are_those_of_the_wit() {
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        ..Default::default()
    };
    let mut files = generate(options.build(), "fusion");
    // It asks for an object file with the world's type all the same; `ext wrap` adds that type.
    for text in files.values_mut() {
        if let Some(end) = text.find("\n// Ensure that the *_component_type.o object is linked in")
        {
            text.truncate(end);
        }
    }
    compare("bindings/c", &files);
}

#[test]
fn go_bindings_are_those_of_the_wit() {
    let generator = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        ..Default::default()
    }
    .build();
    let mut files = generate(generator, "fusion");
    // The library of the bindings lies beside them, so that Go needs no network.
    if let Some(module) = files.get_mut(Path::new("go.mod")) {
        module.push_str("\nreplace go.bytecodealliance.org/pkg => ./pkg\n");
    }
    compare("bindings/go", &files);
}
