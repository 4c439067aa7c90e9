//! SHA256SUMS, as GNU coreutils' `sha256sum` writes and checks it.

use std::num::NonZeroUsize;
use std::path::Path;

use super::check::{self, Difference, Expected, Wanted, What};
use super::list::{Format, Known, List, hex_len};
use super::{Entry, Error, Manifest};
use crate::media::checksum::{Algorithm, Sha256};
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
        expected
            .diff(found)
            .into_iter()
            .filter(|d| d.what != What::Extra { found: Kind::Dir })
            .collect()
    }

    /// Reads the whole tree and tells every difference; see [`Manifest::check_tree`].
    pub fn check_tree(
        &self,
        root: &Path,
        jobs: Option<NonZeroUsize>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Difference>, Error> {
        let files = self.0.iter().map(|(path, sha256)| Expected {
            path,
            size_bytes: None,
            sha256: Some(*sha256),
            others: &[],
        });
        let files = files.collect();
        // A list of files says nothing about folders.
        let wanted = Wanted { files, empty_dirs: None, ignore: None };
        check::whole(root, &wanted, jobs, monitor)
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
    each(text, None, |at, line| match line.digest.parse() {
        Ok(digest) if line.algorithm == Algorithm::Sha256 => {
            sums.push((line.path, digest));
            Ok(())
        }
        _ => Err(Error::Line { line: at }),
    })?;
    sums.sort();
    let collisions = collisions(sums.iter().map(|(path, _)| path));
    if collisions.is_empty() { Ok(Sums(sums)) } else { Err(Error::Collisions(collisions)) }
}

/// Reads what `sha256sum`, `md5sum`, `b3sum`, `xxhsum` and their like write: the
/// forms of [`parse_sha256sums`], the algorithm told by its tag, else by the digest's
/// length, else (`hint`) by the name of the file: 64 hex digits are SHA-256 unless it
/// says BLAKE3, 32 are MD5 unless it says XXH128, 16 are XXH64 unless it says XXH3.
/// A file may stand there once for each algorithm.
///
/// # Errors
/// [`Error::Line`], [`Error::LinePath`], [`Error::Collisions`].
pub(super) fn parse(text: &str, hint: Option<Algorithm>) -> Result<List, Error> {
    let mut files: Vec<Known> = Vec::new();
    each(text, hint, |at, line| {
        let mut known = Known::new(line.path);
        if !known.add(line.algorithm, &line.digest) {
            return Err(Error::Line { line: at });
        }
        files.push(known);
        Ok(())
    })?;
    // The same path twice by one algorithm stays twice, and so is refused.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|next, kept| {
        let of = |known: &Known| {
            let mut all = known.algorithms();
            all.extend(known.sha256.map(|_| Algorithm::Sha256));
            all
        };
        let is_new = next.path == kept.path && !of(next).iter().any(|a| of(kept).contains(a));
        if is_new {
            kept.merge(next.clone());
        }
        is_new
    });
    List::new(Format::Sums, files)
}

/// What the name of a list says of its algorithm: `B3SUMS`, `shot.xxh128`.
pub(super) fn hint(name: &str) -> Option<Algorithm> {
    let name = name.to_ascii_lowercase();
    let known = [
        ("blake3", Algorithm::Blake3),
        ("b3sum", Algorithm::Blake3),
        (".b3", Algorithm::Blake3),
        ("xxh128", Algorithm::Xxh128),
        ("xxh3", Algorithm::Xxh3),
    ];
    known.into_iter().find(|(part, _)| name.contains(part)).map(|(_, algorithm)| algorithm)
}

struct Line {
    algorithm: Algorithm,
    digest: String,
    path: RelPath,
}

fn each(
    text: &str,
    hint: Option<Algorithm>,
    mut take: impl FnMut(usize, Line) -> Result<(), Error>,
) -> Result<(), Error> {
    for (at, line) in text.trim_start_matches('\u{feff}').split('\n').enumerate() {
        let at = at + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (algorithm, digest, name) = fields(line, hint).ok_or(Error::Line { line: at })?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        let path = RelPath::parse(name).map_err(|source| Error::LinePath { line: at, source })?;
        take(at, Line { algorithm, digest, path })?;
    }
    Ok(())
}

