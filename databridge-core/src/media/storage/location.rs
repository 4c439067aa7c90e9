//! Where something is or is to be: a folder that is mounted here, or a prefix in
//! an object store.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::{Error, RelPath, escape};

/// A path (`/mnt/production`), the same as a URL (`file:///mnt/production`), or
/// `s3://bucket/prefix`. It never holds a secret: those come from the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// A file or folder, mounted here.
    Path(PathBuf),
    /// A key, or all keys below it, in an object store.
    Object(ObjectLocation),
}

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectLocation {
    bucket: String,
    /// Without slashes at its ends; empty for the bucket itself.
    key: String,
}

impl ObjectLocation {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }
    /// The key, or the prefix without its last slash; empty for the bucket itself.
    pub fn key(&self) -> &str {
        &self.key
    }
    /// The key of something below.
    pub fn below(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) }
    }
    /// The key of something beside.
    pub fn beside(&self, name: &str) -> String {
        match self.key.rsplit_once('/') {
            Some((above, _)) => format!("{above}/{name}"),
            None => name.to_owned(),
        }
    }
    /// Something below, as a place of its own.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), key: self.below(name) }
    }
    /// What it is below; the bucket is below itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        let key = self.key.rsplit_once('/').map_or("", |(above, _)| above);
        Self { bucket: self.bucket.clone(), key: key.to_owned() }
    }
    /// Something beside, as a place of its own.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        Self { bucket: self.bucket.clone(), key: self.beside(name) }
    }
    /// The last name in the key.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&self.key, |(_, name)| name)
    }
    /// Another key of the same bucket, as a URL.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl Location {
    /// Reads a path or a URL. Errors: [`Error::Location`], which never repeats a
    /// URL that may hold a secret.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse =
            |given: &str, reason| Err(Error::Location { given: escape(given.as_bytes()), reason });
        if text.is_empty() {
            return refuse(text, "nothing is named");
        }
        if text.contains('\0') {
            return refuse(text, "it holds a NUL");
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(name, _)| is_scheme(name))
        else {
            return Ok(Self::Path(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match file_path(rest) {
                Some(path) => Ok(Self::Path(path)),
                // As in any other URL.
                None if rest.contains(['@', '?']) => {
                    refuse("file://…", "a file URL is written file:///absolute/path")
                }
                None => refuse(text, "a file URL is written file:///absolute/path"),
            },
            "s3" => object(rest).map(Self::Object).or_else(|flaw| match flaw {
                Flaw::Secret => refuse(
                    "s3://…",
                    "a URL with '@' or '?' may hold a secret; credentials belong into the settings",
                ),
                Flaw::Other(reason) => refuse(text, reason),
            }),
            _ => refuse(&format!("{scheme}://…"), "only paths, file:// and s3:// are known here"),
        }
    }

    /// As [`parse`](Self::parse), of what was typed: what is not UTF-8 is a path.
    ///
    /// # Errors
    /// [`Error::Location`].
    pub fn of(typed: &OsStr) -> Result<Self, Error> {
        match typed.to_str() {
            Some(text) => Self::parse(text),
            None => Ok(Self::Path(PathBuf::from(typed))),
        }
    }

    /// The path, where it is mounted here.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Object(_) => None,
        }
    }

    /// Something below, by plain names joined with slashes.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        match self {
            Self::Path(path) => Self::Path(path.join(below)),
            Self::Object(at) => Self::Object(at.child(below)),
        }
    }

    /// Its sibling whose name is longer by `suffix`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        match self {
            Self::Path(path) => {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(suffix);
                Self::Path(path.with_file_name(name))
            }
            Self::Object(at) => {
                let key = format!("{}{suffix}", at.key);
                Self::Object(ObjectLocation { bucket: at.bucket.clone(), key })
            }
        }
    }

    /// Always as a URL. Bytes of a path that a URL cannot have are percent-encoded.
    pub fn url(&self) -> String {
        match self {
            Self::Path(path) => {
                let mut url = String::from("file://");
                for &byte in path.as_os_str().as_bytes() {
                    match byte {
                        b'%' | b'?' | b'#' | 0..=b' ' | 0x7f.. => url += &format!("%{byte:02X}"),
                        _ => url.push(char::from(byte)),
                    }
                }
                url
            }
            Self::Object(at) => at.to_string(),
        }
    }
}

