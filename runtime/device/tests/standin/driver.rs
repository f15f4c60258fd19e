//! The stand-in for CUDA's driver, `emulator/driver`: compiled by the machine's C++ compiler, and found
//! by processes of their own in place of a driver. Tests of other rooms use this file, too.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

/// Which test a process is to run, over the stand-in.
const CHILD: &str = "STANDIN_RUNS";
/// What the stand-in says of calls that no call should be.
const REFUSES: &str = "stand-in refuses";

/// The folder with the library, compiled when it is not there yet.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build)
}

/// Where compiled kernels are kept from test to test.
pub(crate) fn kernels() -> PathBuf {
    folder().join("kernels")
}

fn sources(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let wanted = |it: &PathBuf| {
        let extension = it.extension().and_then(|it| it.to_str());
        extension.is_some_and(|it| extensions.contains(&it))
    };
    let mut files: Vec<_> = files.filter(wanted).collect();
    files.sort();
    files
}

fn build() -> PathBuf {
    let room = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../device"));
    let (emulator, driver) = (room.join("emulator"), room.join("emulator/driver"));
    let mut hash = DefaultHasher::new();
    for folder in [&emulator, &driver, &room.join("kernels")] {
        for file in sources(folder, &["cpp", "h", "cu", "cuh"]) {
            fs::read(&file).unwrap().hash(&mut hash);
        }
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = kept.join(format!("stand-in-{:016x}", hash.finish()));
    if folder.join("libcuda.so.1").is_file() {
        return folder;
    }
    let new = tempfile::tempdir_in(kept).unwrap();
    let (compiler, mut of_driver): (Vec<_>, Vec<_>) = sources(&driver, &["cpp"])
        .into_iter()
        .partition(|it| it.ends_with("compiler.cpp"));
    of_driver.extend(sources(&emulator, &["cpp"]));
    for (library, sources) in [("libcuda.so.1", of_driver), ("libnvrtc.so.12", compiler)] {
        let compiled = Command::new("c++")
            .args(["-std=c++20", "-O2", "-fPIC", "-shared", "-o"])
            .arg(new.path().join(library))
            .arg("-I")
            .arg(&emulator)
            .args(sources)
            .output()
            .expect("c++ is needed; run setup.sh");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{said}");
    }
    // Somebody else may have been faster.
    let moved = fs::rename(new.path(), &folder);
    assert!(moved.is_ok() || folder.join("libcuda.so.1").is_file());
    folder
}

/// A program that finds the stand-in, which is as `settings` say (`emulator/driver/settings.h`).
pub(crate) fn command(program: impl Into<OsString>, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program.into());
    command
        .env("LD_LIBRARY_PATH", folder())
        .env_remove("CUDA_VISIBLE_DEVICES")
        .envs(settings.iter().copied());
    command
}

/// What a process said of its errors, and that it never asked what no driver would do.
pub(crate) fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains(REFUSES), "{said}");
    said
}

/// Runs `body` in a process of its own over a stand-in of each of `settings`. `test` is the name of the
/// test that calls this, by which that process finds it again.
#[allow(dead_code, reason = "not every test is run again")]
pub(crate) fn over(test: &str, settings: &[&[(&str, &str)]], body: impl Fn()) {
    if env::var_os(CHILD).is_some_and(|it| it == test) {
        return body();
    }
    for settings in settings {
        let output = command(env::current_exe().unwrap(), settings)
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, test)
            .output()
            .unwrap();
        let said = said(&output);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{settings:?}: {told}\n{said}");
        assert!(told.contains("1 passed"), "no test `{test}`: {told}");
    }
}
