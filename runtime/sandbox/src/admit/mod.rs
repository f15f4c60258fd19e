//! What is looked at before a component is let in, step by step.

mod describe;
mod format;
mod imports;
mod manifest;
mod report;
mod shape;
mod smoke;

use std::sync::Arc;
use std::time::Instant;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Error, ErrorCode, RequestContext, Result};
use sha2::{Digest, Sha256};
use wasmtime::component::Component as Compiled;

use crate::calls::{Code, Job};
use crate::component::link;
use crate::guest::{Exports, Phase, Profile};
use crate::sandbox::Machine;
use crate::schedule::Account;
use crate::{Admitted, Component};
use report::Report;

/// Looks at a component from all sides and compiles it.
///
/// A step that fails ends the admission, since the later ones need it; what one step finds wrong is
/// told together.
///
/// # Errors
/// As [`crate::Sandbox::admit`].
pub(crate) async fn admit(
    machine: &Arc<Machine>,
    account: Arc<Account>,
    bytes: Arc<[u8]>,
    limits: &ExtensionLimits,
    grants: &ExtensionGrants,
) -> Result<Admitted> {
    let mut report = Report::default();
    report.step("size", ErrorCode::TooLarge, format::size(&bytes, limits))?;
    report.check("format", format::format(&bytes))?;
    report.check("shape", shape::check(&bytes, limits.instances))?;

    let sha256 = hex(&Sha256::digest(&bytes));
    let counts_fuel = limits.fuel.is_some();
    let size = bytes.len() as u64;
    let compiled = compile(machine, bytes, &sha256, counts_fuel, &mut report).await?;
    report.check("imports", imports::check(&compiled, grants))?;
    let code = report.value("imports", link(&compiled, counts_fuel, grants))?;
    let exports = match Exports::find(&code.pre) {
        Ok(exports) => exports,
        Err(problems) => return Err(report.refuse("exports", problems)),
    };
    let roles = exports.roles();
    report.pass("exports", format!("roles: {}", role_names(&roles)));

    let trial = Trial {
        machine,
        account,
        code,
        profile: Arc::new(Profile {
            identity: Arc::from(sha256.get(..12).unwrap_or(&sha256)),
            owner: None,
            limits: limits.clone(),
            collection: None,
            host: None,
        }),
    };
    let info = report.told("describe", describe::describe(&trial, &exports).await)?;
    let manifest = match manifest::manifest(info) {
        Ok(manifest) => manifest,
        Err(problems) => return Err(report.refuse("manifest", problems)),
    };
    report.pass("manifest", manifest::summary(&manifest));
    if let Some(fuse) = exports.fuse {
        let tried = smoke::fuse(&trial, fuse, &manifest).await;
        report.told("fuse", tried.map(|detail| ((), detail)))?;
    }

    let component = Component {
        machine: Arc::clone(machine),
        compiled,
        counts_fuel,
        exports,
        manifest,
        roles,
        sha256,
        size,
    };
    Ok(Admitted {
        component: Arc::new(component),
        checks: report.into_checks(),
    })
}

/// The machine code of a component, kept or made.
async fn compile(
    machine: &Arc<Machine>,
    bytes: Arc<[u8]>,
    sha256: &str,
    counts_fuel: bool,
    report: &mut Report,
) -> Result<Compiled> {
    let engine = machine.engines.get(counts_fuel)?.clone();
    let started = Instant::now();
    let (files, key, of) = (Arc::clone(machine), sha256.to_owned(), engine.clone());
    let kept = blocking(move || files.cache.load(&of, &key)).await?;
    if let Some(compiled) = kept {
        let ms = started.elapsed().as_millis();
        report.pass("compile", format!("compiled before; loaded in {ms} ms"));
        return Ok(compiled);
    }
    let code = machine.compiler.compile(bytes, counts_fuel).await;
    let code = report.value("compile", code)?;
    let mb = code.len() as f64 / 1e6;
    let (files, key) = (Arc::clone(machine), sha256.to_owned());
    let stored = blocking(move || files.cache.store(&engine, &key, &code)).await?;
    let compiled = report.value("compile", stored)?;
    let ms = started.elapsed().as_millis();
    report.pass("compile", format!("{mb:.1} MB of machine code in {ms} ms"));
    Ok(compiled)
}

/// Runs what waits for the disk where that does no harm.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("the cache of compiled code failed: {error}")))
}

/// A component that is tried out.
struct Trial<'a> {
    machine: &'a Arc<Machine>,
    account: Arc<Account>,
    code: Arc<Code>,
    profile: Arc<Profile>,
}

impl Trial<'_> {
    fn job(&self, phase: Phase) -> Job {
        Job {
            profile: Arc::clone(&self.profile),
            context: Arc::new(RequestContext::new("admission")),
            account: Arc::clone(&self.account),
            phase,
        }
    }
}

fn role_names(roles: &[routir_core::Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    names.join(", ")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
