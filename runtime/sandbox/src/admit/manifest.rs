//! What a component says of itself, checked.

use std::borrow::Cow;
use std::collections::HashSet;

use routir_core::{ParamKind, ParamSpec, Params, ParamsSpec};
use serde_json::{Map, Value};

use crate::Manifest;
use crate::bindings::manifest::{Info, Param, ParamKind as AbiKind};
use crate::convert::said;

const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 500;
const MAX_PARAMS: usize = 64;
/// A default crosses with every call, and a schema shows it.
const MAX_DEFAULT: usize = 4096;

/// The manifest, or everything that is wrong with it.
pub(super) fn manifest(info: Info) -> Result<Manifest, Vec<String>> {
    let mut problems = Vec::new();
    if !is_name(&info.name, "_-") {
        problems.push(format!(
            "the name `{}` is not a letter, then letters, digits, `_` or `-`, at most {MAX_NAME}",
            shown(&info.name)
        ));
    }
    if let Err(error) = semver::Version::parse(&info.version) {
        problems.push(format!(
            "the version `{}` is not a semantic version such as `1.0.2`: {error}",
            shown(&info.version)
        ));
    }
    if info.description.chars().count() > MAX_DESCRIPTION {
        problems.push(format!(
            "the description is longer than {MAX_DESCRIPTION} characters"
        ));
    }
    let (params, defaults) = match info.params {
        None => (ParamsSpec::Open, Params::default()),
        Some(params) => known(params, &mut problems),
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Manifest {
        name: info.name,
        version: info.version,
        description: printable(&info.description),
        params,
        defaults,
    })
}

/// What a manifest says, in one line.
pub(super) fn summary(manifest: &Manifest) -> String {
    let params = match &manifest.params {
        ParamsSpec::Open => "any parameters".to_owned(),
        ParamsSpec::Known(known) => format!("{} parameters", known.len()),
    };
    format!("`{}` {}, {params}", manifest.name, manifest.version)
}

fn known(params: Vec<Param>, problems: &mut Vec<String>) -> (ParamsSpec, Params) {
    if params.len() > MAX_PARAMS {
        let given = params.len();
        problems.push(format!(
            "there are {given} parameters; the most is {MAX_PARAMS}"
        ));
        return (ParamsSpec::none(), Params::default());
    }
    let mut names = HashSet::new();
    let mut specs = Vec::new();
    let mut defaults = Map::new();
    for param in params {
        let name = shown(&param.name);
        if !is_name(&param.name, "_") {
            problems.push(format!(
                "the parameter name `{name}` is not a letter, then letters, digits or `_`, at \
                 most {MAX_NAME}"
            ));
        }
        if !names.insert(param.name.clone()) {
            problems.push(format!("the parameter `{name}` is there twice"));
        }
        if param.description.chars().count() > MAX_DESCRIPTION {
            problems.push(format!(
                "the description of parameter `{name}` is longer than {MAX_DESCRIPTION} characters"
            ));
        }
        if let Some(default) = &param.default {
            if default.len() > MAX_DEFAULT {
                problems.push(format!(
                    "the default of parameter `{name}` is longer than {MAX_DEFAULT} bytes"
                ));
                continue;
            }
            match serde_json::from_str::<Value>(default) {
                Ok(Value::Null) => problems.push(format!(
                    "the default of parameter `{name}` is null; leave it out instead"
                )),
                Ok(value) => {
                    defaults.insert(param.name.clone(), value);
                }
                Err(error) => problems.push(format!(
                    "the default of parameter `{name}` is not JSON: {error}"
                )),
            }
        }
        specs.push(ParamSpec {
            kind: kind(param.kind),
            doc: Cow::Owned(documented(&param)),
            name: Cow::Owned(param.name),
        });
    }
    let (specs, defaults) = (ParamsSpec::Known(specs), Params::from(defaults));
    let wrong = specs.check(&defaults).into_iter();
    problems.extend(wrong.map(|problem| format!("a default: {problem}")));
    (specs, defaults)
}

