//! How each language becomes a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools::{RUST_TARGET, RustWay, Tools, rust_way};
use crate::{Guest, Lang, componentize};

/// This file's own text: other recipes make other components.
pub(crate) const TEXT: &str = include_str!("recipe.rs");

/// One guest, on its way to a component.
pub(crate) struct Recipe<'a> {
    pub(crate) guest: Guest,
    pub(crate) tools: &'a Tools,
    /// The guest's folder.
    pub(crate) source: PathBuf,
    /// `guests/bindings`.
    pub(crate) bindings: PathBuf,
    /// The folder of the WIT.
    pub(crate) wit: PathBuf,
    /// A folder for what comes between; kept, so that compilers find what they did before.
    pub(crate) work: PathBuf,
    /// The component.
    pub(crate) output: PathBuf,
}

impl Recipe<'_> {
    pub(crate) fn run(&self) -> Result<()> {
        fs::create_dir_all(&self.work)?;
        match self.guest.lang {
            Lang::Rust => self.rust(),
            Lang::C => self.c(),
            Lang::Zig => self.zig(),
            Lang::Go => self.go(),
            Lang::Js => self.javascript(&self.source.join("extension.js")),
            Lang::Ts => self.typescript(),
            Lang::Python => self.python(),
        }
    }

    fn rust(&self) -> Result<()> {
        let Some(way) = rust_way() else {
            bail!("the target {RUST_TARGET} has gone");
        };
        let target = self.work.with_file_name("rust");
        let mut cargo = match way {
            RustWay::Installed => Command::new("cargo"),
            RustWay::Debian => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                cargo
            }
        };
        cargo
            .args(["build", "--release", "--locked", "--target", RUST_TARGET])
            .current_dir(&self.source)
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if matches!(way, RustWay::Debian) {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        run(&mut cargo)?;
        let file = format!("{}.wasm", self.guest.name.replace('-', "_"));
        self.wrap(&target.join(RUST_TARGET).join("release").join(file))
    }

    fn zig_command(&self) -> Command {
        let mut zig = Command::new(self.tools.python("python"));
        zig.args(["-m", "ziglang"])
            .env("ZIG_GLOBAL_CACHE_DIR", self.tools.zig_cache())
            .current_dir(&self.work);
        zig
    }

    fn c(&self) -> Result<()> {
        let bindings = self.bindings.join("c");
        run(self
            .zig_command()
            .args(["cc", "-target", "wasm32-wasi", "-mexec-model=reactor"])
            .args(["-O2", "-s", "-Wall", "-Wextra", "-Werror"])
            .arg("-Wl,-z,stack-size=65536")
            .arg("-I")
            .arg(&bindings)
            .arg(self.source.join("extension.c"))
            .arg(bindings.join("fusion.c"))
            .args(["-o", "core.wasm"]))?;
        self.wrap(&self.work.join("core.wasm"))
    }

    fn zig(&self) -> Result<()> {
        let bindings = self.bindings.join("c");
        let translated = run(self
            .zig_command()
            .args(["translate-c", "-lc", "-target", "wasm32-wasi"])
            .arg(bindings.join("fusion.h")))?;
        fs::write(self.work.join("fusion.zig"), translated)?;
        fs::copy(
            self.source.join("extension.zig"),
            self.work.join("extension.zig"),
        )?;
        run(self
            .zig_command()
            .args(["build-exe", "extension.zig"])
            .arg(bindings.join("fusion.c"))
            .arg("-I")
            .arg(&bindings)
            .args(["-lc", "-target", "wasm32-wasi", "-mexec-model=reactor"])
            .args(["-fno-entry", "-rdynamic", "-OReleaseSmall", "-fstrip"])
            .args(["--stack", "65536", "-femit-bin=core.wasm"]))?;
        self.wrap(&self.work.join("core.wasm"))
    }

    fn go(&self) -> Result<()> {
        let Some((go, _)) = self.tools.go() else {
            bail!("Go has gone");
        };
        // The bindings' packages hold the guest's own files, so all is brought together first.
        let module = self.work.join("module");
        if module.exists() {
            fs::remove_dir_all(&module)?;
        }
        copy_folder(&self.bindings.join("go"), &module)?;
        copy_folder(&self.source, &module)?;
        run(Command::new(go)
            .args(["build", "-buildmode=c-shared"])
            .arg("-ldflags=-s -w -checklinkname=0")
            .args(["-o", "../core.wasm", "."])
            .env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .current_dir(&module))?;
        self.wrap(&self.work.join("core.wasm"))
    }

    fn javascript(&self, file: &Path) -> Result<()> {
        run(Command::new(self.tools.node("componentize-qjs"))
            .arg("--wit")
            .arg(&self.wit)
            .args(["--world", self.guest.world, "--sync", "--stub-wasi"])
            .arg("--js")
            .arg(file)
            .arg("--output")
            .arg(&self.output))?;
        Ok(())
    }

    fn typescript(&self) -> Result<()> {
        let bundle = self.work.join("extension.js");
        run(Command::new(self.tools.node("esbuild"))
            .arg(self.source.join("extension.ts"))
            .args(["--bundle", "--format=esm", "--external:routir:*"])
            .arg("--log-level=warning")
            .arg(format!("--outfile={}", bundle.display())))?;
        self.javascript(&bundle)
    }

    fn python(&self) -> Result<()> {
        run(Command::new(self.tools.python("componentize-py"))
            .arg("--wit-path")
            .arg(&self.wit)
            .args(["--world", self.guest.world, "componentize", "--stub-wasi"])
            .arg("--python-path")
            .arg(&self.source)
            .args(["extension", "--output"])
            .arg(&self.output))?;
        Ok(())
    }

    fn wrap(&self, core: &Path) -> Result<()> {
        let module = fs::read(core).with_context(|| format!("cannot read {}", core.display()))?;
        fs::write(&self.output, componentize(&module, self.guest.world)?)?;
        Ok(())
    }
}

/// Runs a command and hands its standard output on.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    bail!(
        "{shown} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
