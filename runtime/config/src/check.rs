//! What no schema can say: names that clash, views that contradict, aliases that go in circles.

use std::collections::HashMap;

use routir_core::nearest;
use routir_dsl::{AliasProblem, Aliases, Diagnostic, is_name};

use crate::schema::NAME_FORM;
use crate::tree::{Node, Path};
use crate::validate::Fault;
use crate::{
    CollectionConfig, CollectionProcessor, Config, LocalPathSource, Matcher, Source, TarSource,
    ViewKind, ViewSpec,
};

/// Adds to `faults` what is wrong with `config` beyond them. A part that has a fault already is not
/// looked at again: what was read from it is a stand-in.
pub(crate) fn check(config: &Config, text: &str, tree: &Node, faults: &mut Vec<Fault>) {
    let mut checker = Checker { text, tree, faults };
    let root = Path::default();

    let services = root.key("services");
    checker.distinct(
        &services,
        "service",
        config.services.iter().map(|service| &*service.name),
    );

    let hosted = root.key("rt").key("worker").key("models");
    let both = config.services.iter().map(|service| &*service.name);
    let both: Vec<_> = both.collect();
    let names = config.rt.worker.models.iter().map(|model| &*model.name);
    checker.distinct(&hosted, "model", names.clone());
    for (i, name) in names.enumerate().filter(|(_, name)| both.contains(name)) {
        let path = hosted.index(i).key("name");
        if checker.sound(&path) {
            let message = format!("a service is named `{name}`");
            checker.fault(path, message, "rename one of them");
        }
    }

    let collections = root.key("collections");
    let names = config
        .collections
        .iter()
        .map(|collection| &*collection.name);
    checker.distinct(&collections, "collection", names);
    for (i, collection) in config.collections.iter().enumerate() {
        checker.collection(&collections.index(i), collection);
    }

    checker.aliases(&root.key("pipeline_aliases"), config);
    checker.tenants(&root.key("tenants"), config);
}

