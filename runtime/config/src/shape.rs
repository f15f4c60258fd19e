//! Reads the part of JSON schema that the types produce: references, alternatives, enumerations
//! and tagged objects.

use serde_json::{Map, Value};

/// The schema that anything fits.
pub(crate) static ANY: Value = Value::Null;

/// A schema with its definitions.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    definitions: Option<&'a Map<String, Value>>,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(root: &'a Value) -> Self {
        Self {
            definitions: root.get("$defs").and_then(Value::as_object),
        }
    }

    /// The alternatives of `schema`, references followed; itself when there is only one.
    pub(crate) fn arms(self, schema: &'a Value) -> Vec<&'a Value> {
        let definition = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|name| self.definitions?.get(name.strip_prefix("#/$defs/")?));
        if let Some(definition) = definition {
            return self.arms(definition);
        }
        match schema
            .get("oneOf")
            .or_else(|| schema.get("anyOf"))
            .and_then(Value::as_array)
        {
            Some(arms) => arms.iter().flat_map(|arm| self.arms(arm)).collect(),
            None => vec![schema],
        }
    }

    /// A small value that fits `schema`, to stand in for one that does not.
    pub(crate) fn stand_in(self, schema: &'a Value) -> Value {
        if let Some(default) = schema.get("default") {
            return default.clone();
        }
        let Some(arm) = self.arms(schema).into_iter().next() else {
            return Value::Null;
        };
        if let Some(constant) = arm.get("const") {
            return constant.clone();
        }
        match kinds(arm).next() {
            Some("string") => Value::String(String::new()),
            Some("integer" | "number") => arm.get("minimum").cloned().unwrap_or_else(|| 0.into()),
            Some("boolean") => Value::Bool(false),
            Some("array") => Value::Array(Vec::new()),
            Some("object") => {
                let property = |key| {
                    arm.get("properties")
                        .and_then(|all| all.get(key))
                        .unwrap_or(&ANY)
                };
                required(arm)
                    .map(|key| (key.to_owned(), self.stand_in(property(key))))
                    .collect()
            }
            _ => Value::Null,
        }
    }
}

/// The JSON types of a schema without alternatives; none when anything fits.
pub(crate) fn kinds(schema: &Value) -> impl Iterator<Item = &str> {
    let (one, many) = match schema.get("type") {
        Some(Value::Array(many)) => (None, many.as_slice()),
        one => (one, [].as_slice()),
    };
    one.into_iter().chain(many).filter_map(Value::as_str)
}

/// The values of an enumeration.
pub(crate) fn constants<'a>(arms: &[&'a Value]) -> Option<Vec<&'a str>> {
    let values: Vec<_> = arms
        .iter()
        .filter_map(|arm| arm.get("const")?.as_str())
        .collect();
    (!values.is_empty()).then_some(values)
}

/// The key whose value says which of several objects one is.
pub(crate) fn tag_of(schema: &Value) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    properties
        .iter()
        .find(|(_, property)| property.get("const").is_some())
        .map(|(key, _)| key.as_str())
}

/// The keys that an object must have.
pub(crate) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// A numeric constraint.
pub(crate) fn bound(schema: &Value, name: &str) -> Option<f64> {
    schema.get(name)?.as_f64()
}
