//! Parameters, from JSON to the types of the ABI and back.

use routir_core::{Error, ParamKind, Params, ParamsSpec, Result};
use serde_json::{Map, Number, Value};

use super::limits::{MAX_JSON, MAX_NUMBERS};
use super::said;
use crate::Manifest;
use crate::bindings::types;

/// Parameters as they cross: by name, in alphabetical order.
pub(crate) type Crossing = Vec<(String, types::Value)>;

/// The parameters of one service: their types, and what they are when a call does not say.
#[derive(Debug)]
pub(crate) struct ParamTable {
    spec: ParamsSpec,
    /// The service's values over the manifest's defaults.
    base: Crossing,
}

impl ParamTable {
    /// The table of a service that states `service` for an extension with this manifest.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a parameter that the manifest does not know
    /// or whose value is of another type.
    pub(crate) fn new(manifest: &Manifest, service: &Params) -> Result<Self> {
        let table = Self {
            spec: manifest.params.clone(),
            base: Vec::new(),
        };
        let defaults = table.merged(&manifest.defaults)?;
        let table = Self {
            base: defaults,
            ..table
        };
        let base = table.merged(service)?;
        Ok(Self { base, ..table })
    }

    /// What crosses for a call that states `call`; null counts as not stated.
    ///
    /// # Errors
    /// As [`ParamTable::new`].
    pub(crate) fn merged(&self, call: &Params) -> Result<Crossing> {
        if call.is_empty() {
            return Ok(self.base.clone());
        }
        let problems = self.spec.check(call);
        if !problems.is_empty() {
            return Err(Error::invalid(problems.join("; ")));
        }
        let mut merged = self.base.clone();
        for (name, value) in call.as_map().iter().filter(|(_, value)| !value.is_null()) {
            let value = self.typed(call, name, value)?;
            match merged.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
                Ok(place) => {
                    if let Some((_, present)) = merged.get_mut(place) {
                        *present = value;
                    }
                }
                Err(place) => merged.insert(place, (name.clone(), value)),
            }
        }
        Ok(merged)
    }

    fn typed(&self, params: &Params, name: &str, value: &Value) -> Result<types::Value> {
        let kind = match &self.spec {
            ParamsSpec::Open => kind_of(value),
            ParamsSpec::Known(known) => known
                .iter()
                .find(|spec| spec.name == name)
                .map_or(ParamKind::Any, |spec| spec.kind),
        };
        Ok(match kind {
            ParamKind::Flag => types::Value::Flag(value.as_bool().unwrap_or_default()),
            ParamKind::Number => types::Value::Number(params.number(name)?.unwrap_or_default()),
            ParamKind::Count => {
                types::Value::Number(params.count(name)?.unwrap_or_default() as f64)
            }
            ParamKind::Text => {
                types::Value::Text(params.text(name)?.unwrap_or_default().to_owned())
            }
            ParamKind::Numbers => types::Value::Numbers(params.numbers(name)?.unwrap_or_default()),
            _ => types::Value::Json(value.to_string()),
        })
    }
}

/// The type that a value has by itself, where a manifest leaves parameters open.
fn kind_of(value: &Value) -> ParamKind {
    match value {
        Value::Bool(_) => ParamKind::Flag,
        Value::Number(number) if number.as_f64().is_some_and(f64::is_finite) => ParamKind::Number,
        Value::String(_) => ParamKind::Text,
        Value::Array(list) if list.iter().all(Value::is_number) => ParamKind::Numbers,
        _ => ParamKind::Any,
    }
}

/// Parameters that a guest states in a host call.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for a name that comes twice, a number that is not
/// finite, or text that is not JSON.
pub(crate) fn params_from_guest(stated: Crossing) -> Result<Params> {
    let mut map = Map::new();
    for (name, value) in stated {
        let wrong = |what: &str| Error::invalid(format!("parameter `{}` {what}", said(&name)));
        let number = |number: f64| {
            Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| wrong("is not a finite number"))
        };
        let value = match value {
            types::Value::Flag(flag) => Value::Bool(flag),
            types::Value::Number(value) => number(value)?,
            types::Value::Text(text) => Value::String(text),
            types::Value::Numbers(list) if list.len() > MAX_NUMBERS => {
                return Err(wrong(&format!("has more than {MAX_NUMBERS} numbers")));
            }
            types::Value::Numbers(list) => {
                let list: Result<Vec<_>> = list.into_iter().map(number).collect();
                Value::Array(list?)
            }
            types::Value::Json(text) if text.len() > MAX_JSON => {
                return Err(wrong(&format!("has more than {MAX_JSON} bytes of JSON")));
            }
            types::Value::Json(text) => serde_json::from_str(&text)
                .map_err(|error| wrong(&format!("is not JSON: {error}")))?,
        };
        if map.contains_key(&name) {
            return Err(wrong("is stated twice"));
        }
        map.insert(name, value);
    }
    Ok(Params::from(map))
}

#[cfg(test)]
mod tests {
    use routir_core::{ErrorCode, ParamSpec};
    use serde_json::json;

    use super::*;

    fn params(mut value: Value) -> Params {
        Params::from(std::mem::take(value.as_object_mut().unwrap()))
    }

