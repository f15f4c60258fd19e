//! From the configuration to admitted components.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use routir_config::{
    Config, ExtensionConfig, ExtensionGrants, ExtensionLimits, OnFailure, Origin, ServiceConfig,
};
use routir_core::{Error, ErrorCode, Metrics, Params, Result};
use serde_json::{Map, Value, json};

use super::{Extension, Operator, OperatorProblem};
use crate::AuditTrail;
use crate::admit::{Admission, Admitter};
use crate::audit::{Action, Event};

/// The engine that names its component itself.
const EXTENSION: &str = "Extension";
/// How many components are looked at at once.
const AT_ONCE: usize = 4;

/// [`super::OperatorEnv`] without the sandbox.
#[derive(Clone, Copy)]
pub(super) struct Env<'a> {
    pub(super) config: &'a Config,
    pub(super) resolve_path: &'a (dyn Fn(&str) -> PathBuf + Sync),
    pub(super) native_engines: &'a [&'a str],
    pub(super) metrics: &'a Metrics,
    pub(super) audit: &'a AuditTrail,
}

type Problems = Vec<OperatorProblem>;

/// A service that is to be made of a component.
struct Wanted {
    index: Option<usize>,
    name: Arc<str>,
    engine: Arc<str>,
    config: ExtensionConfig,
    /// Where the configuration names the component.
    place: String,
}

