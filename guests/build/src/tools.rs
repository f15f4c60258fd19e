//! Where the compilers are that `guests/tools.sh` installs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Lang;

/// The compilers of one checkout.
pub(crate) struct Tools {
    /// `.cache/guest-tools`.
    folder: PathBuf,
}

/// What a language needs and this machine has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What is not there.
    pub(crate) what: &'static str,
    /// The command that installs it.
    pub(crate) install: &'static str,
}

/// How Rust is compiled to WebAssembly here.
#[derive(Clone, Copy)]
pub(crate) enum RustWay {
    /// With the target's standard library, as rustup installs it.
    Installed,
    /// With Debian's compiler, which builds the standard library from its sources.
    Debian,
}

pub(crate) const RUST_TARGET: &str = "wasm32-unknown-unknown";

impl Tools {
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            folder: root.join(".cache/guest-tools"),
        }
    }

    /// What the compiler of a language is, to the last digit of its version.
    pub(crate) fn version(&self, lang: Lang) -> Result<String, Missing> {
        let (missing, version) = match lang {
            Lang::C | Lang::Zig | Lang::Python => (
                Missing {
                    what: "ziglang and componentize-py",
                    install: "guests/tools.sh python",
                },
                fs::read_to_string(self.folder.join("python/installed")).ok(),
            ),
            Lang::Js | Lang::Ts => (
                Missing {
                    what: "componentize-qjs and esbuild",
                    install: "guests/tools.sh node",
                },
                fs::read_to_string(self.folder.join("node/installed")).ok(),
            ),
            Lang::Go => (
                Missing {
                    what: "Go 1.25 or later",
                    install: "guests/tools.sh go",
                },
                self.go().map(|(_, version)| version),
            ),
            Lang::Rust => (
                Missing {
                    what: "Rust's target wasm32-unknown-unknown",
                    install: "guests/tools.sh rust",
                },
                rust_way().and_then(|way| output(rustc(way), &["--version", "--verbose"])),
            ),
        };
        version.ok_or(missing)
    }

    /// A program of the Python environment.
    pub(crate) fn python(&self, program: &str) -> PathBuf {
        self.folder.join("python/bin").join(program)
    }

    /// A program of the Node.js packages.
    pub(crate) fn node(&self, program: &str) -> PathBuf {
        self.folder.join("node/node_modules/.bin").join(program)
    }

    /// Go, and its version: the machine's when it is new enough, else our own.
    pub(crate) fn go(&self) -> Option<(OsString, String)> {
        let own = self.folder.join("go/bin/go").into_os_string();
        ["go".into(), own].into_iter().find_map(|go: OsString| {
            let version = output(&go, &["env", "GOVERSION"])?;
            new_enough(&version).then_some((go, version))
        })
    }

    /// Where Zig keeps what it compiled of its own library.
    pub(crate) fn zig_cache(&self) -> PathBuf {
        self.folder.join("zig-cache")
    }
}

/// Whether Go's version, such as `go1.27.4`, is at least 1.25.
fn new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches("go").split('.');
    let mut part = || parts.next()?.parse::<u32>().ok();
    matches!((part(), part()), (Some(1), Some(25..)) | (Some(2..), _))
}

/// How Rust can be compiled to WebAssembly here, if it can.
pub(crate) fn rust_way() -> Option<RustWay> {
    let installed = output("rustc", &["--print", "sysroot"]).is_some_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib")
            .join(RUST_TARGET)
            .is_dir()
    });
    let debian = Path::new("/usr/bin/cargo").exists()
        && Path::new("/usr/lib/rustlib/src/rust/library").is_dir()
        && on_path("wasm-ld-19");
    match (installed, debian) {
        (true, _) => Some(RustWay::Installed),
        (false, true) => Some(RustWay::Debian),
        (false, false) => None,
    }
}

fn rustc(way: RustWay) -> &'static str {
    match way {
        RustWay::Installed => "rustc",
        RustWay::Debian => "/usr/bin/rustc",
    }
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// What a program says on standard output; `None` when it is not there or fails.
fn output(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_new_enough_from_1_25() {
        for (version, enough) in [
            ("go1.27.4\n", true),
            ("go1.25", true),
            ("go2.0", true),
            ("go1.24.9", false),
            ("go1.9", false),
            ("devel", false),
        ] {
            assert_eq!(new_enough(version), enough, "{version}");
        }
    }
}