    fn manifest(spec: ParamsSpec, defaults: Value) -> Manifest {
        Manifest {
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            description: String::new(),
            params: spec,
            defaults: params(defaults),
        }
    }

    fn known() -> ParamsSpec {
        ParamsSpec::known(&[
            ParamSpec::new("k", ParamKind::Number, ""),
            ParamSpec::new("depth", ParamKind::Count, ""),
            ParamSpec::new("strict", ParamKind::Flag, ""),
            ParamSpec::new("mode", ParamKind::Text, ""),
            ParamSpec::new("weights", ParamKind::Numbers, ""),
            ParamSpec::new("rules", ParamKind::Any, ""),
        ])
    }

    #[test]
    fn a_call_goes_over_the_service_over_the_defaults() {
        let manifest = manifest(known(), json!({"k": 60, "mode": "a", "depth": 3}));
        let table = ParamTable::new(&manifest, &params(json!({"mode": "b", "k": 10}))).unwrap();
        let crossing = |call| table.merged(&params(call)).unwrap();
        let expected = |k: f64, mode: &str| {
            vec![
                ("depth".to_owned(), types::Value::Number(3.0)),
                ("k".to_owned(), types::Value::Number(k)),
                ("mode".to_owned(), types::Value::Text(mode.to_owned())),
            ]
        };
        assert_eq!(crossing(json!({})), expected(10.0, "b"));
        assert_eq!(crossing(json!({"k": 1.5})), expected(1.5, "b"));
        assert_eq!(
            crossing(json!({"mode": null, "k": "2"})),
            expected(2.0, "b")
        );
    }

    #[test]
    fn every_kind_crosses_as_the_manifest_states() {
        let table = ParamTable::new(&manifest(known(), json!({})), &Params::default()).unwrap();
        let call = json!({
            "weights": [1, "2"], "strict": true, "rules": {"a": [1]}, "mode": "m", "depth": 2, "k": 1
        });
        let crossing = table.merged(&params(call)).unwrap();
        let expected = [
            ("depth", types::Value::Number(2.0)),
            ("k", types::Value::Number(1.0)),
            ("mode", types::Value::Text("m".to_owned())),
            ("rules", types::Value::Json("{\"a\":[1]}".to_owned())),
            ("strict", types::Value::Flag(true)),
            ("weights", types::Value::Numbers(vec![1.0, 2.0])),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        assert_eq!(crossing, expected);
    }

    #[test]
    fn open_parameters_have_their_own_types() {
        let table =
            ParamTable::new(&manifest(ParamsSpec::Open, json!({})), &Params::default()).unwrap();
        let call = json!({"d": [1, 2], "c": [1, "2"], "b": "2", "a": true, "e": 2, "f": null});
        let crossing = table.merged(&params(call)).unwrap();
        let expected = [
            ("a", types::Value::Flag(true)),
            ("b", types::Value::Text("2".to_owned())),
            ("c", types::Value::Json("[1,\"2\"]".to_owned())),
            ("d", types::Value::Numbers(vec![1.0, 2.0])),
            ("e", types::Value::Number(2.0)),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        assert_eq!(crossing, expected);
    }

    #[test]
    fn what_the_manifest_does_not_know_is_refused() {
        let manifest = manifest(known(), json!({}));
        let error = ParamTable::new(&manifest, &params(json!({"kk": 1}))).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("did you mean `k`"), "{error}");
        let table = ParamTable::new(&manifest, &Params::default()).unwrap();
        let error = table.merged(&params(json!({"strict": 1}))).unwrap_err();
        assert!(error.message().contains("must be true or false"), "{error}");
    }

    #[test]
    fn a_guests_parameters_are_checked() {
        let stated = |value| vec![("a".to_owned(), value)];
        let wrong = |value| params_from_guest(stated(value)).unwrap_err();
        assert!(
            wrong(types::Value::Number(f64::NAN))
                .message()
                .contains("not a finite")
        );
        assert!(
            wrong(types::Value::Numbers(vec![1.0, f64::INFINITY]))
                .message()
                .contains("not a finite")
        );
        assert!(
            wrong(types::Value::Json("{".to_owned()))
                .message()
                .contains("not JSON")
        );
        let twice = [
            stated(types::Value::Flag(true)),
            stated(types::Value::Flag(true)),
        ]
        .concat();
        assert!(
            params_from_guest(twice)
                .unwrap_err()
                .message()
                .contains("twice")
        );
        let long = types::Value::Json(format!("[{}0]", "0,".repeat(MAX_JSON / 2)));
        assert!(wrong(long).message().contains("bytes of JSON"));
        let many = types::Value::Numbers(vec![0.0; MAX_NUMBERS + 1]);
        assert!(wrong(many).message().contains("numbers"));
        let deep = "[".repeat(10_000);
        assert!(
            wrong(types::Value::Json(deep))
                .message()
                .contains("not JSON")
        );
        let good = params_from_guest(stated(types::Value::Json("[1,{}]".to_owned()))).unwrap();
        assert_eq!(good.get("a"), Some(&json!([1, {}])));
    }
}