pub(super) async fn load(env: Env<'_>, admitter: &dyn Admitter) -> Result<Operator, Problems> {
    let (imports, mut problems) = imports(env, admitter).await;
    let mut wanted = Vec::new();
    for (index, service) in env.config.services.iter().enumerate() {
        let import = imports.get(service.engine.as_str());
        if service.engine != EXTENSION && import.is_none() {
            continue;
        }
        match config(service, import.map(|it| it.file.as_str())) {
            Ok(config) => {
                wanted.push(Wanted {
                    index: Some(index),
                    name: Arc::from(service.name.as_str()),
                    engine: Arc::from(service.engine.as_str()),
                    config,
                    place: match import {
                        Some(import) => import.place.clone(),
                        None => format!("services[{index}].config.component"),
                    },
                });
            }
            Err(faults) => problems.extend(faults.into_iter().map(|(within, message)| {
                let dot = if within.is_empty() { "" } else { "." };
                problem(
                    &format!("services[{index}].config{dot}{within}"),
                    Error::invalid(message),
                )
            })),
        }
    }
    for (name, import) in imports {
        if wanted.iter().any(|it| *it.engine == *name) {
            continue;
        }
        match alone(env, &name, &import) {
            Ok(it) => wanted.push(it),
            Err(error) => problems.push(problem(&import.place, error)),
        }
    }
    let admitted: Vec<_> = stream::iter(wanted)
        .map(|wanted| make(env, admitter, wanted))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut extensions = Vec::new();
    for made in admitted {
        match made {
            Ok(extension) => extensions.push(extension),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(Operator {
            extensions,
            metrics: env.metrics.clone(),
            audit: env.audit.clone(),
        })
    } else {
        Err(problems)
    }
}

/// A file of `file_imports`.
struct Import {
    file: String,
    place: String,
}

/// The `.wasm` files of `file_imports` by the names that their manifests state.
async fn imports(env: Env<'_>, admitter: &dyn Admitter) -> (BTreeMap<String, Import>, Problems) {
    let mut problems = Vec::new();
    let mut imports = BTreeMap::new();
    let files = env.config.file_imports.iter().enumerate();
    let files = files.filter(|(_, file)| file.ends_with(".wasm"));
    let named: Vec<_> = stream::iter(files)
        .map(|(i, file)| async move { (i, file, name_of(env, admitter, file).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (i, file, name) in named {
        let place = format!("file_imports[{i}]");
        let name = match name {
            Ok(name) => name,
            Err(error) => {
                tell_refusal(env, file, &error);
                problems.push(problem(&place, error));
                continue;
            }
        };
        if name == EXTENSION || env.native_engines.contains(&name.as_str()) {
            let message = format!(
                "the manifest of `{file}` states the name `{name}`, which is that of a native \
                 engine; name the component in a service with the engine `{EXTENSION}`"
            );
            problems.push(problem(&place, Error::invalid(message)));
            continue;
        }
        let import = Import {
            file: file.clone(),
            place: place.clone(),
        };
        if let Some(first) = imports.insert(name.clone(), import) {
            let message = format!(
                "the manifest of `{file}` states the name `{name}`, as does that of `{}`",
                first.file
            );
            problems.push(problem(&place, Error::invalid(message)));
        }
    }
    (imports, problems)
}

/// The name that a manifest states. Only which services name it says what it may use, so here it
/// may use plenty; each service admits it once more under its own limits.
async fn name_of(env: Env<'_>, admitter: &dyn Admitter, file: &str) -> Result<String> {
    let limits = ExtensionLimits {
        memory_mb: 1024,
        time_ms: 30_000,
        cpu_ms: 30_000,
        table_elements: 1_000_000,
        instances: 1000,
        component_mb: 1024,
        ..ExtensionLimits::default()
    };
    let grants = ExtensionGrants {
        wasi: true,
        clock: true,
        randomness: true,
    };
    let bytes = read(&(env.resolve_path)(file), &limits).await?;
    let admission = admitter.admit(None, bytes, &limits, &grants).await?;
    Ok(admission.manifest.name)
}

/// A service's configuration. That of an import is read as if it were an `Extension`'s, so that it
/// is held to the same.
fn config(
    service: &ServiceConfig,
    import: Option<&str>,
) -> Result<ExtensionConfig, Vec<(String, String)>> {
    let whole = |why: &dyn Display| vec![(String::new(), why.to_string())];
    let extension = |service: &ServiceConfig| {
        let extension = service.extension().map_err(|error| whole(&error))?;
        extension.ok_or_else(|| whole(&"it is not that of an extension"))
    };
    let Some(file) = import else {
        return extension(service);
    };
    if service.config.contains_key("component") {
        let message = format!("`file_imports` names the component already, `{file}`; leave it out");
        return Err(vec![("component".to_owned(), message)]);
    }
    let mut config = service.config.clone();
    config.insert("component".to_owned(), Value::from(file));
    let stand_in = json!({"services": [{"name": "x", "engine": EXTENSION, "config": config}]});
    let loaded = Config::parse(stand_in.to_string(), Origin::inline());
    let loaded = loaded.map_err(|error| {
        let problems = error.problems().iter().map(|problem| {
            let within = problem.path.strip_prefix("services[0].config");
            let within = within.unwrap_or_default().trim_start_matches('.');
            let help = problem.help.as_ref().map(|help| format!("; {help}"));
            let message = format!("{}{}", problem.message, help.unwrap_or_default());
            (within.to_owned(), message)
        });
        problems.collect::<Vec<_>>()
    })?;
    match loaded.config.services.first() {
        Some(service) => extension(service),
        None => Err(whole(&"it cannot be read")),
    }
}

/// An import that no service names, as a service.
fn alone(env: Env<'_>, name: &str, import: &Import) -> Result<Wanted> {
    let config = env.config;
    let taken = config.services.iter().any(|it| it.name == name)
        || config.pipeline_aliases.contains_key(name);
    if taken {
        return Err(Error::invalid(format!(
            "the manifest of `{}` states the name `{name}`, which a service or an alias has; \
             rename that, or add a service with the engine `{name}` under another name",
            import.file
        )));
    }
    let config = ExtensionConfig {
        component: import.file.clone(),
        params: Map::new(),
        trusted: false,
        limits: ExtensionLimits::default(),
        grants: ExtensionGrants::default(),
        collection: None,
        on_failure: OnFailure::default(),
    };
    Ok(Wanted {
        index: None,
        name: Arc::from(name),
        engine: Arc::from(name),
        config,
        place: import.place.clone(),
    })
}

async fn make(
    env: Env<'_>,
    admitter: &dyn Admitter,
    wanted: Wanted,
) -> Result<Extension, Problems> {
    let admitted = admit(env, admitter, &wanted.config).await;
    let outcome = admitted.as_ref().map_or("refused", |_| "admitted");
    env.metrics.extension_admission("", outcome);
    let admission = admitted.map_err(|error| {
        tell_refusal(env, &wanted.name, &error);
        vec![problem(&wanted.place, error)]
    })?;
    for action in [Action::Admit, Action::Publish] {
        env.audit.0.record(&Event {
            version: &admission.manifest.version,
            sha256: &admission.sha256,
            source: "config",
            ..Event::of(action, None, &wanted.name)
        });
    }
    if let Some(index) = wanted.index {
        let params = Params::from(wanted.config.params.clone());
        let wrong = admission.manifest.params.check(&params);
        if !wrong.is_empty() {
            let path = format!("services[{index}].config.params");
            let wrong = wrong.into_iter().map(Error::invalid);
            return Err(wrong.map(|error| problem(&path, error)).collect());
        }
    }
    Ok(Extension {
        index: wanted.index,
        name: wanted.name,
        engine: wanted.engine,
        config: wanted.config,
        admission,
    })
}

async fn admit(
    env: Env<'_>,
    admitter: &dyn Admitter,
    config: &ExtensionConfig,
) -> Result<Admission> {
    let path = (env.resolve_path)(&config.component);
    let bytes = read(&path, &config.limits).await?;
    admitter
        .admit(None, bytes, &config.limits, &config.grants)
        .await
}

/// A component file of the operator's own.
async fn read(path: &Path, limits: &ExtensionLimits) -> Result<Arc<[u8]>> {
    let largest = limits.component_bytes() as u64;
    let path = path.to_owned();
    let work = move || {
        let shown = path.display();
        let failed = |error| Error::invalid(format!("`{shown}` cannot be read: {error}"));
        let file = std::fs::File::open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::invalid(format!("`{shown}` is no file")));
        }
        let mut bytes = Vec::new();
        let read = file.take(largest.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(failed)?;
        if bytes.len() as u64 > largest {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "`{shown}` has more than {largest} bytes; raise `limits.component_mb` of the \
                     service"
                ),
            ));
        }
        Ok(Arc::from(bytes))
    };
    let read = tokio::task::spawn_blocking(work).await;
    read.unwrap_or_else(|error| Err(Error::internal(format!("reading a component: {error}"))))
}

fn tell_refusal(env: Env<'_>, name: &str, error: &Error) {
    env.audit.0.record(&Event {
        source: "config",
        outcome: "refused",
        reason: error.message(),
        ..Event::of(Action::Admit, None, name)
    });
}

fn problem(path: &str, error: Error) -> OperatorProblem {
    OperatorProblem {
        path: path.to_owned(),
        error,
    }
}
