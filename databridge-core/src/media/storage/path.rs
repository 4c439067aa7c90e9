//! Names inside a delivery.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::Error;

/// Names that begin so, in whatever case, are DataBridge's own (partial and
/// freezing folders beside a destination) and refused in a delivery.
pub const RESERVED_PREFIX: &str = ".databridge-";

/// A path inside a delivery: relative, `/`-separated UTF-8, normalised.
///
/// Refused are: the empty path, an absolute one, empty, `.` and `..`
/// components, control characters (Unicode `Cc`, NUL among them), backslashes
/// (a separator to every SMB and Windows client, so that one name here would be
/// another path there), and names that begin with [`RESERVED_PREFIX`].
///
/// A clone shares the text: lists, marks and reports of one tree keep each path once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RelPath(Arc<str>);

impl RelPath {
    /// The longest component: `NAME_MAX` of ext4, XFS, btrfs and NFS.
    pub const MAX_COMPONENT_BYTES: usize = 255;
    /// The longest path: what an object key may have on S3 and GCS, and short
    /// enough that root, partial folder and path stay below `PATH_MAX` (4096).
    pub const MAX_BYTES: usize = 1024;

    /// Checks a text. Errors: [`Error::Path`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::check(text.as_bytes())
            .map_err(|flaw| Error::Path { path: escape(text.as_bytes()), flaw })
    }

    /// Checks the bytes of a name as a file system gives them.
    pub fn check(bytes: &[u8]) -> Result<Self, Flaw> {
        let text = checked(bytes)?;
        if text.split('/').any(is_reserved) {
            return Err(Flaw::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// A name of DataBridge's own: [`RESERVED_PREFIX`] and `rest`, one component.
    pub fn reserved(rest: &str) -> Result<Self, Error> {
        let text = format!("{RESERVED_PREFIX}{rest}");
        let flaw = match checked(text.as_bytes()) {
            Ok(_) if !rest.contains('/') => return Ok(Self(text.into())),
            Ok(_) => Flaw::Separator,
            Err(flaw) => flaw,
        };
        Err(Error::Path { path: escape(text.as_bytes()), flaw })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For joining to a root. Reading what it names is [`super::Folder`]'s part,
    /// which follows no links.
    pub fn to_path(&self) -> &Path {
        Path::new(&*self.0)
    }

    /// The names between the slashes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The folder it is in; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// `other` below this one. Errors: [`Error::Path`].
    pub fn join(&self, other: &str) -> Result<Self, Error> {
        Self::parse(&format!("{self}/{other}"))
    }
}

fn checked(bytes: &[u8]) -> Result<&str, Flaw> {
    if bytes.is_empty() {
        return Err(Flaw::Empty);
    }
    if bytes[0] == b'/' {
        return Err(Flaw::Absolute);
    }
    if bytes.len() > RelPath::MAX_BYTES {
        return Err(Flaw::TooLong);
    }
    for component in bytes.split(|byte| *byte == b'/') {
        match component {
            b"" => return Err(Flaw::EmptyComponent),
            b"." | b".." => return Err(Flaw::Dots),
            _ if component.len() > RelPath::MAX_COMPONENT_BYTES => {
                return Err(Flaw::ComponentTooLong);
            }
            _ => {}
        }
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8)?;
    if text.contains('\\') {
        return Err(Flaw::Backslash);
    }
    if text.contains(char::is_control) {
        return Err(Flaw::Control);
    }
    Ok(text)
}

fn is_reserved(component: &str) -> bool {
    component
        .as_bytes()
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX.as_bytes()))
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        self.to_path()
    }
}

impl FromStr for RelPath {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for RelPath {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Why a name is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flaw {
    /// Nothing at all.
    Empty,
    /// Begins with a slash.
    Absolute,
    /// Two slashes in a row, or one at the end.
    EmptyComponent,
    /// `.` or `..`.
    Dots,
    /// A slash where one name was asked for.
    Separator,
    /// NUL, a line break or another control character.
    Control,
    /// A backslash.
    Backslash,
    /// A component over [`RelPath::MAX_COMPONENT_BYTES`].
    ComponentTooLong,
    /// Over [`RelPath::MAX_BYTES`].
    TooLong,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Begins with [`RESERVED_PREFIX`].
    Reserved,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty path",
            Self::Absolute => "absolute path",
            Self::EmptyComponent => "empty path component",
            Self::Dots => "'.' or '..' in the path",
            Self::Separator => "more than one path component",
            Self::Control => "control character in the name",
            Self::Backslash => "backslash in the name",
            Self::ComponentTooLong => "name longer than 255 bytes",
            Self::TooLong => "path longer than 1024 bytes",
            Self::NotUtf8 => "name is not UTF-8",
            Self::Reserved => "name reserved for DataBridge (.databridge-…)",
        })
    }
}

