//! The kernels compile for real devices, where NVIDIA's compiler is. It needs no GPU.

#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]

use std::fs;

use routir_device::{KernelCache, Nvrtc, SOURCES, Source};

/// The generations that are supported: A100, H100, and what the latter is compiled for.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_90a"];

fn nvrtc() -> Option<Nvrtc> {
    match Nvrtc::load() {
        Ok(nvrtc) => Some(nvrtc),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// The kernels that a source defines: behind `KERNEL void`, or the first word of a macro of its own.
fn names(source: &Source) -> Vec<&str> {
    let word = |text: &'static str| {
        let end = text.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        &text[..end.unwrap_or(text.len())]
    };
    let lines = source.text.lines();
    let found = lines.filter_map(|line| {
        let made = ["SCAN(", "TILED(", "PQ("]
            .iter()
            .find_map(|it| line.strip_prefix(it));
        let plain = line
            .strip_prefix("KERNEL void LAUNCH(")
            .and_then(|it| it.split_once(") "));
        made.or(plain.map(|(_, name)| name)).map(word)
    });
    found.filter(|it| !it.is_empty()).collect()
}

#[test]
fn every_kernel_compiles_for_every_generation_and_is_kept() {
    let Some(nvrtc) = nvrtc() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cache = KernelCache::new(Some(dir.path()));
    let mut count = 0;
    for architecture in ARCHITECTURES {
        let compiled = cache.compiled(&nvrtc, architecture, "12.8").unwrap();
        for ((name, image), source) in compiled.images().zip(&SOURCES) {
            assert_eq!(&image[..4], b"\x7fELF", "{name} for {architecture}");
            for kernel in names(source) {
                let symbol = format!(".text.{kernel}\0");
                let found = image
                    .windows(symbol.len())
                    .any(|it| it == symbol.as_bytes());
                assert!(found, "{kernel} is not in {name} for {architecture}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 3 * 30);
    // What was kept is what is taken the next time: a mark in a file's place would be compiled over.
    let kept: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 3 * SOURCES.len());
    let written = |all: &[std::path::PathBuf]| -> Vec<_> {
        all.iter()
            .map(|it| fs::metadata(it).unwrap().modified().unwrap())
            .collect()
    };
    let before = written(&kept);
    cache.compiled(&nvrtc, "sm_90", "12.8").unwrap();
    assert_eq!(written(&kept), before);
}

/// Registers that are kept in memory would cost more than whatever put them there gains.
#[test]
fn no_kernel_needs_more_registers_than_it_has() {
    let Some(nvrtc) = nvrtc() else { return };
    for architecture in ["sm_80", "sm_90a"] {
        let (mut kernels, mut wrong) = (0, Vec::new());
        for source in &SOURCES {
            let said = nvrtc.resources(source, architecture).unwrap();
            let mut kernel = "";
            for line in said.lines() {
                if let Some((_, name)) = line.split_once("Compiling entry function '") {
                    kernel = name.split('\'').next().unwrap_or_default();
                    kernels += 1;
                }
                if line.contains("spill stores") && !line.contains(" 0 bytes spill stores") {
                    wrong.push(format!("{kernel} for {architecture}: {}", line.trim()));
                }
            }
        }
        assert!(kernels >= 30, "{kernels} kernels were told of");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn what_the_compiler_says_of_a_wrong_source_is_told() {
    let Some(nvrtc) = nvrtc() else { return };
    let wrong = Source {
        name: "wrong.cu",
        text: "extern \"C\" __global__ void f() { no_such_thing(); }",
    };
    let error = nvrtc.compile(&wrong, "sm_90").unwrap_err();
    assert!(error.message().contains("wrong.cu for sm_90"), "{error}");
    assert!(error.message().contains("no_such_thing"), "{error}");
    let right = Source {
        name: "right.cu",
        text: "extern \"C\" __global__ void f() {}",
    };
    assert!(nvrtc.compile(&right, "sm_1").is_err());
}
