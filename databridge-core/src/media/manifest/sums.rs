//! SHA256SUMS, as GNU coreutils' `sha256sum` writes and checks it.

use std::path::Path;

use super::check::{Difference, Expected, check_tree};
use super::{Entry, Error, Manifest};
use crate::media::checksum::Sha256;
use crate::media::monitor::Monitor;
use crate::media::storage::{Kind, RelPath, collisions};

/// The content of a SHA256SUMS file: paths and digests, sorted by path. It knows
/// neither lengths nor empty folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums(Vec<(RelPath, Sha256)>);

impl Sums {
    /// Paths and digests, sorted by path.
    pub fn entries(&self) -> &[(RelPath, Sha256)] {
        &self.0
    }

    /// How what was found differs from this list, which says how it should be; sorted
    /// by path. A list of files says nothing about lengths and folders.
    pub fn diff(&self, found: &Manifest) -> Vec<Difference> {
        let size = |path: &RelPath| {
            let at = found.entries().binary_search_by(|entry| entry.path().cmp(path));
            at.ok().and_then(|at| found.entries().get(at)).map_or(0, Entry::size_bytes)
        };
        let files = self.0.iter().map(|(path, sha256)| Entry::File {
            path: path.clone(),
            size_bytes: size(path),
            sha256: *sha256,
        });
        // Its names were found to stand side by side when it was read.
        let expected = Manifest::from_entries(files.collect()).unwrap_or_default();
        expected.diff(found).into_iter().filter(|d| !d.is_extra_dir()).collect()
    }

    /// Reads the whole tree and tells every difference; see [`Manifest::check_tree`].
    pub fn check_tree(
        &self,
        root: &Path,
        jobs: Option<usize>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Difference>, Error> {
        let expected = self.0.iter().map(|(path, sha256)| Expected {
            path,
            kind: Kind::File,
            size_bytes: None,
            sha256: Some(*sha256),
        });
        // A list of files says nothing about folders.
        let differences = check_tree(root, expected.collect(), jobs, monitor)?;
        Ok(differences.into_iter().filter(|d| !d.is_extra_dir()).collect())
    }
}

impl Manifest {
    /// The files as SHA256SUMS: `<sha256>  <path>`, for `sha256sum -c` run at the
    /// root. Empty folders cannot be said in it.
    pub fn to_sha256sums(&self) -> String {
        let mut text = String::new();
        for entry in self.entries() {
            if let Entry::File { path, sha256, .. } = entry {
                text.push_str(&line(&sha256.to_string(), path.as_str()));
            }
        }
        text
    }
}

/// coreutils marks a line with `\` when its name needs escapes.
fn line(digest: &str, name: &str) -> String {
    if name.contains(['\\', '\n', '\r']) {
        let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        format!("\\{digest}  {name}\n")
    } else {
        format!("{digest}  {name}\n")
    }
}

/// Reads a SHA256SUMS file: `<sha256>  <path>` or `<sha256> *<path>`, escaped or not,
/// or `SHA256 (<path>) = <sha256>`; empty lines and lines that begin with `#` are
/// passed over, `./` before a path is dropped.
///
/// Errors: [`Error::Line`], [`Error::LinePath`], [`Error::Collisions`].
pub fn parse_sha256sums(text: &str) -> Result<Sums, Error> {
    let mut sums = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (digest, name) = fields(line).ok_or(Error::Line { line: at + 1 })?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        let path =
            RelPath::parse(name).map_err(|source| Error::LinePath { line: at + 1, source })?;
        sums.push((path, digest));
    }
    sums.sort();
    let collisions = collisions(sums.iter().map(|(path, _)| path));
    if collisions.is_empty() { Ok(Sums(sums)) } else { Err(Error::Collisions(collisions)) }
}

fn fields(line: &str) -> Option<(Sha256, String)> {
    let (line, is_escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (digest, name) = if let Some(rest) = line.strip_prefix("SHA256 (") {
        let (name, digest) = rest.rsplit_once(") = ")?;
        (digest, name)
    } else {
        let (digest, rest) = line.split_at_checked(64)?;
        (digest, rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?)
    };
    let name = if is_escaped { unescape(name)? } else { name.to_owned() };
    Some((digest.parse().ok()?, name))
}

fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn names(text: &str) -> Vec<String> {
        let sums = parse_sha256sums(text).unwrap();
        assert!(sums.entries().iter().all(|(_, sha256)| *sha256 == Sha256::of(b"abc")));
        sums.entries().iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn what_sha256sum_writes_is_read() {
        assert_eq!(names(&format!("{ABC}  b\n{ABC} *a\n")), ["a", "b"]);
        assert_eq!(names(&format!("# made by hand\n\n{ABC}  ./a b/c\r\n")), ["a b/c"]);
        assert_eq!(names(&format!("SHA256 (a) = b) = {ABC}")), ["a) = b"]);
        assert_eq!(names(&format!("{}  a", ABC.to_uppercase())), ["a"]);
        assert_eq!(names(&format!("{ABC}    two spaces more")), ["  two spaces more"]);
        assert_eq!(names(""), [""; 0]);
    }

    #[test]
    fn bad_lines_are_named_by_number() {
        for (text, code) in [
            (format!("{ABC}  a\nnonsense"), "manifest.line"),
            (format!("\n{ABC} a"), "manifest.line"),
            (format!("\n{}  a", &ABC[1..]), "manifest.line"),
            (format!("\n\\{ABC}  a\\q"), "manifest.line"),
            (format!("\n{ABC}  ../a"), "manifest.line_path"),
            (format!("\n{ABC}  /etc/passwd"), "manifest.line_path"),
            (format!("\n\\{ABC}  a\\nb"), "manifest.line_path"),
        ] {
            let error = parse_sha256sums(&text).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(error.to_string().contains("line 2"), "{error}");
        }
        let twice = format!("{ABC}  a\n{ABC}  a\n");
        assert_eq!(parse_sha256sums(&twice).unwrap_err().code(), "manifest.collisions");
    }

    #[test]
    fn escapes_go_both_ways() {
        let name = "a\\b\nc\rd";
        let text = line(ABC, name);
        assert_eq!(text, format!("\\{ABC}  a\\\\b\\nc\\rd\n"));
        assert_eq!(fields(text.trim_end_matches('\n')).unwrap().1, name);
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "\\PC{1,20}|[\\\\\n\r a]{1,9}") {
            let text = line(ABC, &name);
            let (digest, back) = fields(text.strip_suffix('\n').unwrap()).unwrap();
            prop_assert_eq!(digest.to_string(), ABC);
            prop_assert_eq!(back, name);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f\\\\ *()=SHA256\n./#]{0,200}") {
            let _ = parse_sha256sums(&text);
        }
    }
}