/// RFC 3986: a letter, then letters, digits, `+`, `-` and `.`.
fn is_scheme(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// RFC 8089: an empty or local authority, and an absolute path, percent-encoded.
fn file_path(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let bytes = percent_decode(path)?;
    (path.starts_with('/') && !bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// The bytes that a percent-encoded text stands for; `None` for a broken one.
pub(in crate::media) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(bytes)
}

enum Flaw {
    Secret,
    Other(&'static str),
}

fn object(rest: &str) -> Result<ObjectLocation, Flaw> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains(['@', ':', '?']) || key.contains('?') {
        return Err(Flaw::Secret);
    }
    // The rules of general purpose buckets, as S3's user guide has them.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let ends = [bytes.first(), bytes.last()].into_iter().all(|end| end.is_some_and(|b| plain(*b)));
    let inside = bytes.iter().all(|&b| plain(b) || matches!(b, b'.' | b'-'));
    if !(3..=63).contains(&bytes.len()) || !ends || !inside || bucket.contains("..") {
        return Err(Flaw::Other(
            "a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens",
        ));
    }
    let key = key.strip_suffix('/').unwrap_or(key);
    if !key.is_empty() && RelPath::check(key.as_bytes()).is_err() {
        return Err(Flaw::Other(
            "a prefix is plain names between single slashes, without control characters",
        ));
    }
    Ok(ObjectLocation { bucket: bucket.to_owned(), key: key.to_owned() })
}

/// As people write it: a path as it is, anything else as a URL.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Object(at) => at.fmt(f),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl FromStr for Location {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Location {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_and_urls_are_read() {
        for (text, url) in [
            ("/mnt/x", "file:///mnt/x"),
            ("file:///mnt/production", "file:///mnt/production"),
            ("FILE://localhost/a%20b", "file:///a%20b"),
            ("s3://studio-production", "s3://studio-production/"),
            ("s3://studio/film/plates/", "s3://studio/film/plates"),
            ("s3://studio/a.exr#12", "s3://studio/a.exr#12"),
            ("a://b", ""),
        ] {
            let location = Location::parse(text);
            assert_eq!(location.map_or(String::new(), |l| l.url()), url, "{text}");
        }
        let path = Location::parse("host:/x").unwrap();
        assert_eq!(path.as_path(), Some(Path::new("host:/x")), "only :// makes a URL");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_secrets_are_not_repeated() {
        for (text, reason) in [
            ("", "nothing is named"),
            ("a\0b", "it holds a NUL"),
            ("file://server/share", "a file URL is written file:///absolute/path"),
            ("file://user:SECRET@nas/share", "a file URL is written file:///absolute/path"),
            ("file://SECRET@nas", "a file URL is written file:///absolute/path"),
            ("file:///a%zz", "a file URL is written file:///absolute/path"),
            ("file:///a%00", "a file URL is written file:///absolute/path"),
            ("gs://bucket/x", "only paths, file:// and s3:// are known here"),
            ("s3://", "a bucket's name is"),
            ("s3://UPPER/x", "a bucket's name is"),
            ("s3://ab/x", "a bucket's name is"),
            ("s3://bucket/a//b", "a prefix is plain names"),
            ("s3://bucket/../b", "a prefix is plain names"),
            ("s3://key:SECRET@bucket/x", "credentials belong into the settings"),
            ("s3://bucket/x?X-Amz-Signature=SECRET", "credentials belong into the settings"),
            ("https://key:SECRET@host/x", "only paths"),
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn names_below_and_beside() {
        let at = Location::parse("s3://studio/film").unwrap().join("plates/TRF-00042");
        assert_eq!(at.to_string(), "s3://studio/film/plates/TRF-00042");
        assert_eq!(at.with_suffix(".proof").to_string(), "s3://studio/film/plates/TRF-00042.proof");
        let Location::Object(at) = at else { unreachable!() };
        assert_eq!(at.beside(".x"), "film/plates/.x");
        assert_eq!((at.name(), at.below("a/b")), ("TRF-00042", "film/plates/TRF-00042/a/b".into()));
        let path = Location::from(Path::new("/p")).join("film/TRF-1").with_suffix(".proof");
        assert_eq!(path, Location::Path("/p/film/TRF-1.proof".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(s3://|file://|[a-z]{0,3}:/{0,2})?\\PC{0,60}") {
            match Location::parse(&text) {
                Ok(location) => {
                    // What is read once is the same when it is written and read again.
                    prop_assert_eq!(&Location::parse(&location.to_string()).unwrap(), &location);
                    if location.as_path().is_none_or(Path::is_absolute) {
                        prop_assert_eq!(Location::parse(&location.url()).unwrap(), location);
                    }
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
