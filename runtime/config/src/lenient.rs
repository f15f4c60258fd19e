//! What counts as a number, a truth value or a string: as RoutIR's reader takes them.

use serde_json::Value;

use crate::shape::kinds;
use crate::tree::Json;

/// Which of the types of `schema` the value is, an exact one before one that it can be read as.
pub(crate) fn kind_for<'a>(schema: &'a Value, json: &Json) -> Option<&'a str> {
    let exact = |kind: &&str| match json {
        Json::Null => *kind == "null",
        Json::Bool(_) => *kind == "boolean",
        Json::Number(_) => matches!(*kind, "integer" | "number"),
        Json::String(_) => *kind == "string",
        Json::Array(_) => *kind == "array",
        Json::Object(_) => *kind == "object",
    };
    let readable = |kind: &&str| match *kind {
        "integer" => as_integer(json).is_some(),
        "number" => as_number(json).is_some(),
        "boolean" => as_bool(json).is_some(),
        _ => false,
    };
    kinds(schema)
        .find(exact)
        .or_else(|| kinds(schema).find(readable))
}

/// A whole number, also as a string or with a zero fraction.
pub(crate) fn as_integer(json: &Json) -> Option<i128> {
    let whole = |value: f64| {
        // Beyond 2^53 a float says nothing about its last digits.
        (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
    };
    match json {
        Json::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .or_else(|| number.as_f64().and_then(whole)),
        Json::String(text) => {
            let text = text.trim();
            text.parse()
                .ok()
                .or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    }
}

/// A finite number, also as a string.
pub(crate) fn as_number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// A truth value, also as 1 and 0 or as a string.
pub(crate) fn as_bool(json: &Json) -> Option<bool> {
    match json {
        Json::Bool(value) => Some(*value),
        Json::Number(_) => match as_integer(json)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A value as a message shows it, cut when it is long.
pub(crate) fn shown(json: &Json) -> String {
    const MOST: usize = 40;
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(value) => value.to_string(),
        Json::String(text) if text.chars().count() > MOST => {
            format!(
                "the string {:?}…",
                text.chars().take(MOST).collect::<String>()
            )
        }
        Json::String(text) => format!("the string {text:?}"),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}