/// A name for people: what is not UTF-8 or would disturb a terminal or a log
/// line is escaped (`\xff`, `\n`, `\u{202e}`), a backslash doubled.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Besides controls, what turns the direction of text: it can make a
            // name read as another one.
            let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if c.is_control() || c == '\\' || turns {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_bad_name_has_its_reason() {
        for (bytes, flaw) in [
            (&b""[..], Flaw::Empty),
            (b"/etc/passwd", Flaw::Absolute),
            (b"a//b", Flaw::EmptyComponent),
            (b"a/", Flaw::EmptyComponent),
            (b".", Flaw::Dots),
            (b"a/./b", Flaw::Dots),
            (b"..", Flaw::Dots),
            (b"a/../../b", Flaw::Dots),
            (b"a\0b", Flaw::Control),
            (b"a\nb", Flaw::Control),
            (b"a\x7fb", Flaw::Control),
            ("a\u{85}b".as_bytes(), Flaw::Control),
            (b"..\\..\\b", Flaw::Backslash),
            (b"a\xff", Flaw::NotUtf8),
            (&[b'x'; 300], Flaw::ComponentTooLong),
            (b".databridge-x", Flaw::Reserved),
            (b"a/.DataBridge-x/b", Flaw::Reserved),
        ] {
            assert_eq!(RelPath::check(bytes), Err(flaw), "{}", escape(bytes));
        }
        let long = vec!["x".repeat(200); 6].join("/");
        assert_eq!(RelPath::check(long.as_bytes()), Err(Flaw::TooLong));
    }

    #[test]
    fn names_at_the_limit_and_odd_but_plain_ones_pass() {
        let longest = vec!["x".repeat(255); 4].join("/");
        for name in [
            longest.as_str(),
            "a b",
            "-rf",
            "a.exr#12",
            "...",
            ".hidden",
            "é/日本/🎬",
            ".databridge",
            "C:x",
        ] {
            assert_eq!(RelPath::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn parts_of_a_path() {
        let path = RelPath::parse("a/b/c.exr").unwrap();
        assert_eq!(path.file_name(), "c.exr");
        assert_eq!(path.parent(), Some(RelPath::parse("a/b").unwrap()));
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c.exr"]);
        assert_eq!(RelPath::parse("a").unwrap().parent(), None);
        assert_eq!(RelPath::parse("a").unwrap().join("b/c").unwrap().as_str(), "a/b/c");
        assert!(RelPath::parse("a").unwrap().join("../c").is_err());
    }

    #[test]
    fn own_names_are_made_in_one_place_only() {
        assert_eq!(RelPath::reserved("x-1").unwrap().as_str(), ".databridge-x-1");
        assert!(RelPath::reserved("x/y").is_err());
    }

    #[test]
    fn serde_checks() {
        assert!(serde_json::from_str::<RelPath>("\"../x\"").is_err());
        let path: RelPath = serde_json::from_str("\"a/b\"").unwrap();
        assert_eq!(serde_json::to_string(&path).unwrap(), "\"a/b\"");
    }

    #[test]
    fn strange_names_are_shown_harmlessly() {
        assert_eq!(escape(b"a\xff\n\\\x1b[0m"), "a\\xff\\n\\\\\\u{1b}[0m");
        assert_eq!(escape("né \u{202e}x".as_bytes()), "né \\u{202e}x");
    }

    proptest! {
        #[test]
        fn what_passes_stays_below_its_root(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = RelPath::check(&bytes) {
                prop_assert_eq!(path.as_str().as_bytes(), &bytes[..]);
                let normal = path
                    .to_path()
                    .components()
                    .all(|c| matches!(c, std::path::Component::Normal(_)));
                prop_assert!(normal);
                prop_assert_eq!(RelPath::parse(path.as_str()).unwrap(), path);
            }
        }

        #[test]
        fn text_of_slashes_and_dots(text in "[a./]{0,12}") {
            if let Ok(path) = RelPath::parse(&text) {
                prop_assert!(path.components().all(|c| !c.is_empty() && c != "." && c != ".."));
            }
        }
    }
}