fn kind(kind: AbiKind) -> ParamKind {
    match kind {
        AbiKind::Flag => ParamKind::Flag,
        AbiKind::Number => ParamKind::Number,
        AbiKind::Count => ParamKind::Count,
        AbiKind::Text => ParamKind::Text,
        AbiKind::Numbers => ParamKind::Numbers,
        AbiKind::Json => ParamKind::Any,
    }
}

fn documented(param: &Param) -> String {
    let doc = printable(&param.description);
    match &param.default {
        None => doc,
        Some(default) => {
            let default = shown(default);
            let gap = if doc.is_empty() { "" } else { " " };
            format!("{doc}{gap}(default: {default})")
        }
    }
}

fn is_name(name: &str, more: &str) -> bool {
    let mut chars = name.chars();
    name.len() <= MAX_NAME
        && chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn shown(text: &str) -> String {
    said(&routir_core::shorten(text))
}

/// A description in one line, which may be empty.
fn printable(text: &str) -> String {
    if text.trim().is_empty() {
        String::new()
    } else {
        said(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(name: &str, version: &str, params: Option<Vec<Param>>) -> Info {
        Info {
            name: name.to_owned(),
            version: version.to_owned(),
            description: "Does\nthings.".to_owned(),
            params,
        }
    }

    fn param(name: &str, kind: AbiKind, default: Option<&str>) -> Param {
        Param {
            name: name.to_owned(),
            kind,
            default: default.map(str::to_owned),
            description: "Sets it.".to_owned(),
        }
    }

    fn problems(name: &str, version: &str, params: Vec<Param>) -> String {
        let info = info(name, version, Some(params));
        manifest(info).unwrap_err().join("\n")
    }

    #[test]
    fn a_good_one_becomes_specs_and_defaults() {
        let params = vec![
            param("k", AbiKind::Number, Some("60")),
            param("rules", AbiKind::Json, None),
        ];
        let manifest = manifest(info("rrf-py", "1.0.2-beta.1", Some(params))).unwrap();
        assert_eq!(manifest.description, "Does things.");
        assert_eq!(manifest.defaults.as_map().get("k"), Some(&json!(60)));
        let ParamsSpec::Known(specs) = &manifest.params else {
            panic!("open")
        };
        assert_eq!(specs[0].doc, "Sets it. (default: 60)");
        assert_eq!(specs[1].kind, ParamKind::Any);
        assert_eq!(summary(&manifest), "`rrf-py` 1.0.2-beta.1, 2 parameters");
    }

    #[test]
    fn without_params_anything_goes() {
        let manifest = manifest(info("a", "1.0.0", None)).unwrap();
        assert_eq!(manifest.params, ParamsSpec::Open);
    }

    #[test]
    fn everything_wrong_is_told_together() {
        let twice = vec![
            param("k", AbiKind::Number, Some("\"sixty\"")),
            param("k", AbiKind::Number, Some("{")),
            param("a b", AbiKind::Flag, Some("null")),
        ];
        let all = problems("0day", "1.0", twice);
        for expected in [
            "the name `0day`",
            "the version `1.0`",
            "`k` is there twice",
            "default of parameter `k` is not JSON",
            "the parameter name `a b`",
            "is null",
            "a default: `k` must be a number, not \"sixty\"",
        ] {
            assert!(all.contains(expected), "{expected}: {all}");
        }
    }

    #[test]
    fn sizes_are_limited() {
        let many = (0..65).map(|n| param(&format!("p{n}"), AbiKind::Flag, None));
        assert!(problems("a", "1.0.0", many.collect()).contains("65 parameters"));
        let long = problems(&"a".repeat(65), "1.0.0", vec![]);
        assert!(long.contains("the name"), "{long}");
        let mut endless = info("a", "1.0.0", None);
        endless.description = "x".repeat(501);
        assert!(manifest(endless).is_err());
    }
}
