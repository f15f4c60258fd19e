//! What parses but is not built yet: refused at start, never passed over. Each entry goes when its
//! feature comes.

use serde_json::Value;

use crate::tree::{Node, Path};
use crate::validate::Fault;
use crate::{CollectionConfig, CollectionProcessor, Config, ServiceConfig, Source};

/// Everything in `config` that this version cannot do.
pub(crate) fn refusals(config: &Config, tree: &Node) -> Vec<Fault> {
    let mut refuser = Refuser {
        tree,
        faults: Vec::new(),
    };
    let root = Path::default();
    refuser.top_level(&root, config);
    for (i, service) in config.services.iter().enumerate() {
        refuser.service(&root.key("services").index(i), service);
    }
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

    fn service(&mut self, path: &Path, service: &ServiceConfig) {
        if let Some(Value::String(index)) = service.config.get("index_path") {
            self.hub(path.key("config").key("index_path"), index);
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
        for (name, view) in &collection.views {
            // The legacy keys stand where the view's source would.
            let source = if collection.is_legacy() {
                path.clone()
            } else {
                path.key("views").key(name).key("source")
            };
            if let Source::TextJsonl(text) = &view.source {
                self.hub(source.key("doc_path"), &text.doc_path);
            }
        }
    }

    /// A path on the Hugging Face hub.
    fn hub(&mut self, path: Path, location: &str) {
        if location.starts_with("hfds:") {
            let help = "download the dataset and give the path of the copy";
            self.refuse(path, "downloading from the Hugging Face hub", help);
        }
    }

    fn refuse(&mut self, path: Path, what: &str, help: &str) {
        let message = format!("{what} is not built yet in this version");
        self.faults
            .push(Fault::new(path, self.tree, message).help(help));
    }
}
