//! How a copy is made.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::access::Reader;
use super::error::Error;

/// How a copy is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Permission bits of folders; only `rwx` counts, and the owner may always
    /// read and enter. A set-group-ID bit that a folder inherits stays.
    pub dir_mode: u32,
    /// Permission bits of files; only `rwx` counts, and the owner may always read.
    pub file_mode: u32,
    /// Whether files and folders have the `rwx` bits of their source instead. No
    /// file ever gets a set-ID or sticky bit.
    pub keep_mode: bool,
    /// Whether files keep their modification time, to the nanosecond.
    pub keep_mtime: bool,
    /// Whether folders do too.
    pub keep_dir_mtime: bool,
    /// What becomes of hard links inside the source.
    pub hard_links: HardLinks,
    /// Which extended attributes come along.
    pub xattrs: Xattrs,
    /// Whom everything is given to; what is not named is as the file system makes it.
    pub owner: Owner,
    /// Who must be able to read the delivery: proved before anything is written.
    pub reader: Option<Reader>,
    /// At most this much is copied in a second; `None` is as fast as it goes. The
    /// read-back is not slowed.
    pub limit_bytes_per_second: Option<u64>,
    /// Files handled at a time; `None` is what the destination's device does best,
    /// together with every other copy of this process to it.
    pub jobs: Option<NonZeroUsize>,
    /// Bytes of the destination's file system that are to stay free.
    pub reserve_bytes: u64,
}

impl Default for Policy {
    /// Folders 0755, files 0644, times of files kept, no attributes, no limits.
    fn default() -> Self {
        Self {
            dir_mode: 0o755,
            file_mode: 0o644,
            keep_mode: false,
            keep_mtime: true,
            keep_dir_mtime: false,
            hard_links: HardLinks::default(),
            xattrs: Xattrs::default(),
            owner: Owner::default(),
            reader: None,
            limit_bytes_per_second: None,
            jobs: None,
            reserve_bytes: 0,
        }
    }
}

/// What becomes of several names of one file inside the source. Names of it outside
/// do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardLinks {
    /// Each name becomes a file of its own; how many there were is reported.
    #[default]
    Copy,
    /// They become names of one file again, which is read, written and verified once.
    Keep,
    /// There may be none.
    Refuse,
}

impl HardLinks {
    /// By its name: `copy`, `keep` or `refuse`.
    ///
    /// # Errors
    /// [`Error::Policy`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "copy" => Ok(Self::Copy),
            "keep" => Ok(Self::Keep),
            "refuse" => Ok(Self::Refuse),
            _ => Err(refused("hard_links", text, "it is copy, keep or refuse")),
        }
    }
}

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// Which extended attributes come along; none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xattrs {
    /// Their namespaces: `user`, and `trusted` where the process may.
    pub namespaces: Vec<Namespace>,
    /// Whether POSIX access control lists come along.
    pub acls: bool,
    /// Whether a destination that takes one of them not is borne with and
    /// [reported](super::Lost), instead of refused.
    pub tolerate: bool,
}

/// A namespace of attributes. Those of the kernel and of security modules never
/// come along: `security.capability` is a set-user-ID bit by another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// `user.*`
    User,
    /// `trusted.*`
    Trusted,
}

impl Namespace {
    /// With its dot.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::User => "user.",
            Self::Trusted => "trusted.",
        }
    }
}

impl Xattrs {
    /// Whether anything comes along at all.
    pub fn any(&self) -> bool {
        self.acls || !self.namespaces.is_empty()
    }
}

fn refused(setting: &'static str, value: &str, reason: impl Into<String>) -> Error {
    Error::Policy { setting, value: value.to_owned(), reason: reason.into() }
}

/// Permission bits as `0644` or `0o644`.
///
/// # Errors
/// [`Error::Policy`] also for set-ID and sticky bits.
pub fn parse_mode(setting: &'static str, text: &str) -> Result<u32, Error> {
    match u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8) {
        Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(mode),
        _ => Err(refused(setting, text, "it is no octal mode up to 0777")),
    }
}

/// Namespaces of attributes, as `user` or `user,trusted`.
///
/// # Errors
/// [`Error::Policy`].
pub fn parse_namespaces(text: &str) -> Result<Vec<Namespace>, Error> {
    let named = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    named
        .map(|name| match name.trim_end_matches(['.', '*']) {
            "user" => Ok(Namespace::User),
            "trusted" => Ok(Namespace::Trusted),
            _ => Err(refused("xattrs", name, "the namespaces are user and trusted")),
        })
        .collect()
}

/// The user with this name or number.
///
/// # Errors
/// [`Error::Policy`] where this host knows no such name.
pub fn parse_user(setting: &'static str, text: &str) -> Result<u32, Error> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(refused(setting, text, "this host knows no such user")),
        Err(errno) => Err(refused(setting, text, format!("it could not be looked up: {errno}"))),
    }
}

/// The group with this name or number.
///
/// # Errors
/// [`Error::Policy`] where this host knows no such name.
pub fn parse_group(setting: &'static str, text: &str) -> Result<u32, Error> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(refused(setting, text, "this host knows no such group")),
        Err(errno) => Err(refused(setting, text, format!("it could not be looked up: {errno}"))),
    }
}

impl Owner {
    /// Of `USER`, `USER:GROUP` or `:GROUP`, as `chown` takes them.
    ///
    /// # Errors
    /// [`Error::Policy`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Ok(Self {
            uid: given(user).map(|name| parse_user("owner", &name)).transpose()?,
            gid: given(group).map(|name| parse_group("group", &name)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_have_no_set_id_bits() {
        assert_eq!(parse_mode("file_mode", "0640").unwrap(), 0o640);
        assert_eq!(parse_mode("file_mode", "0o640").unwrap(), 0o640);
        for bad in ["4755", "1777", "rw-r--r--", "", "-1", "+7"] {
            assert!(parse_mode("file_mode", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn owners_are_names_or_numbers() {
        assert_eq!(Owner::parse("0:0").unwrap(), Owner { uid: Some(0), gid: Some(0) });
        assert_eq!(Owner::parse("root").unwrap(), Owner { uid: Some(0), gid: None });
        assert_eq!(Owner::parse(":root").unwrap(), Owner { uid: None, gid: Some(0) });
        let unknown = Owner::parse("nobody-has-this-name").unwrap_err();
        assert!(unknown.to_string().contains("nobody-has-this-name"), "{unknown}");
    }

    #[test]
    fn attributes_of_the_kernel_are_no_choice() {
        assert_eq!(parse_namespaces("user, trusted.*").unwrap().len(), 2);
        assert!(parse_namespaces("security").is_err());
        assert!(parse_namespaces("system").is_err());
    }
}
