//! Holds a JSON tree against the schema: collects everything that is wrong, and makes the value
//! that the types are read from.
//!
//! It knows the part of JSON schema that the types produce. Where RoutIR's reader is lenient, so is
//! it: a number may be written as a string, a whole number with a zero fraction, and true and false
//! as 1 and 0. What is wrong is replaced by something that fits, so that the rest can be checked.

use std::collections::HashMap;
use std::fmt::Display;

use routir_core::nearest;
use routir_dsl::is_name;
use serde_json::{Map, Value, json};

use crate::lenient::{as_bool, as_integer, as_number, kind_for, shown};
use crate::schema::{NAME, NAME_FORM};
use crate::shape::{ANY, Shape, bound, constants, kinds, required, tag_of};
use crate::tree::{Entry, Json, Node, Path, line_column};

/// Something wrong at a place in the text.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: Path,
    /// Where, in bytes.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Everything wrong with `root`, and the nearest value that fits `schema`.
pub(crate) fn validate(schema: &Value, text: &str, root: &Node) -> (Value, Vec<Fault>) {
    let mut validator = Validator {
        shape: Shape::new(schema),
        text,
        faults: Vec::new(),
    };
    let value = validator.value(schema, root, &Path::default());
    (value, validator.faults)
}

struct Validator<'a> {
    shape: Shape<'a>,
    text: &'a str,
    faults: Vec<Fault>,
}

impl<'a> Validator<'a> {
    fn value(&mut self, schema: &'a Value, node: &Node, path: &Path) -> Value {
        let arms = self.shape.arms(schema);
        if let Json::String(text) = &node.json
            && let Some(values) = constants(&arms)
        {
            return self.one_of(&values, text, schema, node, path);
        }
        if matches!(node.json, Json::Object(_))
            && let Some(tag) = arms.iter().find_map(|arm| tag_of(arm))
        {
            return self.tagged(tag, &arms, node, path);
        }
        if let Some((arm, kind)) = arms
            .iter()
            .find_map(|arm| Some((*arm, kind_for(arm, &node.json)?)))
        {
            return self.kind(kind, arm, node, path);
        }
        if arms.iter().all(|arm| kinds(arm).next().is_none()) {
            return self.kind("any", &ANY, node, path);
        }
        let wanted: Vec<_> = arms.iter().flat_map(|arm| kinds(arm)).map(noun).collect();
        self.fault(
            node,
            path,
            format!(
                "must be {}, not {}",
                wanted.join(" or "),
                shown_at(path, &node.json)
            ),
            None,
        );
        self.shape.stand_in(schema)
    }

    /// A value whose JSON type is right.
    fn kind(&mut self, kind: &str, schema: &'a Value, node: &Node, path: &Path) -> Value {
        match (&node.json, kind) {
            (Json::Object(entries), _) => self.object(schema, entries, node, path),
            (Json::Array(items), _) => {
                if items.is_empty() && bound(schema, "minItems").is_some_and(|least| least > 0.0) {
                    self.fault(node, path, "must not be empty", None);
                }
                let schema = schema.get("items").unwrap_or(&ANY);
                let each = |(i, item)| self.value(schema, item, &path.index(i));
                items.iter().enumerate().map(each).collect()
            }
            (Json::String(text), "string") => {
                if text.is_empty() && bound(schema, "minLength").is_some_and(|least| least > 0.0) {
                    self.fault(node, path, "must not be empty", None);
                }
                let letters = text.chars().count();
                if let Some(most) = bound(schema, "maxLength").filter(|&most| letters as f64 > most)
                {
                    let message = format!("must have at most {most} letters, not {letters}");
                    self.fault(node, path, message, None);
                }
                if schema.get("pattern").is_some_and(|form| form == NAME) && !is_name(text) {
                    self.fault(
                        node,
                        path,
                        format!("`{text}` is not a name"),
                        Some(NAME_FORM.to_owned()),
                    );
                }
                json!(text)
            }
            (_, "integer") => self.integer(schema, node, path),
            (_, "number") => self.number(schema, node, path),
            (_, "boolean") => json!(as_bool(&node.json)),
            _ => node.to_value(),
        }
    }

    fn integer(&mut self, schema: &'a Value, node: &Node, path: &Path) -> Value {
        let Some(value) = as_integer(&node.json) else {
            self.fault(
                node,
                path,
                format!("must be a whole number, not {}", shown_at(path, &node.json)),
                None,
            );
            return self.shape.stand_in(schema);
        };
        let (least, most) = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => (0, i128::from(u32::MAX)),
            Some("uint" | "uint64") => (0, i128::from(u64::MAX)),
            _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        let (least, most) = (
            bound(schema, "minimum").map_or(least, |bound| least.max(bound as i128)),
            bound(schema, "maximum").map_or(most, |bound| most.min(bound as i128)),
        );
        if value < least || value > most {
            self.out_of_bounds(value < least, &least, &most, node, path);
            return self.shape.stand_in(schema);
        }
        // One of the two holds it: the bounds above lie within them.
        u64::try_from(value).map_or_else(
            |_| json!(i64::try_from(value).unwrap_or_default()),
            Value::from,
        )
    }

    fn number(&mut self, schema: &'a Value, node: &Node, path: &Path) -> Value {
        let Some(value) = as_number(&node.json) else {
            self.fault(
                node,
                path,
                format!("must be a number, not {}", shown_at(path, &node.json)),
                None,
            );
            return self.shape.stand_in(schema);
        };
        let least = bound(schema, "minimum").unwrap_or(f64::MIN);
        let most = bound(schema, "maximum").unwrap_or(f64::MAX);
        if value < least || value > most {
            self.out_of_bounds(value < least, &least, &most, node, path);
            return self.shape.stand_in(schema);
        }
        json!(value)
    }

