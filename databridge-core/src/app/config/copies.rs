//! How files are written into production, and when.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::base::schedule::Schedule;
use crate::control::jobs::Windows;
use crate::media::copy::{Owner, Policy, Reader, parse_group, parse_mode, parse_user};
use crate::media::delivery::Method;
use crate::media::rsync;

/// How files are written into production, and when. What an upload brings is bytes
/// and times: there are no attributes or modes of an artist's own to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CopyConfig {
    /// Permissions of folders, octal.
    pub dir_mode: String,
    /// Permissions of files, octal.
    pub file_mode: String,
    /// Whether files keep their modification time.
    pub keep_mtime: bool,
    /// The user whom deliveries are given to, by name or number.
    pub owner: Option<String>,
    /// The group, by name or number.
    pub group: Option<String>,
    /// Who must be able to read a delivery: `group:NAME`, `user:NAME` or `others`.
    pub readable_by: Option<String>,
    /// Files handled at a time by one copy; else what the device does best.
    pub jobs: Option<NonZeroUsize>,
    /// At most so many bytes a second, for each copy.
    pub limit_bytes_per_second: Option<u64>,
    /// The same for all copies of this host together.
    pub host_limit_bytes_per_second: Option<u64>,
    /// When copies go at full speed: `mon-fri 19:00-07:00`. Always, where none is given.
    pub windows: Vec<String>,
    /// What the windows' hours are counted from: `UTC` or `+01:00`.
    pub windows_offset: String,
    /// The host's limit outside of the windows; where none is given, copies stand
    /// still then, unless their transfer is urgent.
    pub outside_bytes_per_second: Option<u64>,
    /// What folders are filled by: `native`, or `rsync`.
    pub method: Method,
    /// How rsync is run.
    pub rsync: rsync::Settings,
}

impl Default for CopyConfig {
    fn default() -> Self {
        Self {
            dir_mode: "0755".into(),
            file_mode: "0644".into(),
            keep_mtime: true,
            owner: None,
            group: None,
            readable_by: None,
            jobs: None,
            limit_bytes_per_second: None,
            host_limit_bytes_per_second: None,
            windows: Vec::new(),
            windows_offset: "UTC".into(),
            outside_bytes_per_second: None,
            method: Method::default(),
            rsync: rsync::Settings::default(),
        }
    }
}

impl CopyConfig {
    /// The policy of copies; names are looked up now.
    pub(super) fn policy(&self) -> Result<Policy, Error> {
        let fail = |setting| {
            move |error: crate::media::copy::Error| Error::Setting {
                setting,
                reason: error.to_string(),
            }
        };
        let user = |name: &String| parse_user("copy.owner", name);
        let group = |name: &String| parse_group("copy.group", name);
        let reader = |text: &String| Reader::parse(text);
        Ok(Policy {
            dir_mode: parse_mode("copy.dir_mode", &self.dir_mode).map_err(fail("copy.dir_mode"))?,
            file_mode: parse_mode("copy.file_mode", &self.file_mode)
                .map_err(fail("copy.file_mode"))?,
            keep_mtime: self.keep_mtime,
            owner: Owner {
                uid: self.owner.as_ref().map(user).transpose().map_err(fail("copy.owner"))?,
                gid: self.group.as_ref().map(group).transpose().map_err(fail("copy.group"))?,
            },
            reader: self
                .readable_by
                .as_ref()
                .map(reader)
                .transpose()
                .map_err(fail("copy.readable_by"))?,
            limit_bytes_per_second: self.limit_bytes_per_second,
            jobs: self.jobs,
            ..Policy::default()
        })
    }

    /// The hours of full speed.
    pub(super) fn windows(&self) -> Result<Option<Windows>, Error> {
        if self.windows.is_empty() {
            return Ok(None);
        }
        let open = Schedule::parse(&self.windows, &self.windows_offset)
            .map_err(|e| Error::Setting { setting: "copy.windows", reason: e.to_string() })?;
        let outside_bytes_per_second = self.outside_bytes_per_second.filter(|&rate| rate > 0);
        Ok(Some(Windows { open, outside_bytes_per_second }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_and_when_are_resolved_or_refused_by_name() {
        let named = CopyConfig {
            owner: Some("root".into()),
            group: Some("0".into()),
            readable_by: Some("others".into()),
            windows: vec!["mon-fri 19:00-07:00".into()],
            ..CopyConfig::default()
        };
        assert_eq!(named.policy().unwrap().owner, Owner { uid: Some(0), gid: Some(0) });
        assert!(named.windows().unwrap().unwrap().outside_bytes_per_second.is_none());
        for (setting, bad) in [
            ("copy.group", CopyConfig { group: Some("no-such-group".into()), ..named.clone() }),
            ("copy.readable_by", CopyConfig { readable_by: Some("me".into()), ..named.clone() }),
            ("copy.file_mode", CopyConfig { file_mode: "4755".into(), ..named.clone() }),
        ] {
            assert!(bad.policy().unwrap_err().to_string().contains(setting), "{setting}");
        }
        let never = CopyConfig { windows: vec!["nights".into()], ..named };
        assert!(never.windows().unwrap_err().to_string().contains("nights"));
    }
}
