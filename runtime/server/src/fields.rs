//! The fields of a request, as a JSON object, taken one by one: right type or a message that says what is wrong.
//! All that is wrong is told at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use routir_core::{Error, Params, Result, shorten, shown};
use serde_json::{Map, Value};

use crate::heavy::{check_values, heavy};

/// The most problems that are told.
const MAX_PROBLEMS: usize = 16;

/// What is left of a JSON object, and what was wrong with the rest.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    problems: Vec<String>,
}

impl Fields {
    /// As [`Fields::parse`], off the reactor when the body is large.
    pub(crate) async fn read(body: Bytes) -> Result<Self> {
        heavy(body.len(), move || Self::parse(&body)).await
    }

    /// The fields of `body`, less those that are null.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::TooLarge`] when it has too many values;
    /// [`routir_core::ErrorCode::InvalidArgument`]: `No data provided` for `{}` and what else is
    /// nothing to RoutIR (`[]`, `""`, `0`, `false`, `null`); what was expected when the body is
    /// empty, not JSON or not an object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let expected = |what: String| {
            Err(Error::invalid(format!(
                "the request body must be a JSON object; {what}"
            )))
        };
        if body.trim_ascii().is_empty() {
            return expected("it is empty".to_owned());
        }
        check_values(body)?;
        let left = match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => map,
            Ok(Value::Array(list)) if !list.is_empty() => {
                return expected("it is an array".to_owned());
            }
            Ok(Value::String(text)) if !text.is_empty() => {
                return expected("it is a string".to_owned());
            }
            Ok(Value::Number(number)) if number.as_f64() != Some(0.0) => {
                return expected("it is a number".to_owned());
            }
            Ok(Value::Bool(true)) => return expected("it is `true`".to_owned()),
            Ok(_) => Map::new(),
            Err(why) => return expected(format!("it is not JSON: {why}")),
        };
        if left.is_empty() {
            return Err(Error::invalid("No data provided"));
        }
        Ok(Self::of(left))
    }

    /// The fields of `left`, less those that are null.
    pub(crate) fn of(mut left: Map<String, Value>) -> Self {
        left.retain(|_, value| !value.is_null());
        Self {
            left,
            problems: Vec::new(),
        }
    }

    /// Notes that something is wrong.
    pub(crate) fn problem(&mut self, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(message);
        }
    }

    fn wrong<T>(&mut self, name: &str, expected: &str, value: &Value) -> Option<T> {
        self.problem(format!("`{name}` must be {expected}, not {}", shown(value)));
        None
    }

    /// An optional string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.left.shift_remove(name)? {
            Value::String(text) => Some(text),
            other => self.wrong(name, "a string", &other),
        }
    }

    /// A required string; empty when it is missing or wrong, which [`Fields::finish`] will tell.
    pub(crate) fn required_text(&mut self, name: &str) -> String {
        if !self.has(name) {
            self.problem(format!("No {name} provided"));
        }
        self.text(name).unwrap_or_default()
    }

    /// The required field `query`, of at most `max_chars` Unicode code points.
    pub(crate) fn query(&mut self, max_chars: usize) -> Arc<str> {
        let query = self.required_text("query");
        // The length in bytes is an upper bound that costs nothing.
        if query.len() > max_chars {
            let chars = query.chars().count();
            if chars > max_chars {
                self.problem(format!(
                    "`query` has {chars} characters, over this server's limit of {max_chars}"
                ));
            }
        }
        query.into()
    }

    /// The optional field `limit`: a whole number or a numeric string, 10 when absent.
    pub(crate) fn limit(&mut self, max: usize) -> usize {
        const DEFAULT: usize = 10;
        let Some(value) = self.left.shift_remove("limit") else {
            return DEFAULT;
        };
        let Some(limit) = whole_number(&value) else {
            return self
                .wrong("limit", "a whole number", &value)
                .unwrap_or(DEFAULT);
        };
        match usize::try_from(limit) {
            Ok(limit) if limit <= max => return limit,
            Ok(_) => self.problem(format!(
                "`limit` is {}, over this server's limit of {max}",
                shown(&value)
            )),
            Err(_) if limit < 0 => {
                self.problem(format!("`limit` must be at least 0, not {}", shown(&value)));
            }
            Err(_) => self.problem(format!("`limit` is over this server's limit of {max}")),
        }
        DEFAULT
    }

    /// An optional flag, false when absent.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.left.shift_remove(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(other) => self.wrong(name, "true or false", &other).unwrap_or(false),
        }
    }

    /// An optional time in seconds, more than 0.
    pub(crate) fn seconds(&mut self, name: &str) -> Option<Duration> {
        let value = self.left.shift_remove(name)?;
        let seconds = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds > 0.0 => {
                // Longer than a Duration holds is as good as for ever.
                Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
            _ => self.wrong(name, "a number of seconds over 0", &value),
        }
    }

    /// The required field `name`: a list of at most `max` strings.
    pub(crate) fn texts(&mut self, name: &str, max: usize) -> Vec<Arc<str>> {
        let list = match self.left.shift_remove(name) {
            Some(Value::Array(list)) => list,
            Some(other) => {
                return self
                    .wrong(name, "a list of strings", &other)
                    .unwrap_or_default();
            }
            None => {
                self.problem(format!("No {name} provided"));
                return Vec::new();
            }
        };
        if list.len() > max {
            self.problem(format!(
                "`{name}` has {} entries, over this server's limit of {max}",
                list.len()
            ));
            return Vec::new();
        }
        let mut texts = Vec::with_capacity(list.len());
        for (at, value) in list.into_iter().enumerate() {
            match value {
                Value::String(text) => texts.push(text.into()),
                other => {
                    return self
                        .wrong(&format!("{name}[{at}]"), "a string", &other)
                        .unwrap_or_default();
                }
            }
        }
        texts
    }

    /// The optional field `name`: objects by name, each less its nulls.
    pub(crate) fn params_by_name(&mut self, name: &str) -> BTreeMap<String, Params> {
        let map = match self.left.shift_remove(name) {
            None => return BTreeMap::new(),
            Some(Value::Object(map)) => map,
            Some(other) => {
                return self
                    .wrong(name, "an object of objects", &other)
                    .unwrap_or_default();
            }
        };
        let mut params = BTreeMap::new();
        for (key, value) in map {
            match value {
                Value::Object(mut map) => {
                    map.retain(|_, value| !value.is_null());
                    params.insert(key, Params::from(map));
                }
                Value::Null => {}
                other => {
                    let key = shorten(&key);
                    self.wrong::<()>(&format!("{name}.{key}"), "an object", &other);
                }
            }
        }
        params
    }

    /// Whether the field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Takes a field whatever its type.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name)
    }

    /// The fields that nobody took, for the engine.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] with everything that was wrong.
    pub(crate) fn finish(self) -> Result<Params> {
        if self.problems.is_empty() {
            Ok(Params::from(self.left))
        } else {
            Err(Error::invalid(self.problems.join("; ")))
        }
    }
}

