//! Where deliveries belong in production: a template for each project and category. It
//! is filled in once, when a transfer is made, and the path is the transfer's own from
//! then on: whatever the templates become, what was approved goes where it was to go.

mod template;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use template::Template;

use super::Error;
use super::types::check_name;
use crate::media::mounts::is_device;
use crate::media::storage::RelPath;

/// The longest name in a path: what is written beside a delivery under hidden names
/// made of it still fits `NAME_MAX`.
const LONGEST_NAME: usize = 128;
/// The longest path: with a root before it and a frame's path behind it, it stays below
/// what an object key may have (1,024 bytes).
const LONGEST_PATH: usize = 480;
/// The highest number.
const HIGHEST: u32 = 999_999_999;

/// What the path of every delivery may consist of.
const GIVEN: [&str; 3] = ["project", "category", "code"];

/// What else is known without a word in the configuration.
const KNOWN: [(&str, Kind); 8] = [
    ("asset", Kind::Name),
    ("episode", Kind::Name),
    ("sequence", Kind::Name),
    ("shot", Kind::Name),
    ("task", Kind::Name),
    ("take", Kind::Number),
    ("vendor", Kind::Name),
    ("version", Kind::Number),
];

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A name: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
    Name,
    /// A number from 0 to 999,999,999.
    Number,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Meta {
    /// Of a number.
    Number(u32),
    /// Of a name; a number as text is one, too.
    Text(String),
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What is known of a transfer besides its project and category: fields by name.
pub type Metadata = BTreeMap<String, Meta>;

/// Where deliveries belong, `[layout]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// Where no rule says otherwise.
    pub template: Template,
    /// What differs for a project or a category; the last that matches counts.
    pub rule: Vec<Rule>,
    /// The studio's own fields, by name.
    pub fields: BTreeMap<String, Kind>,
}

/// Where the deliveries of a project or a category belong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The project's code; any if not given.
    #[serde(default)]
    pub project: Option<String>,
    /// The category; any if not given.
    #[serde(default)]
    pub category: Option<String>,
    /// Where they belong.
    pub template: Template,
}

impl Layout {
    /// Whether every template names only fields that there are.
    ///
    /// # Errors
    /// The setting, and why it is none.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for name in self.fields.keys() {
            if GIVEN.contains(&name.as_str()) || KNOWN.iter().any(|(known, _)| known == name) {
                return Err(("layout.fields", format!("{name} is a field already")));
            }
            if !template::is_field(name) {
                return Err(("layout.fields", format!("{name:?} is no name of a field")));
            }
        }
        let rules = self.rule.iter().map(|rule| ("layout.rule", &rule.template));
        for (setting, template) in std::iter::once(("layout.template", &self.template)).chain(rules)
        {
            for (name, digits) in template.fields() {
                let kind = match GIVEN.contains(&name) {
                    true => Some(Kind::Name),
                    false => self.kind(name),
                };
                let wrong = match kind {
                    None => format!("{template}: there is no field {name}"),
                    Some(Kind::Name) if digits.is_some() => {
                        format!("{template}: {name} is a name and has no digits")
                    }
                    Some(_) => continue,
                };
                return Err((setting, wrong));
            }
        }
        Ok(())
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let known = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        known.or_else(|| self.fields.get(name).copied())
    }

    /// The fields that may be given, for people.
    fn known(&self) -> String {
        let mut names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        names.extend(self.fields.keys().map(String::as_str));
        names.sort_unstable();
        names.join(", ")
    }

    /// The template for a project and a category.
    pub fn template(&self, project: &str, category: &str) -> &Template {
        let is = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|want| want == is);
        let fits = |rule: &&Rule| is(&rule.project, project) && is(&rule.category, category);
        self.rule.iter().rev().find(fits).map_or(&self.template, |rule| &rule.template)
    }

    /// Holds what was given to what the fields are; numbers that came as text are
    /// numbers then.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::BadField`].
    pub fn admit(&self, given: &Metadata) -> Result<Metadata, Error> {
        let admit = |(name, value): (&String, &Meta)| {
            let bad = |reason: &str| Error::BadField {
                field: "metadata",
                value: format!("{name}={value}"),
                reason: reason.to_owned(),
            };
            let admitted = match (self.kind(name), value) {
                (None, _) => {
                    return Err(Error::UnknownField { name: name.clone(), known: self.known() });
                }
                (Some(Kind::Name), Meta::Text(text)) => {
                    check_name("metadata", text)?;
                    value.clone()
                }
                (Some(Kind::Name), Meta::Number(_)) => return Err(bad("it takes a text")),
                (Some(Kind::Number), Meta::Number(number)) => Meta::Number(*number),
                (Some(Kind::Number), Meta::Text(text)) => match text.parse() {
                    Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Meta::Number(number),
                    _ => return Err(bad("it takes a number")),
                },
            };
            match admitted {
                Meta::Number(number) if number > HIGHEST => {
                    Err(bad("the highest number is 999999999"))
                }
                admitted => Ok((name.clone(), admitted)),
            }
        };
        given.iter().map(admit).collect()
    }

    /// Where a delivery belongs, relative to production's root.
    ///
    /// # Errors
    /// [`Error::MissingField`], [`Error::BadPath`].
    pub fn path(
        &self,
        project: &str,
        category: &str,
        code: &str,
        metadata: &Metadata,
    ) -> Result<String, Error> {
        let template = self.template(project, category);
        let value = |name: &str| match name {
            "project" => Some(project.to_owned()),
            "category" => Some(category.to_owned()),
            "code" => Some(code.to_owned()),
            name => metadata.get(name).map(Meta::to_string),
        };
        let path = template.fill(value).map_err(|missing| Error::MissingField {
            delivery: format!("{project}/{category}"),
            template: template.to_string(),
            missing: missing.join(", "),
        })?;
        check_path(&path)?;
        Ok(path)
    }
}

/// The same for two paths that some file system would take for one. Every path here is
/// ASCII.
pub(super) fn key(path: &str) -> String {
    path.to_ascii_lowercase()
}

/// What is above a path: `a/b/c` has `a` and `a/b`.
pub(super) fn above(path: &str) -> Vec<&str> {
    path.match_indices('/').map(|(at, _)| &path[..at]).collect()
}

/// Whether each client could have a folder of that path, and nothing of ours would stand
/// in it.
fn check_path(path: &str) -> Result<(), Error> {
    let bad = |reason: String| Err(Error::BadPath { path: path.to_owned(), reason });
    if let Err(flaw) = RelPath::check(path.as_bytes()) {
        return bad(flaw.to_string());
    }
    if path.len() > LONGEST_PATH {
        return bad(format!("it is longer than {LONGEST_PATH} bytes"));
    }
    for name in path.split('/') {
        let lower = name.to_ascii_lowercase();
        if name.len() > LONGEST_NAME {
            return bad(format!("{name} is longer than {LONGEST_NAME} bytes"));
        }
        if name.starts_with('.') {
            return bad(format!("{name} would be hidden"));
        }
        if name.ends_with('.') {
            return bad(format!("{name}: Windows has no names that end in a dot"));
        }
        if is_device(&lower) {
            return bad(format!("{name} is a device's name on Windows"));
        }
        if [".proof", ".manifest.json"].iter().any(|ours| lower.ends_with(ours)) {
            return bad(format!("{name} is kept for what stands beside a delivery"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
