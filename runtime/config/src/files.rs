//! Files and directories of extensions that the configuration names and that are not there.

use crate::tree::Path;
use crate::validate::Fault;
use crate::{ConfigProblem, Loaded};

impl Loaded {
    /// Component files that are not there, and directories of tenants' extensions that are not.
    #[must_use]
    pub fn missing_files(&self) -> Vec<ConfigProblem> {
        let root = Path::default();
        let config = &self.config;
        let mut faults = Vec::new();
        let mut look = |path: Path, written: &str, wants_directory: bool| {
            let place = self.resolve_path(written);
            let (is_there, what) = match wants_directory {
                true => (place.is_dir(), "directory"),
                false => (place.is_file(), "file"),
            };
            if !is_there {
                let message = format!("there is no {what} `{}`", place.display());
                faults.push(Fault::new(path, &self.tree, message));
            }
        };
        let imports = config.file_imports.iter().enumerate();
        // Others are refused, whether they are there or not.
        for (i, file) in imports.filter(|(_, file)| file.ends_with(".wasm")) {
            look(root.key("file_imports").index(i), file, false);
        }
        for (i, service) in config.services.iter().enumerate() {
            if let Ok(Some(extension)) = service.extension() {
                let path = root.key("services").index(i).key("config").key("component");
                look(path, &extension.component, false);
            }
        }
        for (i, tenant) in config.tenants.iter().enumerate() {
            let path = root.key("tenants").index(i).key("extension_dirs");
            for (j, directory) in tenant.extension_dirs.iter().enumerate() {
                look(path.index(j), directory, true);
            }
        }
        self.told(faults)
    }
}