/// `value` as a whole number, written as number or as text.
fn whole_number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| {
                number
                    .as_f64()
                    .filter(|n| n.fract() == 0.0)
                    .map(|n| n as i128)
            }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        Fields::parse(body.as_bytes()).unwrap_err().to_string()
    }

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_body_that_is_no_object_says_what_was_expected() {
        expect_test::expect!["the request body must be a JSON object; it is empty"]
            .assert_eq(&refusal(" \n"));
        expect_test::expect!["the request body must be a JSON object; it is an array"]
            .assert_eq(&refusal("[1]"));
        expect_test::expect!["the request body must be a JSON object; it is a string"]
            .assert_eq(&refusal("\"x\""));
        expect_test::expect![
            "the request body must be a JSON object; it is not JSON: expected `,` or `}` at line 2 column 2"
        ]
        .assert_eq(&refusal("{\"a\": 1\n \"query\": 2}"));
        expect_test::expect![
            "the request body must be a JSON object; it is not JSON: trailing characters at line 1 column 9"
        ]
        .assert_eq(&refusal("{\"a\":1} x"));
        assert!(Fields::parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(refusal(&"[".repeat(100_000)).contains("recursion limit"));
    }

    #[test]
    fn nothing_is_no_data() {
        for nothing in ["{}", "[]", "null", "0", "0.0", "false", "\"\""] {
            assert_eq!(refusal(nothing), "No data provided", "{nothing}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_reads_as_one() {
        let limit = |text: &str| {
            let mut fields = fields(&format!("{{\"limit\":{text}}}"));
            let limit = fields.limit(1000);
            fields
                .finish()
                .map(|_| limit)
                .map_err(|error| error.to_string())
        };
        for (text, value) in [
            ("5", 5),
            ("\"7\"", 7),
            ("\" 7 \"", 7),
            ("3.0", 3),
            ("0", 0),
            ("null", 10),
            ("1000", 1000),
        ] {
            assert_eq!(limit(text), Ok(value), "{text}");
        }
        for text in [
            "\"ten\"", "1.5", "\"NaN\"", "true", "[]", "-1", "\"-1\"", "1e300", "1001",
        ] {
            assert!(limit(text).is_err(), "{text}");
        }
        assert_eq!(
            limit("-3").unwrap_err(),
            "`limit` must be at least 0, not -3"
        );
        assert_eq!(
            limit("\"x\"").unwrap_err(),
            "`limit` must be a whole number, not \"x\""
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut fields = fields(r#"{"service": 3, "limit": "x", "explain": 1, "timeout": 0}"#);
        fields.required_text("service");
        fields.query(10);
        fields.limit(10);
        fields.flag("explain");
        fields.seconds("timeout");
        expect_test::expect!["`service` must be a string, not 3; No query provided; `limit` must be a whole number, not \"x\"; `explain` must be true or false, not 1; `timeout` must be a number of seconds over 0, not 0"]
            .assert_eq(fields.finish().unwrap_err().message());
    }

    #[test]
    fn nulls_are_absent_and_the_rest_is_for_the_engine() {
        let mut fields = fields(r#"{"service":"s","subset":null,"prompt":"p","k":{"x":null}}"#);
        fields.required_text("service");
        let params = fields.finish().unwrap();
        assert_eq!(
            serde_json::to_string(params.as_map()).unwrap(),
            r#"{"prompt":"p","k":{"x":null}}"#
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let query = |max| {
            let mut fields = fields(r#"{"query":"größe"}"#);
            fields.query(max);
            fields.finish().map_err(|error| error.to_string())
        };
        assert!(query(5).is_ok());
        assert_eq!(
            query(4).unwrap_err(),
            "`query` has 5 characters, over this server's limit of 4"
        );
    }

    #[test]
    fn a_wrong_value_is_not_repeated_at_length() {
        let mut fields = fields(&format!(r#"{{"limit":"{}"}}"#, "x".repeat(1 << 20)));
        fields.limit(10);
        assert!(fields.finish().unwrap_err().message().len() < 200);
    }
}
