//! How long the text in a call may be, whatever the call: one table, which the
//! interface's description shows and every call is held to. Domains ask for more where
//! a field means something.

use serde_json::Value;

use crate::base::error::{ErrorKind, Fault};

/// Characters of a text whose field has no limit of its own.
const ANY: usize = 10_000;

/// Characters of a text in a field of this name, wherever it stands.
const LONGEST: &[(&str, usize)] = &[
    ("actor", 128),
    ("after", 64),
    ("category", 64),
    ("chain", 64),
    ("code", 64),
    ("comment", 2000),
    ("display_name", 200),
    ("email", 254),
    ("flow", 64),
    ("from", 4096),
    ("hook", 64),
    ("host", 255),
    ("kind", 64),
    ("lot", 64),
    ("lot_code", 64),
    ("lot_type", 64),
    ("manifest_digest", 64),
    ("name", 64),
    ("new_password", 1024),
    ("note", 2000),
    ("notes", 2000),
    ("other", 64),
    ("owner", 128),
    ("parents", 64),
    ("password", 1024),
    ("path", 4096),
    ("project", 64),
    ("reason", 2000),
    ("role", 64),
    ("roles", 64),
    ("run", 64),
    ("run_code", 64),
    ("subject", 64),
    ("text", 200),
    ("title", 200),
    ("username", 64),
];

/// Levels of lists and objects in one another.
const DEEPEST: usize = 32;

/// A text that no field takes.
#[derive(Debug, thiserror::Error)]
#[error("{field} is not acceptable: {reason}")]
pub struct Unacceptable {
    /// Which field.
    pub field: String,
    /// Why not.
    pub reason: String,
}

impl Fault for Unacceptable {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
    fn code(&self) -> &str {
        "call.bad_field"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some("the interface's description, /api/docs, has the limits of every field".into())
    }
}

/// Characters that the text in a field of this name may have.
pub fn longest(field: &str) -> usize {
    LONGEST.iter().find(|(name, _)| *name == field).map_or(ANY, |(_, most)| *most)
}

/// Holds every text in a call's fields to its limit; none has control characters but
/// line breaks and tabs, which no database and no terminal takes well.
///
/// # Errors
/// [`Unacceptable`], naming the first.
pub fn check(fields: &Value) -> Result<(), Unacceptable> {
    within("the call", fields, 0)
}

/// Holds an idempotency key to what one may be: 1 to 255 visible ASCII characters or
/// spaces.
///
/// # Errors
/// [`Unacceptable`].
pub fn check_key(key: &str) -> Result<(), Unacceptable> {
    let fine = (1..=255).contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    let reason = "1 to 255 visible ASCII characters".to_owned();
    if fine { Ok(()) } else { Err(Unacceptable { field: "the idempotency key".into(), reason }) }
}

fn within(field: &str, value: &Value, depth: usize) -> Result<(), Unacceptable> {
    let bad = |reason: String| Err(Unacceptable { field: field.to_owned(), reason });
    if depth > DEEPEST {
        return bad(format!("it is nested deeper than {DEEPEST} levels"));
    }
    match value {
        Value::String(text) => {
            let most = longest(field);
            // Bytes first: they are at hand, and no fewer than characters.
            if text.len() > most && text.chars().count() > most {
                return bad(format!("it is longer than {most} characters"));
            }
            match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                Some(_) => bad("it has control characters".into()),
                None => Ok(()),
            }
        }
        Value::Array(items) => items.iter().try_for_each(|item| within(field, item, depth + 1)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            within("a name of a field", &Value::String(name.clone()), depth + 1)?;
            within(name, value, depth + 1)
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_count_characters_and_reach_every_level() {
        assert!(check(&json!({ "title": "é".repeat(200) })).is_ok());
        assert!(check(&json!({ "title": "é".repeat(201) })).is_err());
        assert!(check(&json!({ "lots": [{ "lot_code": "x".repeat(65) }] })).is_err());
        assert!(check(&json!({ "parents": ["x".repeat(65)] })).is_err());
        assert!(check(&json!({ "answers": { "a\0b": 1 } })).is_err());
        assert!(check(&json!({ "reason": "two\nlines" })).is_ok());
        assert!(check(&json!({ "reason": "nul\0" })).is_err());
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let deep = (0..DEEPEST + 2).fold(json!(1), |inner, _| json!([inner]));
        assert!(check(&deep).is_err());
    }
}
