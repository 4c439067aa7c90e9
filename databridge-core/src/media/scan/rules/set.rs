//! Rules, compiled for what they are shown.

use std::path::{Path, PathBuf};

use boreal::MetadataValue;
use boreal::compiler::{Compiler, CompilerParams};
use boreal::scanner::EvaluatedRule;

use crate::media::checksum::Sha256;
use crate::media::scan::{ContentPolicy, Error, Said, Verdict};

const HEAD: (&str, &str) = ("databridge/head.yar", include_str!("head.yar"));
const EVERYWHERE: (&str, &str) = ("databridge/everywhere.yar", include_str!("everywhere.yar"));
const DOCUMENTS: (&str, &str) = ("databridge/documents.yar", include_str!("documents.yar"));
const SCENES: (&str, &str) = ("databridge/scenes.yar", include_str!("scenes.yar"));

/// Compiled rules. A studio's own are in both `essence` and `full`.
#[derive(Debug)]
pub(super) struct Set {
    /// For the beginning of every file.
    pub head: boreal::Scanner,
    /// For all of a file that certainly is pictures, sound or geometry: few rules, so that frames
    /// are read about as fast as they are digested.
    pub essence: boreal::Scanner,
    /// For all of any other file.
    pub full: boreal::Scanner,
    /// Of all their texts.
    pub digest: Sha256,
}

impl Set {
    pub fn compile(studio: &[(PathBuf, String)]) -> Result<Self, Error> {
        let mut text = Vec::new();
        for (_, shipped) in [HEAD, EVERYWHERE, DOCUMENTS, SCENES] {
            text.extend_from_slice(shipped.as_bytes());
        }
        for (path, rules) in studio {
            text.extend_from_slice(path.file_name().unwrap_or_default().as_encoded_bytes());
            text.extend_from_slice(&[0]);
            text.extend_from_slice(rules.as_bytes());
        }
        Ok(Self {
            head: compile(&[HEAD], &[])?,
            essence: compile(&[EVERYWHERE], studio)?,
            full: compile(&[EVERYWHERE, DOCUMENTS, SCENES], studio)?,
            digest: Sha256::of(&text),
        })
    }
}

fn compile(
    shipped: &[(&str, &str)],
    studio: &[(PathBuf, String)],
) -> Result<boreal::Scanner, Error> {
    let mut compiler = Compiler::new();
    // Each file stands for itself, so that the digest is of all that counts.
    compiler.set_params(CompilerParams::default().disable_includes(true));
    compiler.define_symbol("extension", "");
    compiler.define_symbol("filename", "");
    compiler.define_symbol("media", false);
    compiler.define_symbol("scene_scripts", false);
    for (name, rules) in shipped {
        add(&mut compiler, rules, name, Path::new(name))?;
    }
    for (path, rules) in studio {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        add(&mut compiler, rules, &name, path)?;
    }
    Ok(compiler.finalize())
}

fn add(compiler: &mut Compiler, rules: &str, namespace: &str, path: &Path) -> Result<(), Error> {
    compiler.add_rules_str_in_namespace(rules, namespace).map(drop).map_err(|error| {
        // The compiler calls a text without a file "mem".
        let message = error.to_string();
        let message = message.strip_prefix("mem:").map_or(message.clone(), |m| format!("line {m}"));
        Error::Rules { path: path.to_path_buf(), message }
    })
}

/// What a rule that matched says; `None` where the policy waives it.
pub(super) fn said(
    scanner: &boreal::Scanner,
    rule: &EvaluatedRule<'_>,
    policy: &ContentPolicy,
) -> Option<Said> {
    let meta = |key: &str| {
        rule.metadatas.iter().find_map(|meta| match meta.value {
            MetadataValue::Bytes(value) if scanner.get_string_symbol(meta.name) == key => {
                Some(String::from_utf8_lossy(scanner.get_bytes_symbol(value)).into_owned())
            }
            _ => None,
        })
    };
    // Nobody waives malware.
    let verdict = match meta("verdict").as_deref() {
        Some("infected") => {
            Verdict::Infected { name: meta("name").unwrap_or_else(|| rule.name.to_owned()) }
        }
        _ => policy.verdict(rule.name)?,
    };
    let mut why = meta("description").unwrap_or_else(|| format!("rule {}", rule.name));
    let more = [("severity", meta("severity")), ("source", meta("source"))];
    for (key, value) in more.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        why = format!("{why}; {key}: {value}");
    }
    let why = Some(format!("{why} ({})", rule.namespace));
    Some(Said { verdict, why })
}
