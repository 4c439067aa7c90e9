//! `{project}/{sequence}/{shot}/v{version:03}`: a path with fields in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest template.
const LONGEST: usize = 512;
/// Names in a path.
const DEEPEST: usize = 16;

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// What a field says.
    Field {
        /// Which.
        name: String,
        /// A number is filled up with zeros to so many digits.
        digits: Option<usize>,
    },
}

/// A path with fields in it: names between slashes, each of pieces. What stands outside
/// of braces is letters, digits, dots, underscores and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(pub(super) Vec<Vec<Piece>>);

impl Default for Template {
    fn default() -> Self {
        let name = |name: &str| vec![Piece::Field { name: name.to_owned(), digits: None }];
        Self(["project", "category", "code"].map(name).to_vec())
    }
}

/// Whether a field may be called that.
pub(super) fn is_field(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(letters)
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a template has at most {LONGEST} bytes"));
        }
        let wrong = |why: String| format!("{text:?}: {why}");
        let names: Vec<_> = text.split('/').map(name).collect::<Result<_, _>>().map_err(wrong)?;
        match names.len() {
            0..=DEEPEST => Ok(Self(names)),
            _ => Err(wrong(format!("a path has at most {DEEPEST} names"))),
        }
    }

    /// Every field in it, with the digits that it asks for.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        self.0.iter().flatten().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Field { name, digits } => Some((name.as_str(), *digits)),
        })
    }

    /// The path, filled in; or the fields without a value, each once.
    pub(super) fn fill(
        &self,
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Vec<String>> {
        let mut missing: Vec<String> = Vec::new();
        let mut path = String::new();
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                path.push('/');
            }
            for piece in name {
                match piece {
                    Piece::Text(text) => path.push_str(text),
                    Piece::Field { name, digits } => match value(name) {
                        Some(text) => {
                            let zeros = digits.unwrap_or(0).saturating_sub(text.len());
                            path.extend(std::iter::repeat_n('0', zeros));
                            path.push_str(&text);
                        }
                        None if missing.contains(name) => {}
                        None => missing.push(name.clone()),
                    },
                }
            }
        }
        if missing.is_empty() { Ok(path) } else { Err(missing) }
    }
}

/// The pieces of one name.
fn name(text: &str) -> Result<Vec<Piece>, String> {
    if text.is_empty() {
        return Err("there is nothing between two slashes, or at an end".into());
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('{') {
            let Some((inside, after)) = inside.split_once('}') else {
                return Err("a brace is not closed".into());
            };
            pieces.push(field(inside)?);
            rest = after;
            continue;
        }
        let end = rest.find('{').unwrap_or(rest.len());
        let (plain, after) = rest.split_at(end);
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if let Some(odd) = plain.chars().find(|c| !fits(*c)) {
            return Err(format!(
                "{odd:?} is no letter, digit, dot, underscore or hyphen, nor in braces"
            ));
        }
        if pieces.is_empty() && !plain.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(format!("{text}: a name begins with a letter, a digit or a field"));
        }
        pieces.push(Piece::Text(plain.to_owned()));
        rest = after;
    }
    Ok(pieces)
}

/// `shot`, or `version:03`.
fn field(text: &str) -> Result<Piece, String> {
    let (name, digits) = match text.split_once(':') {
        None => (text, None),
        Some((name, digits)) => {
            let count = digits.strip_prefix('0').and_then(|count| count.parse::<usize>().ok());
            match count {
                Some(count @ 1..=9) => (name, Some(count)),
                _ => return Err(format!("{{{text}}}: digits are written as in {{version:03}}")),
            }
        }
    };
    if !is_field(name) {
        return Err(format!("{{{text}}} names no field: lower-case letters, digits, underscores"));
    }
    Ok(Piece::Field { name: name.to_owned(), digits })
}

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            for piece in name {
                match piece {
                    Piece::Text(text) => f.write_str(text)?,
                    Piece::Field { name, digits: None } => write!(f, "{{{name}}}")?,
                    Piece::Field { name, digits: Some(count) } => write!(f, "{{{name}:0{count}}}")?,
                }
            }
        }
        Ok(())
    }
}
