//! What a studio lets pass although it is not clean.

use serde::{Deserialize, Serialize};

use super::{Reason, Verdict};
use crate::media::storage::RelPath;

/// One kind of file, and what may be said of it without anybody deciding. It
/// never covers malware, and no file that could not be looked at at all. It is part of the
/// policy, and so of every report and receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Extensions in lower case, without the dot.
    pub extensions: Vec<String>,
    /// Reasons of `not_scanned`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Rules of `suspicious`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Why; people read it on the receipt.
    pub why: String,
}

impl Accept {
    /// Whether it covers everything but clean that was said about this file.
    pub(super) fn covers(&self, path: &RelPath, said: &[Verdict]) -> bool {
        let extension = super::scanner::extension(path);
        self.extensions.contains(&extension) && said.iter().all(|verdict| self.allows(verdict))
    }

    fn allows(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Clean => true,
            Verdict::NotScanned { reason } => self.reasons.contains(reason),
            Verdict::Suspicious { rule } => self.rules.contains(rule),
            Verdict::Error { .. } | Verdict::Infected { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn only_what_is_named_is_covered() {
        let accept = Accept {
            extensions: vec!["exr".into()],
            reasons: vec![Reason::TooLarge],
            rules: vec!["odd".into()],
            why: "frames of our own farm".into(),
        };
        let path = |name: &str| RelPath::parse(name).unwrap();
        let large = Verdict::not_scanned(Reason::TooLarge);
        let odd = Verdict::Suspicious { rule: "odd".into() };
        let bad = Verdict::Infected { name: "X".into() };
        for (name, said, expected) in [
            ("a.exr", vec![large.clone()], true),
            ("sub/A.EXR", vec![large.clone(), odd], true),
            ("a.zip", vec![large.clone()], false),
            ("a.exr", vec![large.clone(), bad], false),
            ("a.exr", vec![Verdict::error("no")], false),
            ("a.exr", vec![Verdict::not_scanned(Reason::Encrypted)], false),
            ("a.exr", vec![Verdict::Suspicious { rule: "other".into() }], false),
        ] {
            assert_eq!(accept.covers(&path(name), &said), expected, "{name} {said:?}");
        }
    }
}
