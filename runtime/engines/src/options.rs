//! Reads an engine's configuration: every key by type, all mistakes at once.

use routir_core::{Error, Result, nearest};
use serde_json::{Map, Value};

/// Reads keys, remembers which there are, and collects what is wrong. A JSON null counts as absent.
pub(crate) struct Options<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The value of `key` if it is there and `convert` takes it; a mistake when it does not.
    fn read<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        let converted = convert(value);
        if converted.is_none() {
            let shown: String = value.to_string().chars().take(80).collect();
            self.problem(format!("`{key}` must be {wanted}, not {shown}"));
        }
        converted
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.read(key, "a string", Value::as_str)
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Option<f64> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A whole number of at least 1.
    pub(crate) fn count(&mut self, key: &'static str) -> Option<usize> {
        let convert = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0)
        };
        self.read(key, "a whole number of at least 1", convert)
    }

    /// A list of whole numbers of at least 1.
    pub(crate) fn counts(&mut self, key: &'static str) -> Option<Vec<usize>> {
        let count = |value: &Value| {
            let count = usize::try_from(value.as_u64()?).ok()?;
            (count > 0).then_some(count)
        };
        let convert = |value: &Value| value.as_array()?.iter().map(count).collect();
        self.read(key, "a list of whole numbers of at least 1", convert)
    }

    /// A whole number of at least 0.
    pub(crate) fn whole(&mut self, key: &'static str) -> Option<u64> {
        self.read(key, "a whole number of at least 0", Value::as_u64)
    }

    /// Any value.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read(key, "a value", Some)
    }

    /// Takes a key of RoutIR's that changes nothing here.
    pub(crate) fn take(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// A string or a list of strings, with at least one.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<&'a str>> {
        self.read(key, "a string or a list of strings", |value| match value {
            Value::String(text) => Some(vec![text.as_str()]),
            Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
            _ => None,
        })
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Option<&'a Map<String, Value>> {
        self.read(key, "an object", Value::as_object)
    }

    /// One of `choices`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        self.read(key, &format!("one of {}", names.join(", ")), |value| {
            let wanted = value.as_str()?;
            choices
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, choice)| *choice)
        })
    }

    /// Notes that a key of RoutIR's, if it is there, cannot be followed, and why.
    pub(crate) fn refuse(&mut self, key: &'static str, why: &str) {
        self.known.push(key);
        if self.map.get(key).is_some_and(|value| !value.is_null()) {
            self.problem(format!("`{key}` is not possible: {why}"));
        }
    }

    /// Notes that `key` must be there.
    pub(crate) fn require<T>(&mut self, key: &'static str, value: Option<T>) -> Option<T> {
        let absent = self.map.get(key).is_none_or(Value::is_null);
        if value.is_none() && absent {
            self.problem(format!("`{key}` is missing"));
        }
        value
    }

    /// Notes something wrong.
    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Everything that is wrong, unknown keys included, once all keys have been read.
    pub(crate) fn finish(mut self) -> Result<()> {
        let unknown = self
            .map
            .keys()
            .filter(|key| !self.known.contains(&key.as_str()));
        let problems = unknown.map(|key| {
            let hint = match nearest(key, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.known.is_empty() => "it takes none".to_owned(),
                None => format!("known: {}", self.known.join(", ")),
            };
            format!("unknown key `{key}` in `config`; {hint}")
        });
        self.problems.extend(problems.collect::<Vec<_>>());
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid(self.problems.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once_with_the_nearest_key() {
        let value =
            json!({"runn": "x", "k1": "high", "threads": 0, "b": null, "unknown_query": "no"});
        let mut options = Options::new(value.as_object().unwrap());
        let run = options.texts("run");
        options.require("run", run);
        options.number("k1");
        options.number("b");
        options.count("threads");
        options.choice("unknown_query", &[("error", 1), ("empty", 2)]);
        let error = options.finish().unwrap_err();
        assert_eq!(
            error.message(),
            "`run` is missing; `k1` must be a number, not \"high\"; `threads` must be a whole \
             number of at least 1, not 0; `unknown_query` must be one of `error`, `empty`, not \
             \"no\"; unknown key `runn` in `config`; did you mean `run`?"
        );
    }

    #[test]
    fn lists_may_be_given_as_one() {
        let value = json!({"a": "x", "b": ["x", "y"], "c": {"k": 1}, "d": []});
        let mut options = Options::new(value.as_object().unwrap());
        assert_eq!(options.texts("a"), Some(vec!["x"]));
        assert_eq!(options.texts("b"), Some(vec!["x", "y"]));
        assert!(options.value("c").is_some());
        assert_eq!(options.texts("d"), None);
        assert!(options.finish().is_err());
    }
}
