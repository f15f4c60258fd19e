//! Our calls of FAISS's indices for GPUs fit FAISS's headers, on machines without CUDA as well, where
//! nothing else would compile them.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// FAISS's sources, if they were fetched, as `native/build.sh` finds them.
fn sources(native: &Path) -> Option<PathBuf> {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--quiet", "--locked", "--offline"])
        .args(["--format-version", "1", "--manifest-path"])
        .arg(native.join("sources/Cargo.toml"))
        .output()
        .unwrap();
    let metadata: Metadata = serde_json::from_slice(&told.stdout).ok()?;
    let faiss = metadata.packages.into_iter();
    let faiss = faiss.filter(|it| it.name == "faiss-sys");
    let faiss: Vec<PathBuf> = faiss.map(|it| it.manifest_path).collect();
    Some(faiss.first()?.with_file_name("faiss"))
}

#[test]
fn calls_for_gpus_fit_faisss_headers() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let native = here.join("native");
    let Some(faiss) = sources(&native) else {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the sources of FAISS are not here; run runtime/index/native/build.sh"
        );
        return;
    };
    for file in ["gpu.cpp", "gpu_faults.cpp"] {
        let compiled = Command::new("c++")
            .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
            .arg("-isystem")
            .arg(&faiss)
            .arg("-isystem")
            .arg(here.join("tests/cuda"))
            .arg("-include")
            .arg(native.join("gpu_faults.h"))
            .arg(native.join(file))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{file}: {told}");
    }
}