/// Collects what is wrong.
pub(crate) struct Checker<'a> {
    text: &'a str,
    tree: &'a Node,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_> {
    /// Names in a list are told apart.
    pub(crate) fn distinct<'n>(
        &mut self,
        list: &Path,
        what: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let mut seen = HashMap::new();
        for (i, name) in names.enumerate() {
            let path = list.index(i).key("name");
            if !self.sound(&path) {
                continue;
            }
            if let Some(first) = seen.insert(name, i) {
                let message = format!("another {what} is named `{name}` already, {list}[{first}]");
                self.fault(path, message, "rename one of them");
            }
        }
    }

    fn collection(&mut self, path: &Path, collection: &CollectionConfig) {
        let legacy: Vec<_> = collection.legacy_keys().collect();
        let first_legacy = legacy.first().copied().unwrap_or_default();
        if !self.sound(&path.key("views")) || !self.sound(&path.key(first_legacy)) {
            return;
        }
        match (legacy.is_empty(), collection.views.is_empty()) {
            (false, false) => {
                let keys = legacy
                    .iter()
                    .map(|key| format!("`{key}`"))
                    .collect::<Vec<_>>();
                let message = format!(
                    "`views` and the legacy keys {} exclude each other",
                    keys.join(", ")
                );
                return self.fault(
                    path.key(first_legacy),
                    message,
                    "describe the documents in `views` only",
                );
            }
            (false, true) if collection.doc_path.is_none() => {
                let message =
                    format!("`{first_legacy}` says how to read documents, but nothing says which");
                return self.fault(
                    path.key(first_legacy),
                    message,
                    "add `doc_path`, or use `views`",
                );
            }
            (true, true)
                if self.sound(path)
                    && collection.processor == CollectionProcessor::ContentProcessor =>
            {
                return self.fault(
                    path.clone(),
                    "the collection has no documents",
                    "add `views`",
                );
            }
            _ => {}
        }
        let names: Vec<_> = collection.view_names().collect();
        let default = path.key("default_view");
        match &collection.default_view {
            Some(view) if self.sound(&default) && !names.contains(&view.as_str()) => {
                let message = format!("the collection has no view `{view}`");
                let help = match nearest(view, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its views are `{}`", names.join("`, `")),
                };
                self.fault(default, message, help);
            }
            None if names.len() > 1 => {
                let help = format!("set `default_view` to one of `{}`", names.join("`, `"));
                self.fault(path.clone(), "several views and no `default_view`", help);
            }
            _ => {}
        }
        for (name, view) in &collection.views {
            self.view(&path.key("views").key(name), name, view);
        }
    }

    fn view(&mut self, path: &Path, name: &str, view: &ViewSpec) {
        if !is_name(name) {
            self.fault(path.clone(), format!("`{name}` is not a name"), NAME_FORM);
        }
        let (source, makes) = match &view.source {
            Source::TextJsonl(_) => ("text_jsonl", ViewKind::Text),
            Source::LocalPath(_) => ("local_path", ViewKind::Bytes),
            Source::Tar(_) => ("tar", ViewKind::Bytes),
        };
        if makes != view.kind && self.sound(&path.key("kind")) && self.sound(&path.key("source")) {
            let (kind, makes) = (view.kind.name(), makes.name());
            let message = format!(
                "a source of the kind `{source}` gives {makes}, but the view's kind is `{kind}`"
            );
            self.fault(
                path.key("kind"),
                message,
                format!("set `kind` to `{makes}`"),
            );
        }
        match &view.source {
            Source::TextJsonl(_) => {}
            Source::LocalPath(local) => self.local_path(&path.key("source"), local),
            Source::Tar(tar) => self.tar(&path.key("source"), tar),
        }
    }

    fn local_path(&mut self, path: &Path, source: &LocalPathSource) {
        let (key, template) = match (&source.path_template, &source.path_glob) {
            (Some(template), None) => ("path_template", template),
            (None, Some(glob)) => ("path_glob", glob),
            (Some(_), Some(_)) => {
                let message = "`path_template` and `path_glob` exclude each other";
                return self.fault(
                    path.key("path_glob"),
                    message,
                    "keep the one that finds the files",
                );
            }
            (None, None) => {
                let help = "add `path_template` (one file per id) or `path_glob` (several)";
                return self.fault(path.clone(), "nothing says where the files are", help);
            }
        };
        self.placeholder(path.key(key), template, "id");
    }

    fn tar(&mut self, path: &Path, source: &TarSource) {
        let (Matcher::Glob { pattern } | Matcher::Regex { pattern }) = &source.matcher;
        self.placeholder(path.key("matcher").key("pattern"), pattern, "id");
        if source.shard_resolver.is_some() {
            self.placeholder(path.key("tar_template"), &source.tar_template, "shard");
        } else if has_placeholder(&source.tar_template, "shard") {
            let help = "add `shard_resolver`, which says which shard holds an id";
            self.fault(
                path.key("tar_template"),
                "nothing says what `{shard}` is",
                help,
            );
        }
    }

    /// The template says where the `name` goes.
    fn placeholder(&mut self, path: Path, template: &str, name: &str) {
        if !has_placeholder(template, name) {
            let message = format!(
                "there is no `{{{name}}}` in {template:?}, so every {name} would lead to the same"
            );
            self.fault(
                path,
                message,
                format!("put `{{{name}}}` where the {name} belongs"),
            );
        }
    }

    fn aliases(&mut self, path: &Path, config: &Config) {
        let sound = config
            .pipeline_aliases
            .iter()
            .filter(|(name, _)| self.sound(&path.key(*name)));
        let definitions: Vec<_> = sound.collect();
        let is_service = |name: &str| config.services.iter().any(|service| service.name == name);
        for problem in Aliases::new(definitions, is_service)
            .err()
            .into_iter()
            .flatten()
        {
            match &problem {
                AliasProblem::NotAName { alias } => {
                    self.fault(
                        path.key(&**alias),
                        format!("`{alias}` is not a name"),
                        NAME_FORM,
                    );
                }
                AliasProblem::ShadowsService { alias } => {
                    let message = format!("the alias `{alias}` has the name of a service");
                    self.fault(path.key(&**alias), message, "rename one of them");
                }
                AliasProblem::Cycle { path: names } => {
                    let Some(first) = names.first() else { continue };
                    let message = format!("the alias leads back to itself: {}", names.join(" -> "));
                    self.fault(path.key(&**first), message, "spell out one of them");
                }
                AliasProblem::Definition {
                    alias,
                    source_text,
                    diagnostics,
                } => {
                    for diagnostic in diagnostics {
                        self.in_definition(path.key(&**alias), source_text, diagnostic);
                    }
                }
                other => self
                    .faults
                    .push(Fault::new(path.clone(), self.tree, other.to_string())),
            }
        }
    }

    /// A fault in the pipeline that is the string at `path`.
    fn in_definition(&mut self, path: Path, source: &str, diagnostic: &Diagnostic) {
        let mut message = diagnostic.message.clone();
        if !diagnostic.expected.is_empty() {
            let quoted = diagnostic
                .expected
                .iter()
                .map(|token| match token.as_str() {
                    "name" => "a name".to_owned(),
                    "number" => "a number".to_owned(),
                    token => format!("`{token}`"),
                });
            message += &format!("; expected {}", quoted.collect::<Vec<_>>().join(" or "));
        }
        let mut fault = Fault::new(path, self.tree, message);
        // Without escapes the pipeline stands in the file as it is, and so does the very place.
        let string = self.text.get(fault.offset + 1..).unwrap_or_default();
        if string
            .strip_prefix(source)
            .is_some_and(|rest| rest.starts_with('"'))
        {
            fault.offset += 1 + diagnostic.span.start;
        }
        fault.help.clone_from(&diagnostic.help);
        self.faults.push(fault);
    }

    /// Whether what was read from `path` is what stands there.
    pub(crate) fn sound(&self, path: &Path) -> bool {
        let touches = |fault: &Fault| fault.path.is_within(path) || path.is_within(&fault.path);
        !self.faults.iter().any(touches)
    }

    pub(crate) fn fault(
        &mut self,
        path: Path,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults
            .push(Fault::new(path, self.tree, message).help(help));
    }
}

/// Whether `template` has `{name}`, or `{name:...}` with a format.
fn has_placeholder(template: &str, name: &str) -> bool {
    template
        .match_indices(&format!("{{{name}"))
        .any(|(at, opened)| {
            matches!(
                template.as_bytes().get(at + opened.len()),
                Some(b'}' | b':')
            )
        })
}
