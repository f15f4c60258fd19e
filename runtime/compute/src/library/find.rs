//! Where ONNX Runtime may lie.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What the library is called among the libraries that are loaded at run time.
const LIBRARY: &str = "onnxruntime";

/// Names the library, or the folder that it lies in.
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Files that may be the library, likeliest first, and the folders in which they were looked for.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) paths: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Candidates {
    /// What this process should try.
    pub(crate) fn of_process(explicit: Option<&Path>) -> Self {
        let named = std::env::var_os(PATH_VARIABLE).filter(|it| !it.is_empty());
        match (explicit, named) {
            (Some(path), _) => Self::explicit(path),
            (None, Some(path)) => Self::explicit(Path::new(&path)),
            (None, None) => {
                let mut found = Self::default();
                for folder in routir_native::folders(LIBRARY) {
                    found.folder(folder);
                }
                for prefix in python_prefixes(|name| std::env::var_os(name)) {
                    found.python(&prefix);
                }
                for folder in system_folders(std::env::var_os("LD_LIBRARY_PATH").as_deref()) {
                    found.folder(folder);
                }
                // What only the loader knows, as the folders of `ld.so.conf`.
                if cfg!(target_os = "linux") {
                    found.paths.push("libonnxruntime.so.1".into());
                }
                found
                    .paths
                    .push(libloading::library_filename(LIBRARY).into());
                found
            }
        }
    }

    /// What somebody named: the file, or the libraries of the folder.
    pub(crate) fn explicit(path: &Path) -> Self {
        let mut found = Self::default();
        if path.is_dir() {
            found.folder(path.to_owned());
        } else {
            // A bare name that is no file here is left to the system's loader.
            let here = std::path::absolute(path).ok().filter(|it| it.is_file());
            found.paths.push(here.unwrap_or_else(|| path.to_owned()));
        }
        found
    }

    /// Adds the libraries of a folder, the newest first.
    fn folder(&mut self, folder: PathBuf) {
        let mut files: Vec<PathBuf> = entries(&folder).filter(|it| is_library(it)).collect();
        files.sort_by_key(|file| std::cmp::Reverse(version_numbers(file)));
        self.paths.extend(files);
        self.folders.push(folder);
    }

    /// Adds those of the Python packages below a prefix, as `<prefix>/lib/python3.12/site-packages`.
    fn python(&mut self, prefix: &Path) {
        let mut versions: Vec<PathBuf> = ["lib", "lib64"]
            .iter()
            .flat_map(|lib| entries(&prefix.join(lib)))
            .filter(|it| name(it).is_some_and(|name| name.starts_with("python3")))
            .collect();
        versions.sort_by_key(|it| std::cmp::Reverse(version_numbers(it)));
        for version in versions {
            for packages in ["site-packages", "dist-packages"] {
                let folder = version.join(packages).join("onnxruntime/capi");
                if folder.is_dir() {
                    self.folder(folder);
                }
            }
        }
    }

    /// The folders that were looked in, for a message.
    pub(crate) fn looked_in(&self) -> Option<String> {
        let folders = self.folders.iter().map(|it| format!("`{}`", it.display()));
        let folders: Vec<String> = folders.collect();
        (!folders.is_empty()).then(|| folders.join(", "))
    }
}

/// The roots of the Python environments that are active: `$VIRTUAL_ENV`, `$CONDA_PREFIX`, those of
/// the `python3` that a shell would run (as named and as linked), and the user's own packages. No
/// Python is run.
fn python_prefixes(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name| {
        variable(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(set)
        .collect();
    let path = variable("PATH").unwrap_or_default();
    if let Some(python) = std::env::split_paths(&path)
        .map(|folder| folder.join("python3"))
        .find(|python| python.is_file())
    {
        let linked = python.canonicalize().ok();
        for binary in [Some(python), linked].into_iter().flatten() {
            prefixes.extend(binary.parent().and_then(Path::parent).map(Path::to_owned));
        }
    }
    prefixes.extend(set("HOME").map(|home| home.join(".local")));
    let mut seen = Vec::new();
    prefixes.retain(|it| {
        !seen.contains(it) && {
            seen.push(it.clone());
            true
        }
    });
    prefixes
}

fn system_folders(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let named = search_path.unwrap_or_default();
    let fixed = [
        "/usr/local/lib",
        "/usr/local/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/opt/onnxruntime/lib",
        "/opt/homebrew/lib",
    ];
    std::env::split_paths(named)
        .filter(|it| !it.as_os_str().is_empty())
        .chain(fixed.iter().map(PathBuf::from))
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// `libonnxruntime.so`, `libonnxruntime.so.1.23.2`, `libonnxruntime.1.23.2.dylib`; not the libraries
/// of providers beside it.
fn is_library(path: &Path) -> bool {
    name(path).is_some_and(|name| {
        let rest = name.strip_prefix("libonnxruntime.");
        rest.is_some_and(|rest| {
            rest == "so" || rest.starts_with("so.") || rest == "dylib" || rest.ends_with(".dylib")
        })
    }) && path.is_file()
}

/// The numbers in a file's name, so that 1.9 is older than 1.20.
fn version_numbers(path: &Path) -> Vec<u64> {
    let name = name(path).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    #[test]
    fn finds_the_newest_of_a_folder_and_no_provider() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.23.2",
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
            "README",
        ] {
            touch(&dir.path().join(name));
        }
        let found = Candidates::explicit(dir.path());
        let names: Vec<&str> = found.paths.iter().filter_map(|it| name(it)).collect();
        assert_eq!(
            names,
            ["libonnxruntime.so.1.23.2", "libonnxruntime.so.1.9.0"]
        );
    }

    #[test]
    fn finds_that_of_a_python_environment_without_running_it() {
        let dir = tempfile::tempdir().unwrap();
        let (venv, home) = (dir.path().join("venv"), dir.path().join("home"));
        let bin = dir.path().join("usr/bin");
        touch(&bin.join("python3"));
        let library = "lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.23.2";
        touch(&venv.join(library));
        let variables = |name: &str| match name {
            "VIRTUAL_ENV" => Some(venv.clone().into_os_string()),
            "HOME" => Some(home.clone().into_os_string()),
            "PATH" => Some(bin.clone().into_os_string()),
            _ => None,
        };
        let prefixes = python_prefixes(variables);
        assert_eq!(prefixes.first(), Some(&venv));
        assert!(prefixes.contains(&dir.path().join("usr")));
        assert!(prefixes.contains(&home.join(".local")));
        let mut found = Candidates::default();
        for prefix in &prefixes {
            found.python(prefix);
        }
        assert_eq!(found.paths, [venv.join(library)]);
    }

    #[test]
    fn what_is_named_is_all_that_is_tried() {
        let missing = Path::new("/nowhere/libonnxruntime.so");
        assert_eq!(Candidates::of_process(Some(missing)).paths, [missing]);
    }
}
