//! What parses but is not built yet: refused at start, never passed over. Each entry goes when its
//! feature comes.

use crate::tree::{Node, Path};
use crate::validate::Fault;
use crate::{CollectionConfig, CollectionProcessor, Config};

/// Everything in `config` that this version cannot do.
pub(crate) fn refusals(config: &Config, tree: &Node) -> Vec<Fault> {
    let mut refuser = Refuser {
        tree,
        faults: Vec::new(),
    };
    let root = Path::default();
    refuser.top_level(&root, config);
    for (i, collection) in config.collections.iter().enumerate() {
        refuser.collection(&root.key("collections").index(i), collection);
    }
    refuser.faults
}

struct Refuser<'a> {
    tree: &'a Node,
    faults: Vec<Fault>,
}

impl Refuser<'_> {
    fn top_level(&mut self, root: &Path, config: &Config) {
        for (i, file) in config.file_imports.iter().enumerate() {
            let path = root.key("file_imports").index(i);
            if file.ends_with(".py") {
                let message = format!("`{file}` is Python, which this server does not run");
                let help = "build it into a WebAssembly component, or serve it with RoutIR and \
                            import that server";
                self.faults
                    .push(Fault::new(path, self.tree, message).help(help));
            } else if !file.ends_with(".wasm") {
                let message = format!("`{file}` is not an extension");
                let help =
                    "an extension is a WebAssembly component, a file with the ending `.wasm`";
                self.faults
                    .push(Fault::new(path, self.tree, message).help(help));
            }
        }
    }

    fn collection(&mut self, path: &Path, collection: &CollectionConfig) {
        if collection.processor == CollectionProcessor::IRDSProcessor {
            let help =
                "write the dataset's documents to a file of JSON lines and name that in `views`";
            self.refuse(
                path.key("processor"),
                "reading an `ir_datasets` dataset",
                help,
            );
        }
    }

    fn refuse(&mut self, path: Path, what: &str, help: &str) {
        let message = format!("{what} is not built yet in this version");
        self.faults
            .push(Fault::new(path, self.tree, message).help(help));
    }
}
