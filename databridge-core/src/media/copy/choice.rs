//! What may be chosen for a copy, as other languages say it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;

use super::{
    Error, HardLinks, Options, Owner, Policy, Reader, Xattrs, parse_mode, parse_namespaces,
};
use crate::media::checksum::Algorithm;
use crate::media::manifest::List;

/// Permission bits as a number, or in octal as `"0644"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Bits {
    /// A number, for languages that can write octal ones.
    Number(u32),
    /// Octal.
    Text(String),
}

/// [`Options`] as names, numbers and texts. What is not said is as usual.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choice {
    /// Whether to go on from what an interrupted copy left.
    pub resume: bool,
    /// Digests besides the SHA-256.
    pub algorithms: Vec<Algorithm>,
    /// Bytes in a second at most.
    pub limit_bytes_per_second: Option<u64>,
    /// Files handled at a time.
    pub jobs: Option<NonZeroUsize>,
    /// Permissions of files.
    pub file_mode: Option<Bits>,
    /// Permissions of folders.
    pub dir_mode: Option<Bits>,
    /// Whether they are the source's instead.
    pub keep_mode: bool,
    /// Whether files keep their modification time.
    pub keep_mtime: bool,
    /// Whether folders do.
    pub keep_dir_mtime: bool,
    /// What becomes of hard links inside the source.
    pub hard_links: HardLinks,
    /// A list that says what the source is.
    pub manifest: Option<PathBuf>,
    /// Namespaces of extended attributes that come along.
    pub xattrs: Vec<String>,
    /// Whether access control lists come along.
    pub acls: bool,
    /// Whether attributes that the destination does not take are borne with.
    pub tolerate_attributes: bool,
    /// `USER`, `USER:GROUP` or `:GROUP`.
    pub owner: Option<String>,
    /// `group:NAME`, `user:NAME` or `others`.
    pub readable_by: Option<String>,
}

impl Default for Choice {
    fn default() -> Self {
        let (usual, policy) = (Options::default(), Policy::default());
        Self {
            resume: usual.resume,
            algorithms: usual.algorithms,
            limit_bytes_per_second: policy.limit_bytes_per_second,
            jobs: policy.jobs,
            file_mode: None,
            dir_mode: None,
            keep_mode: policy.keep_mode,
            keep_mtime: policy.keep_mtime,
            keep_dir_mtime: policy.keep_dir_mtime,
            hard_links: policy.hard_links,
            manifest: None,
            xattrs: Vec::new(),
            acls: policy.xattrs.acls,
            tolerate_attributes: policy.xattrs.tolerate,
            owner: None,
            readable_by: None,
        }
    }
}

fn mode(setting: &'static str, bits: Option<Bits>, usual: u32) -> Result<u32, Error> {
    match bits {
        None => Ok(usual),
        Some(Bits::Number(bits)) => parse_mode(setting, &format!("{bits:o}")),
        Some(Bits::Text(text)) => parse_mode(setting, &text),
    }
}

impl Choice {
    /// What it means.
    ///
    /// # Errors
    /// [`Error::Policy`]; a list that cannot be read.
    pub fn options(self) -> Result<Options, Error> {
        let usual = Policy::default();
        let policy = Policy {
            file_mode: mode("file_mode", self.file_mode, usual.file_mode)?,
            dir_mode: mode("dir_mode", self.dir_mode, usual.dir_mode)?,
            keep_mode: self.keep_mode,
            keep_mtime: self.keep_mtime,
            keep_dir_mtime: self.keep_dir_mtime,
            hard_links: self.hard_links,
            xattrs: Xattrs {
                namespaces: parse_namespaces(&self.xattrs.join(","))?,
                acls: self.acls,
                tolerate: self.tolerate_attributes,
            },
            owner: self.owner.as_deref().map(Owner::parse).transpose()?.unwrap_or_default(),
            reader: self.readable_by.as_deref().map(Reader::parse).transpose()?,
            limit_bytes_per_second: self.limit_bytes_per_second,
            jobs: self.jobs,
            reserve_bytes: usual.reserve_bytes,
        };
        let known = self.manifest.as_deref().map(List::read).transpose();
        Ok(Options {
            policy,
            known: known.map_err(Error::of_manifest)?,
            resume: self.resume,
            algorithms: self.algorithms,
            ..Options::default()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chosen(json: &str) -> Result<Options, String> {
        let choice: Choice = serde_json::from_str(json).map_err(|error| error.to_string())?;
        choice.options().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let options = chosen("{}").unwrap();
        assert_eq!(options.policy, Policy::default());
        assert!(options.resume && options.manifest.is_none());
    }

    #[test]
    fn hard_links_are_one_of_three() {
        let options = chosen(r#"{"hard_links": "keep"}"#).unwrap();
        assert_eq!(options.policy.hard_links, HardLinks::Keep);
        assert!(chosen(r#"{"hard_links": "soft"}"#).is_err());
        assert!(chosen(r#"{"manifest": "/nowhere/SUMS"}"#).is_err());
    }

    #[test]
    fn modes_are_numbers_or_octal_texts() {
        let options = chosen(r#"{"file_mode": 416, "dir_mode": "0750"}"#).unwrap();
        assert_eq!((options.policy.file_mode, options.policy.dir_mode), (0o640, 0o750));
        for bad in [r#"{"file_mode": "4755"}"#, r#"{"file_mode": 2541}"#, r#"{"oops": 1}"#] {
            assert!(chosen(bad).is_err(), "{bad}");
        }
    }
}
