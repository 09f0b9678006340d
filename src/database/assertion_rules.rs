//! What an assertion may look like, and when a value meets it.

use std::fmt;

use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::error::{Result, fail};

/// A statement and what its value must be.
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    pub(crate) name: String,
    pub(super) sql: String,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Equals(Wanted),
    Range { min: Option<f64>, max: Option<f64> },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Null,
    Number(serde_json::Number),
    Text(String),
}

/// Whether a value met the expectation, and how it reads.
pub(super) enum Seen {
    Met(String),
    NotMet(String),
}

/// Reads a list of assertions; what is wrong with one is said with its name.
pub(crate) fn parse(list: &Value) -> Result<Vec<Assertion>> {
    let Some(list) = list.as_array() else {
        fail!(
            InvalidArgument,
            "assertions must be an array of {{ name, sql, equals | min | max }}"
        );
    };
    let mut assertions: Vec<Assertion> = Vec::new();
    for (position, value) in (1..).zip(list) {
        let assertion = parse_one(position, value)?;
        if assertions.iter().any(|known| known.name == assertion.name) {
            fail!(InvalidArgument, "two assertions have the name \"{}\"", assertion.name);
        }
        assertions.push(assertion);
    }
    Ok(assertions)
}

fn parse_one(position: usize, value: &Value) -> Result<Assertion> {
    let text = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.trim().is_empty())
    };
    let Some(name) = text("name") else {
        fail!(
            InvalidArgument,
            "assertion {position} must have a name, a non-empty string"
        );
    };
    let Some(sql) = text("sql") else {
        fail!(
            InvalidArgument,
            "the assertion \"{name}\" must have sql, a non-empty string"
        );
    };
    let fields = value.as_object().into_iter().flatten();
    if let Some((unknown, _)) = fields
        .into_iter()
        .find(|(field, _)| !["name", "sql", "equals", "min", "max"].contains(&field.as_str()))
    {
        fail!(
            InvalidArgument,
            "the assertion \"{name}\" has an unknown field \"{unknown}\""
        );
    }
    Ok(Assertion {
        name: name.to_owned(),
        sql: sql.to_owned(),
        expected: expected(name, value)?,
    })
}

fn expected(name: &str, value: &Value) -> Result<Expected> {
    let bound = |field: &str| match value.get(field) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => fail!(InvalidArgument, "{field} of the assertion \"{name}\" must be a number"),
    };
    let (min, max) = (bound("min")?, bound("max")?);
    match (value.get("equals"), min, max) {
        (Some(wanted), None, None) => Ok(Expected::Equals(match wanted {
            Value::Null => Wanted::Null,
            Value::Number(number) => Wanted::Number(number.clone()),
            Value::String(text) => Wanted::Text(text.clone()),
            _ => fail!(
                InvalidArgument,
                "equals of the assertion \"{name}\" must be a number, a string or null"
            ),
        })),
        (None, None, None) | (Some(_), _, _) => {
            fail!(
                InvalidArgument,
                "the assertion \"{name}\" must have equals, or min, max or both"
            )
        }
        (None, Some(min), Some(max)) if min > max => {
            fail!(InvalidArgument, "the assertion \"{name}\" has a min above its max")
        }
        (None, min, max) => Ok(Expected::Range { min, max }),
    }
}

impl Wanted {
    pub(super) fn equals(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::Null, ValueRef::Null) => true,
            (Self::Number(wanted), ValueRef::Integer(found)) if wanted.is_i64() => wanted.as_i64() == Some(found),
            (Self::Number(wanted), found) => number(found).is_some_and(|found| wanted.as_f64() == Some(found)),
            (Self::Text(wanted), ValueRef::Text(found)) => wanted.as_bytes() == found,
            _ => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(Wanted::Null) => f.write_str("null"),
            Self::Equals(Wanted::Number(wanted)) => write!(f, "{wanted}"),
            Self::Equals(Wanted::Text(wanted)) => write!(f, "the text \"{wanted}\""),
            Self::Range {
                min: Some(min),
                max: None,
            } => write!(f, "at least {min}"),
            Self::Range {
                min: None,
                max: Some(max),
            } => write!(f, "at most {max}"),
            Self::Range { min, max } => write!(f, "{} to {}", min.unwrap_or_default(), max.unwrap_or_default()),
        }
    }
}

/// Only what SQLite holds as a number: text that looks like one is a fault of its own.
#[expect(clippy::cast_precision_loss, reason = "a bound is a double")]
pub(super) fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        _ => None,
    }
}

/// A value for a report. Numbers are shown; texts and blobs are the application's data and stay there.
pub(super) fn describe(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("a text of {} bytes", text.len()),
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}
