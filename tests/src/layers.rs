//! The house plan as a check: imports point down only, domains do not know each
//! other, and SQL stands only where it may.

use std::fs;
use std::path::{Path, PathBuf};

/// The storeys of `databridge-core/src`, from the bottom; each may use those below
/// it and itself.
const STOREYS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("workflow", &["base"]),
    ("media", &["base"]),
    ("control", &["base", "workflow", "media"]),
    ("domains", &["base", "workflow", "media", "control"]),
    ("app", &["base", "workflow", "media", "control", "domains"]),
    ("remote", &["base", "workflow", "media", "control", "domains", "app"]),
];

/// What begins a statement, in a string.
const SQL: &[&str] =
    &["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM ", "\"CREATE TABLE "];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The first component of a path below the root, without `.rs`.
fn storey(relative: &Path) -> String {
    let first = relative.iter().next().unwrap_or_default().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn domain(relative: &Path) -> Option<String> {
    let mut parts = relative.iter().map(|p| p.to_string_lossy().into_owned());
    (parts.next()? == "domains")
        .then(|| parts.next())?
        .map(|d| d.trim_end_matches(".rs").to_owned())
}

/// Names after each `crate::` in a line of code.
fn uses(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn may_hold_sql(relative: &Path) -> bool {
    relative.starts_with("control/db")
        || relative.iter().any(|part| part == "sql.rs" || part == "sql")
}

/// Everything below `root` that breaks the plan, one line each.
///
/// # Errors
/// Where the tree cannot be read.
pub fn violations(root: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    sources(root, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let relative = file.strip_prefix(root).unwrap_or(&file);
        let here = storey(relative);
        let Some((_, below)) = STOREYS.iter().find(|(name, _)| *name == here) else {
            if here != "lib" {
                found.push(format!("{}: {here} is no storey of the house", relative.display()));
            }
            continue;
        };
        for (number, line) in fs::read_to_string(&file)?.lines().enumerate() {
            let place = format!("{}:{}", relative.display(), number + 1);
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            for used in uses(code) {
                let target = used.split("::").next().unwrap_or_default();
                let known = STOREYS.iter().any(|(name, _)| *name == target);
                if known && target != here && !below.contains(&target) {
                    found.push(format!("{place}: {here} uses {target}, which is not below it"));
                }
                if let (Some(own), Some(other)) = (domain(relative), used.strip_prefix("domains::"))
                    && other.split("::").next() != Some(own.as_str())
                {
                    found.push(format!("{place}: domain {own} uses domain {other}"));
                }
            }
            if SQL.iter().any(|statement| code.contains(statement)) && !may_hold_sql(relative) {
                found.push(format!("{place}: SQL outside control/db and sql.rs"));
            }
        }
    }
    Ok(found)
}
