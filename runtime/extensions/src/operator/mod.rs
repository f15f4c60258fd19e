//! The operator's extensions: those that the configuration names.
//!
//! In two ways. A service with the engine `Extension` names a component file in its `config`. A
//! `.wasm` file in `file_imports` is registered under the name that its manifest states: services
//! can name that as their `engine`, with the same `config` but for `component`; and where none does,
//! it is offered as a service of that name with every default.

mod load;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use routir_config::{Config, ExtensionConfig};
use routir_core::{Error, Host, Metrics, Params, Result, Roles, Tenant};
use routir_exec::ServiceSpec;
use routir_sandbox::Sandbox;

use crate::AuditTrail;
use crate::admit::{Admission, Service};
use crate::breaker::{Fallback, Guard, Subject, guarded};

/// What the operator's extensions are loaded with.
#[derive(Clone, Copy)]
pub struct OperatorEnv<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Resolves a path of the configuration, as against the configuration file's folder.
    pub resolve_path: &'a (dyn Fn(&str) -> PathBuf + Sync),
    /// The names of native engines, and of the mergers that are always there: no import may take
    /// them.
    pub native_engines: &'a [&'a str],
    /// Where components are admitted.
    pub sandbox: &'a Arc<Sandbox>,
    /// Where admissions and calls are counted.
    pub metrics: &'a Metrics,
    /// Where admissions are told.
    pub audit: &'a AuditTrail,
}

/// Something wrong with an extension of the configuration.
#[derive(Clone, Debug)]
pub struct OperatorProblem {
    /// Where in the configuration, such as `services[1].config.component`.
    pub path: String,
    /// What.
    pub error: Error,
}

/// The operator's extensions, admitted and compiled.
pub struct Operator {
    extensions: Vec<Extension>,
    metrics: Metrics,
    audit: AuditTrail,
}

/// One service made of a component.
struct Extension {
    /// Of `services`; `None`: an import that no service names.
    index: Option<usize>,
    name: Arc<str>,
    engine: Arc<str>,
    config: ExtensionConfig,
    admission: Admission,
}

/// A service of the operator's that is an extension.
pub struct OperatorService {
    /// Which of the configuration's `services` it is: that entry says how it queues and caches.
    /// `None` is an import that no service names, with every default.
    pub index: Option<usize>,
    /// Its name.
    pub name: Arc<str>,
    /// Its engine's name: `Extension`, or that of an import.
    pub engine: Arc<str>,
    /// Its engine, behind its breaker.
    pub roles: Roles,
    /// What it is called in chains: [`ServiceSpec::identity`].
    pub identity: Arc<str>,
}

impl OperatorService {
    /// The service with every default, as [`ServiceSpec::extension`].
    #[must_use]
    pub fn into_spec(self) -> ServiceSpec {
        ServiceSpec {
            engine: self.engine,
            identity: Some(self.identity),
            ..ServiceSpec::extension(None, &self.name, self.roles)
        }
    }
}

impl Operator {
    /// Reads, admits and compiles all extensions that the configuration names.
    ///
    /// # Errors
    /// Everything wrong with them.
    pub async fn load(env: OperatorEnv<'_>) -> Result<Self, Vec<OperatorProblem>> {
        let sandbox = env.sandbox;
        let env = load::Env {
            config: env.config,
            resolve_path: env.resolve_path,
            native_engines: env.native_engines,
            metrics: env.metrics,
            audit: env.audit,
        };
        load::load(env, sandbox).await
    }

    /// Whether the service at `index` of the configuration is one of these.
    #[must_use]
    pub fn is_extension(&self, index: usize) -> bool {
        self.extensions.iter().any(|it| it.index == Some(index))
    }

    /// The names of imports that no service names, which are services of their own.
    #[must_use]
    pub fn imported(&self) -> Vec<Arc<str>> {
        let alone = self.extensions.iter().filter(|it| it.index.is_none());
        alone.map(|it| Arc::clone(&it.name)).collect()
    }

