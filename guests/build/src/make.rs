//! Builds guests, each only when something that it is made of has changed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::recipe::{self, Recipe};
use crate::tools::Tools;
use crate::{Guest, Lang, WIT};

/// Where the guests of one checkout are built.
pub struct Workshop {
    root: PathBuf,
    tools: Tools,
}

/// What came of building a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was built, in this time.
    Built(PathBuf, Duration),
    /// Nothing has changed since it was built.
    UpToDate(PathBuf),
    /// Its tools are not here.
    Skipped {
        /// What is missing.
        missing: &'static str,
        /// The command that installs it.
        install: &'static str,
    },
}

impl Made {
    /// The component; `None` when its tools are not here.
    #[must_use]
    pub fn component(&self) -> Option<&Path> {
        match self {
            Self::Built(path, _) | Self::UpToDate(path) => Some(path),
            Self::Skipped { .. } => None,
        }
    }
}

impl Workshop {
    /// The workshop of the checkout that this crate was compiled in.
    #[must_use]
    pub fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap_or(root);
        Self {
            tools: Tools::of(&root),
            root,
        }
    }

    /// Where a guest's component is once it is built: `target/guests/<name>.wasm`.
    #[must_use]
    pub fn component(&self, guest: Guest) -> PathBuf {
        self.folder().join(format!("{}.wasm", guest.name))
    }

    /// Builds a guest unless it is up to date. Processes that want the same guest at the same time
    /// wait for one another.
    ///
    /// # Errors
    /// A compiler that fails, with what it said; files that cannot be read or written.
    pub fn make(&self, guest: Guest) -> Result<Made> {
        let version = match self.tools.version(guest.lang) {
            Ok(version) => version,
            Err(missing) => {
                return Ok(Made::Skipped {
                    missing: missing.what,
                    install: missing.install,
                });
            }
        };
        let folder = self.folder();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Rust's guests share their dependencies, so they take turns.
        let lock = match guest.lang {
            Lang::Rust => "rust",
            _ => guest.name,
        };
        let lock = File::create(folder.join(format!("{lock}.lock")))?;
        lock.lock()?;
        let output = self.component(guest);
        let key_file = output.with_extension("key");
        let key = self.key(guest, &version)?;
        if output.is_file() && fs::read_to_string(&key_file).is_ok_and(|found| found == key) {
            return Ok(Made::UpToDate(output));
        }
        let start = Instant::now();
        let _ = fs::remove_file(&key_file);
        let fresh = folder.join(format!("{}.new", guest.name));
        let recipe = Recipe {
            guest,
            tools: &self.tools,
            source: self.source(guest),
            bindings: self.bindings(),
            wit: self.root.join("wit/since_v0.1.0"),
            work: folder.join("work").join(guest.name),
            output: fresh.clone(),
        };
        recipe
            .run()
            .with_context(|| format!("cannot build the guest {}", guest.name))?;
        fs::rename(&fresh, &output)?;
        fs::write(&key_file, key)?;
        Ok(Made::Built(output, start.elapsed()))
    }

    fn folder(&self) -> PathBuf {
        self.root.join("target/guests")
    }

    fn source(&self, guest: Guest) -> PathBuf {
        self.root.join("guests").join(guest.name)
    }

    fn bindings(&self) -> PathBuf {
        self.root.join("guests/bindings")
    }

    /// A hash of all that goes into a guest.
    fn key(&self, guest: Guest, version: &str) -> Result<String> {
        let mut hash = Sha256::new();
        for part in [WIT, recipe::TEXT, version] {
            hash.update(Sha256::digest(part));
        }
        let mut files = Vec::new();
        list_files(&self.source(guest), &mut files)?;
        let bindings = match guest.lang {
            Lang::C | Lang::Zig => Some("c"),
            Lang::Go => Some("go"),
            Lang::Ts => Some("ts"),
            Lang::Rust | Lang::Js | Lang::Python => None,
        };
        if let Some(folder) = bindings {
            list_files(&self.bindings().join(folder), &mut files)?;
        }
        files.sort();
        for file in files {
            let name = file.strip_prefix(&self.root).unwrap_or(&file);
            hash.update(Sha256::digest(name.as_os_str().as_encoded_bytes()));
            hash.update(Sha256::digest(fs::read(&file)?));
        }
        Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
    }
}

/// All files under a folder, except what compilers leave there.
fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name == "__pycache__" || name == "README.md" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
