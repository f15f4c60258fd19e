//! What a request says to an engine beyond query and limit, and what an engine says it understands.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, Result, nearest, shorten, shown};

static EMPTY: LazyLock<Arc<Map<String, Value>>> = LazyLock::new(Arc::default);

/// Extra arguments of one call, by name. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Params(Arc<Map<String, Value>>);

impl Default for Params {
    fn default() -> Self {
        Self(Arc::clone(&EMPTY))
    }
}

impl From<Map<String, Value>> for Params {
    fn from(map: Map<String, Value>) -> Self {
        if map.is_empty() {
            Self::default()
        } else {
            Self(Arc::new(map))
        }
    }
}

impl Params {
    /// The arguments as a JSON object.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The argument `name`; a JSON null counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The argument `name` as a number; numeric strings count, as RoutIR's engines accept them.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidArgument`] when it is something else.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => as_number(value).map(Some).ok_or_else(|| {
                Error::invalid(format!("`{name}` must be a number, not {}", shown(value)))
            }),
        }
    }

    /// The argument `name` as a whole number that is not negative.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidArgument`] when it is something else.
    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        self.get(name)
            .map(|value| {
                as_count(value).ok_or_else(|| {
                    Error::invalid(format!(
                        "`{name}` must be a whole number of at least 0, not {}",
                        shown(value)
                    ))
                })
            })
            .transpose()
    }

    /// The argument `name` as a list of numbers; numeric strings count, as in [`Params::number`].
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidArgument`] when it is something else.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let numbers = value
            .as_array()
            .and_then(|list| list.iter().map(as_number).collect());
        match numbers {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(Error::invalid(format!(
                "`{name}` must be a list of numbers, not {}",
                shown(value)
            ))),
        }
    }

    /// The argument `name` as text.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidArgument`] when it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(Error::invalid(format!(
                "`{name}` must be a string, not {}",
                shown(value)
            ))),
        }
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

fn as_count(value: &Value) -> Option<usize> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .or_else(|| {
                number
                    .as_f64()
                    .filter(|n| n.fract() == 0.0 && (0.0..=4e15).contains(n))
                    .map(|n| n as usize)
            }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ParamKind {
    /// A number.
    Number,
    /// A whole number of at least 0.
    Count,
    /// A string.
    Text,
    /// True or false.
    Flag,
    /// A list of numbers.
    Numbers,
    /// Any JSON.
    Any,
}

impl ParamKind {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Number => as_number(value).is_some(),
            Self::Count => as_count(value).is_some(),
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Numbers => value
                .as_array()
                .is_some_and(|list| list.iter().all(|v| as_number(v).is_some())),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Count => "a whole number of at least 0",
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Numbers => "a list of numbers",
            Self::Any => "any JSON",
        }
    }
}

/// One parameter that an engine understands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamSpec {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: ParamKind,
    /// What it does, with unit and default.
    pub doc: Cow<'static, str>,
}

impl ParamSpec {
    /// A parameter of a native engine.
    #[must_use]
    pub const fn new(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
            doc: Cow::Borrowed(doc),
        }
    }
}

/// The parameters that an engine understands in one role.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamsSpec {
    /// It does not say: everything is handed on (a relay, say).
    Open,
    /// These and no others.
    Known(Vec<ParamSpec>),
}

impl ParamsSpec {
    /// No parameters at all.
    #[must_use]
    pub fn none() -> Self {
        Self::Known(Vec::new())
    }

    /// Exactly these parameters.
    #[must_use]
    pub fn known(specs: &[ParamSpec]) -> Self {
        Self::Known(specs.to_vec())
    }

    /// Everything wrong with `params`: unknown names (with the nearest known one) and wrong types.
    #[must_use]
    pub fn check(&self, params: &Params) -> Vec<String> {
        let Self::Known(specs) = self else {
            return Vec::new();
        };
        let problem = |(name, value): (&String, &Value)| {
            let Some(spec) = specs.iter().find(|spec| spec.name == name.as_str()) else {
                let known: Vec<_> = specs.iter().map(|spec| spec.name.as_ref()).collect();
                let hint = match (nearest(name, known.iter().copied()), known.is_empty()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, true) => "it takes none".to_owned(),
                    (None, false) => format!("known: {}", known.join(", ")),
                };
                return Some(format!("unknown parameter `{}`; {hint}", shorten(name)));
            };
            (!value.is_null() && !spec.kind.accepts(value)).then(|| {
                format!(
                    "`{name}` must be {}, not {}",
                    spec.kind.describe(),
                    shown(value)
                )
            })
        };
        params.as_map().iter().filter_map(problem).collect()
    }
}
