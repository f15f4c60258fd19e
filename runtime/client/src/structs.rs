//! JSON arguments as the `google.protobuf.Struct` that carries them.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Proto};
use serde_json::{Map, Value};

/// The arguments but for those with `fields` of their own that hold text; `None` when there are
/// none.
pub(crate) fn to_struct(arguments: &Map<String, Value>, fields: &[&str]) -> Option<Struct> {
    let in_field = |name: &str, value: &Value| fields.contains(&name) && value.is_string();
    let members = arguments
        .iter()
        .filter(|(name, value)| !in_field(name, value));
    let members: std::collections::BTreeMap<_, _> = members
        .map(|(name, value)| (name.clone(), to_value(value)))
        .collect();
    (!members.is_empty()).then_some(Struct {
        fields: members.into_iter().collect(),
    })
}

/// An argument that has a field of its own, if it holds text.
pub(crate) fn text_of(arguments: &Map<String, Value>, name: &str) -> Option<String> {
    arguments.get(name)?.as_str().map(str::to_owned)
}

/// Recurses as deep as the value is nested, which the parser that made it has bounded. Numbers
/// become 64-bit floats: the wire has no others.
fn to_value(value: &Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_value).collect(),
        }),
        Value::Object(members) => Kind::StructValue(to_struct(members, &[]).unwrap_or_default()),
    };
    Proto { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_with_fields_of_their_own_stand_there_only() {
        let arguments = json!({"subset": "en", "instruction": 5, "k1": 1.5, "deep": {"a": [null]}});
        let arguments = arguments.as_object().unwrap();
        let fields = ["subset", "instruction"];
        let rest = to_struct(arguments, &fields).unwrap();
        // What is no text is no field's.
        assert_eq!(
            rest.fields.keys().collect::<Vec<_>>(),
            ["deep", "instruction", "k1"]
        );
        assert_eq!(text_of(arguments, "subset").as_deref(), Some("en"));
        assert_eq!(text_of(arguments, "instruction"), None);
        assert_eq!(to_struct(&Map::new(), &fields), None);
    }
}
