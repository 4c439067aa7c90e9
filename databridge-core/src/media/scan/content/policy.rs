//! What may pass, by project and category.

use serde::{Deserialize, Serialize};

use super::super::{Error, Verdict};
use super::kinds;

/// What files may be, `[scan.content]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Kinds (`exr`, `mov`) and families (`image`, `video`) that may pass; empty
    /// for any.
    pub allow: Vec<String>,
    /// Rules whose findings stop a file like malware: quarantine, and release
    /// only by an admin. `content.*` stands for all that begin so.
    pub refuse: Vec<String>,
    /// Rules whose findings count for nothing. Reports and receipts name them.
    pub waive: Vec<String>,
    /// Whether Python and shell calls in scene files (`.nk`, `.ma`, …) are
    /// findings, beside malware that is known by name.
    pub scene_scripts: bool,
    /// How far archives are opened.
    pub archives: Limits,
    /// What differs for a project or a category. All that match are applied, in
    /// their order; what a later one sets replaces what stood.
    pub rule: Vec<Rule>,
}

/// How far an archive is opened, with everything inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Archives within archives.
    pub depth: u32,
    /// Entries of one file, all depths together.
    pub entries: u64,
    /// Unpacked bytes of one file, all depths together.
    pub unpacked_bytes: u64,
    /// Unpacked bytes to one packed, once more than 1 MiB came out.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 4, entries: 100_000, unpacked_bytes: 4 << 30, ratio: 200 }
    }
}

/// What differs for a project or a category.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The project's code; any if not given.
    pub project: Option<String>,
    /// The category; any if not given.
    pub category: Option<String>,
    /// Instead of [`Policy::allow`].
    pub allow: Option<Vec<String>>,
    /// Instead of [`Policy::refuse`].
    pub refuse: Option<Vec<String>>,
    /// Instead of [`Policy::waive`].
    pub waive: Option<Vec<String>>,
    /// Instead of [`Policy::scene_scripts`].
    pub scene_scripts: Option<bool>,
    /// Instead of the scan policy's `allow_executables`.
    pub allow_executables: Option<bool>,
}

impl Policy {
    /// What a finding of `rule` comes to; `None` where it does not count.
    pub(in super::super) fn verdict(&self, rule: &str) -> Option<Verdict> {
        let names = |listed: &[String]| {
            listed.iter().any(|name| match name.strip_suffix('*') {
                Some(start) => rule.starts_with(start),
                None => name == rule,
            })
        };
        if names(&self.refuse) {
            return Some(Verdict::Infected { name: rule.to_owned() });
        }
        (!names(&self.waive)).then(|| Verdict::Suspicious { rule: rule.to_owned() })
    }

    /// Whether every name in the allow-lists means something.
    pub(super) fn check(&self) -> Result<(), Error> {
        let more = self.rule.iter().filter_map(|rule| rule.allow.as_ref());
        let mut names = std::iter::once(&self.allow).chain(more).flatten();
        match names.find(|name| !kinds::is_known(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Setting { what: "allowed kind of file", text: name.clone() }),
        }
    }

    /// Applies the rules for a project and a category, and forgets all of them.
    /// Answers whether programs may pass, where a rule says so.
    pub(in super::super) fn narrow(&mut self, project: &str, category: &str) -> Option<bool> {
        let is = |want: &Option<String>, is: &str| want.as_deref().is_none_or(|want| want == is);
        let mut allow_executables = None;
        for rule in std::mem::take(&mut self.rule) {
            if !is(&rule.project, project) || !is(&rule.category, category) {
                continue;
            }
            self.allow = rule.allow.unwrap_or(std::mem::take(&mut self.allow));
            self.refuse = rule.refuse.unwrap_or(std::mem::take(&mut self.refuse));
            self.waive = rule.waive.unwrap_or(std::mem::take(&mut self.waive));
            self.scene_scripts = rule.scene_scripts.unwrap_or(self.scene_scripts);
            allow_executables = rule.allow_executables.or(allow_executables);
        }
        allow_executables
    }
}