    /// The extensions as services: those of the configuration in its order, then the imports that
    /// none of them names. They call `host`; those that fail fall back on one another or on
    /// `natives`, the engines of the operator's other services by name. Each call makes new
    /// breakers.
    ///
    /// # Errors
    /// A fallback that is not there, leads back to itself, or has none of the roles.
    pub fn services(
        &self,
        host: &Arc<dyn Host>,
        natives: &BTreeMap<String, Roles>,
    ) -> Result<Vec<OperatorService>, Vec<OperatorProblem>> {
        let mut known = natives.clone();
        let mut made = BTreeMap::new();
        let mut problems = Vec::new();
        let mut waiting: Vec<_> = self.extensions.iter().enumerate().collect();
        // Those first whose fallback is there, until there are no more such.
        loop {
            let (ready, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, it)| {
                let fallback = it.config.on_failure.fallback.as_ref();
                fallback.is_none_or(|name| known.contains_key(name))
            });
            waiting = others;
            if ready.is_empty() {
                break;
            }
            for (place, extension) in ready {
                match self.service(extension, host, &known) {
                    Ok(service) => {
                        known.insert(service.name.to_string(), service.roles.clone());
                        made.insert(place, service);
                    }
                    Err(error) => problems.push(extension.no_fallback(error)),
                }
            }
        }
        for (_, extension) in waiting {
            let error = self.missing_fallback(extension, &known);
            problems.push(extension.no_fallback(error));
        }
        if problems.is_empty() {
            Ok(made.into_values().collect())
        } else {
            Err(problems)
        }
    }

    fn service(
        &self,
        extension: &Extension,
        host: &Arc<dyn Host>,
        known: &BTreeMap<String, Roles>,
    ) -> Result<OperatorService> {
        let Extension {
            index,
            name,
            engine,
            config,
            admission,
        } = extension;
        let fallback = fallback(config, admission, known)?;
        let identity = Tenant::identity(None, name);
        let engines = admission.code.engines(Service {
            identity: Arc::clone(&identity),
            owner: None,
            params: Params::from(config.params.clone()),
            trusted: config.trusted,
            limits: config.limits.clone(),
            grants: config.grants.clone(),
            collection: config.collection.clone(),
            host: Arc::clone(host),
        });
        let subject = Subject {
            owner: None,
            name: Arc::clone(name),
            version: admission.manifest.version.clone(),
            sha256: admission.sha256.clone(),
            source: "config",
        };
        let audit = Arc::clone(&self.audit.0);
        let guard = Guard::new(subject, &config.on_failure, self.metrics.clone(), audit);
        Ok(OperatorService {
            index: *index,
            name: Arc::clone(name),
            engine: Arc::clone(engine),
            roles: guarded(engines, &guard, fallback.as_ref()),
            identity,
        })
    }

    fn missing_fallback(&self, extension: &Extension, known: &BTreeMap<String, Roles>) -> Error {
        let name = extension.config.on_failure.fallback.as_deref();
        let name = name.unwrap_or_default();
        if self.extensions.iter().any(|it| *it.name == *name) {
            return Error::invalid(format!(
                "the fallback `{name}` leads back to `{}`, or to no service; end with a service \
                 that is no extension",
                extension.name
            ));
        }
        let near = routir_core::nearest(name, known.keys().map(String::as_str));
        let help = near.map(|near| format!("; did you mean `{near}`?"));
        Error::invalid(format!(
            "there is no service `{name}` to fall back on{}",
            help.unwrap_or_default()
        ))
    }
}

impl Extension {
    fn no_fallback(&self, error: Error) -> OperatorProblem {
        let index = self.index.unwrap_or_default();
        OperatorProblem {
            path: format!("services[{index}].config.on_failure.fallback"),
            error,
        }
    }
}

/// The fallback that is configured, if it can do anything.
fn fallback(
    config: &ExtensionConfig,
    admission: &Admission,
    known: &BTreeMap<String, Roles>,
) -> Result<Option<Fallback>> {
    let name = config.on_failure.fallback.as_ref();
    let Some((name, roles)) = name.and_then(|name| Some((name, known.get(name)?))) else {
        return Ok(None);
    };
    let fallback = Fallback {
        name: Arc::from(name.as_str()),
        roles: roles.clone(),
    };
    if !fallback.plays_any(&admission.roles) {
        let check = fallback.check(&admission.roles);
        return Err(Error::invalid(check.detail));
    }
    Ok(Some(fallback))
}
