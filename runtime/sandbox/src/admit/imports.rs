//! What a component asks for, against what it may have.

use routir_config::ExtensionGrants;
use wasmtime::component::Component;

use crate::convert::said;
use crate::wasi;

/// What the worlds import, `host` and `candidates` aside.
const ALWAYS: [&str; 2] = ["routir:extension/types@0.1.0", "routir:extension/log@0.1.0"];
const HOST: &str = "routir:extension/host@0.1.0";
const CANDIDATES: &str = "routir:extension/candidates@0.1.0";

/// How many names a message lists.
const SHOWN: usize = 5;

/// Checks all imports.
pub(super) fn check(component: &Component, grants: &ExtensionGrants) -> Result<String, String> {
    let ty = component.component_type();
    let names: Vec<String> = ty
        .imports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect();
    let exports = |name| ty.get_export(component.engine(), name).is_some();
    let fuses = exports("fuse");
    let serves = ["decompose", "search", "score"].into_iter().any(exports);
    judge(&names, fuses, serves, grants)
}

fn judge(
    names: &[String],
    fuses: bool,
    serves: bool,
    grants: &ExtensionGrants,
) -> Result<String, String> {
    let mut wasi_wanted = Vec::new();
    let mut unknown = Vec::new();
    for name in names {
        match name.as_str() {
            HOST if fuses && !serves => {
                return Err(format!(
                    "it imports `{HOST}`, which is not there for a component that only fuses: a \
                     fusion cannot search"
                ));
            }
            CANDIDATES if !fuses => {
                return Err(format!(
                    "it imports `{CANDIDATES}`, which is there only for a component that fuses"
                ));
            }
            HOST | CANDIDATES => {}
            known if ALWAYS.contains(&known) => {}
            wasi if wasi.starts_with("wasi:") => {
                if !(grants.wasi && wasi::provides(wasi)) {
                    wasi_wanted.push(wasi);
                }
            }
            other => unknown.push(other),
        }
    }
    if !unknown.is_empty() {
        return Err(format!(
            "it imports {}, which is not there for an extension",
            list(&unknown)
        ));
    }
    match (wasi_wanted.is_empty(), grants.wasi) {
        (false, true) => Err(format!(
            "it imports {}, which is not there even with WASI granted",
            list(&wasi_wanted)
        )),
        (false, false) => Err(format!(
            "it imports WASI ({}), which is not granted; build it without (`--stub-wasi` of \
             componentize-py and componentize-qjs, `--disable` all features of componentize-js, \
             target wasm32-unknown-unknown of Rust) or, where its language cannot do without \
             (Go), grant it `wasi`, which shows it nothing of the host",
            list(&wasi_wanted)
        )),
        (true, _) if names.is_empty() => Ok("none".to_owned()),
        (true, _) => Ok(names.join(", ")),
    }
}

fn list(names: &[&str]) -> String {
    let mut shown: Vec<_> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", said(&routir_core::shorten(name))))
        .collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(names: &[&str], fuses: bool, serves: bool, wasi: bool) -> Result<String, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let grants = ExtensionGrants {
            wasi,
            ..ExtensionGrants::default()
        };
        judge(&names, fuses, serves, &grants)
    }

    #[test]
    fn each_world_has_its_imports() {
        assert!(verdict(&[], true, false, false).is_ok());
        assert!(verdict(&[ALWAYS[0], ALWAYS[1], CANDIDATES], true, false, false).is_ok());
        assert!(verdict(&[HOST], false, true, false).is_ok());
        assert!(verdict(&[HOST, CANDIDATES], true, true, false).is_ok());
        let error = verdict(&[HOST], true, false, false).unwrap_err();
        assert!(error.contains("a fusion cannot search"), "{error}");
        let error = verdict(&[CANDIDATES], false, true, false).unwrap_err();
        assert!(error.contains("only for a component that fuses"), "{error}");
    }

    #[test]
    fn wasi_is_refused_with_the_way_out() {
        let environment = "wasi:cli/environment@0.2.6";
        let error = verdict(&[environment], true, false, false).unwrap_err();
        assert!(error.contains("--stub-wasi"), "{error}");
        assert!(error.contains("`wasi:cli/environment@0.2.6`"), "{error}");
        let made_up = "wasi:nothing/at-all@0.2.6";
        let error = verdict(&[made_up], true, false, true).unwrap_err();
        assert!(error.contains("even with WASI granted"), "{error}");
    }

    #[test]
    fn what_nobody_knows_is_named() {
        let names: Vec<String> = (0..9).map(|n| format!("acme:x/i{n}@1.0.0")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = verdict(&names, true, false, true).unwrap_err();
        assert!(error.contains("`acme:x/i4@1.0.0`, 4 more"), "{error}");
    }
}
