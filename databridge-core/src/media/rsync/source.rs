//! Where rsync brings files from.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::command::{self, Spoken};
use super::{Error, Settings};
use crate::media::checksum::Sha256;
use crate::media::copy;
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::Monitor;
use crate::media::storage::{RelPath, escape};

/// A folder here or on another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Mounted here.
    Path(PathBuf),
    /// Reached by ssh.
    Remote {
        /// `host` or `user@host`, as ssh takes it.
        host: String,
        /// The folder there.
        path: String,
    },
}

impl Source {
    /// `host:path` as rsync and scp read it (a colon before any slash), else a path.
    ///
    /// # Errors
    /// [`Error::BadSource`] where ssh could take the host for an option, or nothing
    /// is named.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::BadSource { given: escape(text.as_bytes()), reason };
        if text.is_empty() || text.contains('\0') {
            return Err(bad("nothing is named"));
        }
        let Some((host, path)) = text.split_once(':').filter(|(host, _)| !host.contains('/'))
        else {
            return Ok(Self::Path(text.into()));
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        if host.is_empty()
            || host.starts_with('-')
            || host.contains("@-")
            || !host.chars().all(plain)
        {
            return Err(bad(
                "a host is letters, digits, dots and hyphens, with a user@ before it or none",
            ));
        }
        if path.is_empty() || path.starts_with(':') || path.contains(['\n', '\r']) {
            return Err(bad("the path there is missing or holds a line break"));
        }
        Ok(Self::Remote { host: host.to_owned(), path: path.to_owned() })
    }

    /// As rsync's argument; all that is in the folder, not the folder itself.
    pub(super) fn argument(&self) -> Result<std::ffi::OsString, Error> {
        Ok(match self {
            // Absolute, so that it is neither an option nor a host.
            Self::Path(path) => {
                let given = || escape(path.as_os_str().as_encoded_bytes());
                let absolute = std::path::absolute(path).map_err(|_| Error::BadSource {
                    given: given(),
                    reason: "it cannot be made absolute",
                })?;
                let mut text = absolute.into_os_string();
                text.push("/");
                text
            }
            Self::Remote { host, path } => format!("{host}:{}/", path.trim_end_matches('/')).into(),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Remote { host, path } => write!(f, "{host}:{path}"),
        }
    }
}

/// Run on the other host, in the folder: every entry's type, length and name, then
/// `sha256sum` of each file; all ended by NUL.
const LIST: &str = "find . -mindepth 1 -printf '%y %s %P\\0'";
const SUMS: &str = "find . -type f -print0 | xargs -0r sha256sum -bz --";

/// What a folder on another host consists of, read there once.
pub(super) fn describe(
    host: &str,
    path: &str,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Manifest, copy::Error> {
    let remote = |reason: String| Error::Remote { host: host.to_owned(), reason };
    let ask = |script: &str| -> Result<Vec<u8>, copy::Error> {
        let folder = path.replace('\'', r"'\''");
        // `./` keeps a name with a hyphen from being an option.
        let dots = if folder.starts_with('/') { "" } else { "./" };
        let script = format!("cd '{dots}{folder}' && {script}");
        match command::speak(host, &script, settings, monitor)? {
            Spoken { code: Some(0), out, .. } => Ok(out),
            Spoken { code: Some(255), said, .. } => {
                Err(Error::Connection { code: Some(255), said }.into())
            }
            Spoken { said, .. } => Err(remote(said).into()),
        }
    };
    let list = ask(LIST)?;
    let sums = ask(SUMS)?;
    parse(&list, &sums).map_err(|reason| match reason {
        Flaw::Text(reason) => remote(reason).into(),
        Flaw::Manifest(error) => copy::Error::of_manifest(error),
    })
}

enum Flaw {
    Text(String),
    Manifest(crate::media::manifest::Error),
}

fn parse(list: &[u8], sums: &[u8]) -> Result<Manifest, Flaw> {
    let lines = |bytes| <[u8]>::split(bytes, |&b| b == 0).filter(|line| !line.is_empty());
    let name = |bytes: &[u8]| {
        RelPath::check(bytes).map_err(|flaw| Flaw::Text(format!("{}: {flaw}", escape(bytes))))
    };
    let mut digests = std::collections::BTreeMap::new();
    for line in lines(sums) {
        let odd = || Flaw::Text(format!("sha256sum says {:?}", escape(line)));
        let (digest, path) = line.split_at_checked(64).ok_or_else(odd)?;
        let digest: Option<Sha256> = std::str::from_utf8(digest).ok().and_then(|d| d.parse().ok());
        let path = path.strip_prefix(b" *./").ok_or_else(odd)?;
        digests.insert(name(path)?, digest.ok_or_else(odd)?);
    }
    let (mut entries, mut dirs, mut full) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in lines(list) {
        let odd = || Flaw::Text(format!("find says {:?}", escape(line)));
        let mut fields = line.splitn(3, |&b| b == b' ');
        let (kind, size, path) = (fields.next(), fields.next(), fields.next().ok_or_else(odd)?);
        let path = name(path)?;
        full.extend(path.parent());
        match kind {
            Some(b"f") => {
                let size = size.and_then(|s| std::str::from_utf8(s).ok()?.parse().ok());
                let sha256 = digests.remove(&path).ok_or_else(odd)?;
                entries.push(Entry::File { path, size_bytes: size.ok_or_else(odd)?, sha256 });
            }
            Some(b"d") => dirs.push(path),
            _ => return Err(Flaw::Text(format!("{path}: neither a file nor a folder"))),
        }
    }
    let empty = dirs.into_iter().filter(|path| !full.contains(path));
    entries.extend(empty.map(|path| Entry::EmptyDir { path }));
    Manifest::from_entries(entries).map_err(Flaw::Manifest)
}

/// A path as rsync's or the shell's argument never is an option.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hosts_and_paths_are_told_apart() {
        let remote =
            |host: &str, path: &str| Source::Remote { host: host.into(), path: path.into() };
        assert_eq!(Source::parse("/mnt/a:b").unwrap(), Source::Path("/mnt/a:b".into()));
        assert_eq!(Source::parse("./a:b").unwrap(), Source::Path("./a:b".into()));
        assert_eq!(Source::parse("host:/x y").unwrap(), remote("host", "/x y"));
        assert_eq!(Source::parse("me@host-1.example:x").unwrap(), remote("me@host-1.example", "x"));
        for bad in [
            "",
            "-oProxyCommand=x:/a",
            "me@-x:/a",
            "a b:/x",
            "host:",
            "host::module",
            "h:a\nb",
            ":x",
        ] {
            assert!(Source::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_the_other_host_says_is_read_strictly() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sums = format!("{digest} *./a b\0{digest} *./d/-x\0");
        let list = "d 4096 d\0f 0 a b\0f 0 d/-x\0d 4096 e\0";
        let manifest = parse(list.as_bytes(), sums.as_bytes()).ok().unwrap();
        let paths: Vec<_> = manifest.entries().iter().map(|e| e.path().as_str()).collect();
        assert_eq!(paths, ["a b", "d/-x", "e"]);
        for (list, sums) in
            [("l 1 x\0", ""), ("f 0 x\0", ""), ("f 0 ../x\0", ""), ("f x\0", ""), ("", "short\0")]
        {
            assert!(parse(list.as_bytes(), sums.as_bytes()).is_err(), "{list:?}");
        }
    }
}