    fn object(&mut self, schema: &'a Value, entries: &[Entry], node: &Node, path: &Path) -> Value {
        let known = schema.get("properties").and_then(Value::as_object);
        let special = special(schema, node);
        let others = schema.get("additionalProperties");
        let mut object = Map::new();
        let mut seen = HashMap::new();
        for entry in entries {
            let path = path.key(&entry.key);
            if let Some(first) = seen.insert(&entry.key, entry.start) {
                let (line, _) = line_column(self.text, first);
                let message = format!("the key stands here twice, before on line {line}");
                self.fault_at(entry.start, &path, message, None);
            }
            let property = special.and_then(|special| special.get(&entry.key));
            let property = property.or_else(|| known?.get(&entry.key));
            let value = match (property, others) {
                (Some(schema), _) => self.value(schema, &entry.value, &path),
                (None, Some(Value::Bool(false))) => {
                    self.unknown(entry, known, &path);
                    continue;
                }
                (None, Some(schema @ Value::Object(_))) => self.value(schema, &entry.value, &path),
                (None, _) => self.value(&ANY, &entry.value, &path),
            };
            object.insert(entry.key.clone(), value);
        }
        for key in required(schema).filter(|key| node.get(key).is_none()) {
            self.fault(node, &path.key(key), "the key is missing", None);
            let schema = known.and_then(|known| known.get(key)).unwrap_or(&ANY);
            object.insert(key.to_owned(), self.shape.stand_in(schema));
        }
        Value::Object(object)
    }

    /// An object whose key `tag` says which of `arms` it is.
    fn tagged(&mut self, tag: &str, arms: &[&'a Value], node: &Node, path: &Path) -> Value {
        let constant = |arm: &&'a Value| arm.get("properties")?.get(tag)?.get("const")?.as_str();
        let values: Vec<_> = arms.iter().filter_map(constant).collect();
        let quoted = list(&values);
        let arm = match node.get(tag).map(|node| (node, &node.json)) {
            Some((_, Json::String(text))) if values.contains(&text.as_str()) => {
                arms.iter().find(|arm| constant(arm) == Some(text))
            }
            Some((node, _)) => {
                let message = format!("must be one of {quoted}, not {}", shown(&node.json));
                let help = match &node.json {
                    Json::String(text) => meant(text, &values),
                    _ => None,
                };
                self.fault(node, &path.key(tag), message, help);
                None
            }
            None => {
                let help = Some(format!("it is one of {quoted}"));
                self.fault(node, &path.key(tag), "the key is missing", help);
                None
            }
        };
        match (arm, &node.json) {
            (Some(arm), Json::Object(entries)) => self.object(arm, entries, node, path),
            _ => arms
                .first()
                .map_or(Value::Null, |arm| self.shape.stand_in(arm)),
        }
    }

    fn one_of(
        &mut self,
        values: &[&str],
        text: &str,
        schema: &'a Value,
        node: &Node,
        path: &Path,
    ) -> Value {
        if values.contains(&text) {
            return json!(text);
        }
        let message = format!("must be one of {}, not `{text}`", list(values));
        let default = || {
            let default = schema.get("default")?.as_str()?;
            Some(format!("leave the key out for the default, `{default}`"))
        };
        self.fault(node, path, message, meant(text, values).or_else(default));
        self.shape.stand_in(schema)
    }

    fn unknown(&mut self, entry: &Entry, known: Option<&Map<String, Value>>, path: &Path) {
        let known: Vec<_> = known
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        let help = meant(&entry.key, &known)
            .unwrap_or_else(|| format!("the keys here are {}", list(&known)));
        self.fault_at(entry.start, path, "unknown key", Some(help));
    }

    fn out_of_bounds<T: Display + PartialEq>(
        &mut self,
        low: bool,
        least: &T,
        most: &T,
        node: &Node,
        path: &Path,
    ) {
        let bound = match low {
            _ if least == most => least.to_string(),
            true => format!("at least {least}"),
            false => format!("at most {most}"),
        };
        self.fault(
            node,
            path,
            format!("must be {bound}, not {}", shown_at(path, &node.json)),
            None,
        );
    }

    fn fault(
        &mut self,
        node: &Node,
        path: &Path,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.fault_at(node.start, path, message, help);
    }

    fn fault_at(
        &mut self,
        offset: usize,
        path: &Path,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.faults.push(Fault {
            path: path.clone(),
            offset,
            message: message.into(),
            help,
        });
    }
}

/// The keys to which a schema's condition gives another meaning, when `node` meets it: that some
/// keys have certain values.
fn special<'a>(schema: &'a Value, node: &Node) -> Option<&'a Map<String, Value>> {
    let condition = schema.get("if")?.get("properties")?.as_object()?;
    let is_met = condition.iter().all(|(key, wanted)| {
        let value = node.get(key).map(|node| &node.json);
        matches!(value, Some(Json::String(text)) if wanted.get("const") == Some(&json!(text)))
    });
    is_met
        .then(|| schema.get("then")?.get("properties")?.as_object())
        .flatten()
}

/// A value as a message about what stands at `path` shows it.
fn shown_at(path: &Path, json: &Json) -> String {
    match json {
        Json::Number(_) if path.is_secret() => "a number".to_owned(),
        Json::String(_) if path.is_secret() => "a string".to_owned(),
        _ => shown(json),
    }
}

/// "did you mean", when a candidate is near.
fn meant(name: &str, candidates: &[&str]) -> Option<String> {
    nearest(name, candidates.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn noun(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    }
}