fn fields(line: &str, hint: Option<Algorithm>) -> Option<(Algorithm, String, String)> {
    let (line, is_escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (algorithm, digest, name) = match tagged(line) {
        Some(fields) => fields,
        None => {
            let (digest, rest) = line.split_at_checked(line.find(' ')?)?;
            let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
            (by_length(digest, hint)?, digest, name)
        }
    };
    let name = if is_escaped { unescape(name)? } else { name.to_owned() };
    Some((algorithm, digest.to_owned(), name))
}

/// `SHA256 (<path>) = <digest>`, as BSD's tools and `--tag` write it.
fn tagged(line: &str) -> Option<(Algorithm, &str, &str)> {
    let (tag, rest) = line.split_once(" (")?;
    let algorithm = match tag {
        "SHA256" => Algorithm::Sha256,
        "SHA512" => Algorithm::Sha512,
        "SHA1" => Algorithm::Sha1,
        "MD5" => Algorithm::Md5,
        "BLAKE3" => Algorithm::Blake3,
        "XXH64" => Algorithm::Xxh64,
        "XXH3" => Algorithm::Xxh3,
        "XXH128" => Algorithm::Xxh128,
        _ => return None,
    };
    let (name, digest) = rest.rsplit_once(") = ")?;
    Some((algorithm, digest, name))
}

fn by_length(digest: &str, hint: Option<Algorithm>) -> Option<Algorithm> {
    const USUAL: [Algorithm; 5] =
        [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Sha1, Algorithm::Md5, Algorithm::Xxh64];
    if digest.len() == 90 {
        return Some(Algorithm::C4);
    }
    hint.into_iter().chain(USUAL).find(|algorithm| hex_len(*algorithm) == digest.len())
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
        assert_eq!(fields(text.trim_end_matches('\n'), None).unwrap().2, name);
    }

    // What the tools of Debian 12 write for a file `a b` that holds `abc`.
    #[test]
    fn lists_of_other_tools() {
        let tools = [
            ("MD5SUMS", "900150983cd24fb0d6963f7d28e17f72  a b", Algorithm::Md5),
            ("x", "a9993e364706816aba3e25717850c26c9cd0d89d *a b", Algorithm::Sha1),
            ("x", "MD5 (a b) = 900150983cd24fb0d6963f7d28e17f72", Algorithm::Md5),
            (
                "B3SUMS",
                "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85  a b",
                Algorithm::Blake3,
            ),
            ("x", "44bc2cf5ad770999  a b", Algorithm::Xxh64),
            ("shot.xxh128", "06b05ab6733a618578af5f94892f3950  a b", Algorithm::Xxh128),
            ("x", "XXH3 (a b) = 78af5f94892f3950", Algorithm::Xxh3),
        ];
        let mut hasher = crate::media::checksum::Hasher::new(&Algorithm::ALL);
        hasher.update(b"abc");
        let abc = hasher.finish();
        for (name, line, algorithm) in tools {
            let list = parse(line, hint(name)).unwrap();
            assert_eq!(list.files()[0].algorithms(), [algorithm], "{line}");
            assert_eq!(list.files()[0].check(3, &abc), None, "{line}");
        }
        let both = format!("{ABC}  a\n{}  a\n", "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(parse(&both, None).unwrap().files().len(), 1);
        for text in [format!("{ABC}  a\n{ABC}  a"), format!("{ABC}  a\n{ABC}  A")] {
            assert_eq!(parse(&text, None).unwrap_err().code(), "manifest.collisions");
        }
        // SHA-224, and a digest cut short.
        for digest in [&ABC[..56], &ABC[..63]] {
            assert_eq!(parse(&format!("{digest}  a"), None).unwrap_err().code(), "manifest.line");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "\\PC{1,20}|[\\\\\n\r a]{1,9}") {
            let text = line(ABC, &name);
            let (_, digest, back) = fields(text.strip_suffix('\n').unwrap(), None).unwrap();
            prop_assert_eq!(digest, ABC);
            prop_assert_eq!(back, name);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f\\\\ *()=SHA256\n./#]{0,200}") {
            let _ = parse_sha256sums(&text);
            let _ = parse(&text, Some(Algorithm::Xxh128));
        }
    }
}
