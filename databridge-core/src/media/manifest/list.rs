//! What somebody's list says of files, in whatever format it came.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Entry, Error, Manifest, What, ascmhl, bagit, mhl1, sums};
use crate::media::checksum::{self, Algorithm, Digests, Sha256};
use crate::media::storage::{self, Folder, RelPath, collisions};
use crate::media::walk;

/// The longest list that is read: a million files in the wordiest format.
const MAX_BYTES: u64 = 1 << 30;

/// A format of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines as `sha256sum`, `md5sum` and their like write them.
    Sums,
    /// ASC MHL version 2: a history in `ascmhl/`, or one list of it.
    AscMhl,
    /// Media Hash List version 1 (mediahashlist.org).
    Mhl1,
    /// A BagIt bag (RFC 8493).
    Bagit,
    /// Our own manifest.
    Json,
}

/// What is known of one file before it is read: by [`Known::check`] whoever reads it
/// anyway can tell whether it is that file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Relative to the tree's root.
    pub path: RelPath,
    /// Its length, where the list says it.
    pub size_bytes: Option<u64>,
    /// The digest that decides, where the list has it.
    pub sha256: Option<Sha256>,
    /// Others: lower-case hex, C4 in its own form; each algorithm once.
    pub others: Vec<(Algorithm, String)>,
}

impl Known {
    /// A file of which nothing is known yet.
    pub fn new(path: RelPath) -> Self {
        Self { path, size_bytes: None, sha256: None, others: Vec::new() }
    }

    /// Which digests must be computed besides SHA-256 for [`Self::check`].
    pub fn algorithms(&self) -> Vec<Algorithm> {
        self.others.iter().map(|(algorithm, _)| *algorithm).collect()
    }

    /// Adds a digest, unless one of this algorithm is there. `false` if its text is
    /// no such digest.
    pub fn add(&mut self, algorithm: Algorithm, text: &str) -> bool {
        let text = text.trim();
        let text = if algorithm == Algorithm::C4 {
            if !is_c4(text) {
                return false;
            }
            text.to_owned()
        } else {
            if text.len() != hex_len(algorithm) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                return false;
            }
            text.to_ascii_lowercase()
        };
        if algorithm == Algorithm::Sha256 {
            self.sha256 = self.sha256.or(text.parse().ok());
        } else if !self.others.iter().any(|(known, _)| *known == algorithm) {
            self.others.push((algorithm, text));
        }
        true
    }

    /// What differs from the file that was read, if anything does. Every digest that
    /// is known must be among `found` and match: SHA-256 first, since it decides.
    pub fn check(&self, size_bytes: u64, found: &Digests) -> Option<What> {
        check(self.size_bytes, self.sha256, &self.others, size_bytes, found)
    }
}

pub(super) fn check(
    expected_bytes: Option<u64>,
    sha256: Option<Sha256>,
    others: &[(Algorithm, String)],
    found_bytes: u64,
    found: &Digests,
) -> Option<What> {
    if let Some(expected_bytes) = expected_bytes.filter(|expected| *expected != found_bytes) {
        return Some(What::Size { expected_bytes, found_bytes });
    }
    if let Some(expected) = sha256.filter(|expected| *expected != found.sha256()) {
        return Some(What::Content { expected, found: found.sha256() });
    }
    for (algorithm, expected) in others {
        let found = found.get(*algorithm).unwrap_or_default();
        if found != *expected {
            let (algorithm, expected) = (*algorithm, expected.clone());
            return Some(What::Digest { algorithm, expected, found });
        }
    }
    (sha256.is_none() && others.is_empty()).then_some(What::Unproven)
}

fn is_c4(text: &str) -> bool {
    const ZERO_O_I_L: &[char] = &['0', 'O', 'I', 'l'];
    text.len() == 90
        && text.starts_with("c4")
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && !text.contains(ZERO_O_I_L)
}

/// Hex digits of a digest; 0 for C4, which has none.
pub(super) fn hex_len(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Sha256 | Algorithm::Blake3 => 64,
        Algorithm::Sha512 => 128,
        Algorithm::Sha1 => 40,
        Algorithm::Md5 | Algorithm::Xxh128 => 32,
        Algorithm::Xxh64 | Algorithm::Xxh3 => 16,
        Algorithm::C4 => 0,
    }
}

/// A list of files, from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// How it was written.
    pub format: Format,
    pub(super) files: Vec<Known>,
    /// Folders that are to be empty.
    pub(super) empty_dirs: Vec<RelPath>,
    /// Patterns (as of `.gitignore`) of what it does not speak of.
    pub(super) ignore: Vec<String>,
    /// Whether it speaks of folders with nothing in them.
    pub(super) knows_dirs: bool,
    /// What is wrong with the list itself, as with a history whose chain does not
    /// hold.
    pub(super) flaws: Vec<super::Difference>,
}

impl List {
    /// Sorts the files. Errors: [`Error::Collisions`].
    pub(super) fn new(format: Format, mut files: Vec<Known>) -> Result<Self, Error> {
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let found = collisions(files.iter().map(|file| &file.path));
        if !found.is_empty() {
            return Err(Error::Collisions(found));
        }
        Ok(Self {
            format,
            files,
            empty_dirs: Vec::new(),
            ignore: Vec::new(),
            knows_dirs: false,
            flaws: Vec::new(),
        })
    }

    /// Reads what is at `path`: a list in any format of [`Format`], told by its
    /// content; a folder with `ascmhl/` in it (its whole history, and the histories
    /// that this refers to); a bag.
    ///
    /// # Errors
    /// What cannot be read or is no list, saying where.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            if path.join(ascmhl::FOLDER).is_dir() {
                return ascmhl::read(path);
            }
            if path.join(bagit::DECLARATION).is_file() {
                return bagit::read(path);
            }
            return Err(Error::Unknown { path: path.to_owned() });
        }
        let text = read_text(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(&text, &name).map_err(|error| error.at(path))
    }

    /// Reads the text of a list; the `name` of its file tells algorithms apart
    /// whose digests are equally long.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with('<') {
            return if mhl1::is_one(start) { mhl1::parse(text) } else { ascmhl::parse(text) };
        }
        if start.starts_with(['{', '[']) {
            return Self::json(start);
        }
        sums::parse(text, sums::hint(name))
    }

    fn json(text: &str) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Document {
            Entries(Manifest),
            Told { entries: Manifest },
        }
        let document = serde_json::from_str(text).map_err(|source| Error::Json { source })?;
        let (Document::Entries(manifest) | Document::Told { entries: manifest }) = document;
        Ok(Self::from(&manifest))
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[Known] {
        &self.files
    }

    /// What it knows of the file of this path.
    pub fn file(&self, path: &RelPath) -> Option<&Known> {
        let at = self.files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        self.files.get(at)
    }

    /// What is wrong with the list itself: manifests of a history that its chain does
    /// not vouch for.
    pub fn flaws(&self) -> &[super::Difference] {
        &self.flaws
    }

    /// The manifest that it makes, where it has the SHA-256 of every file: what a copy
    /// of `source` must find there. Lengths that the list does not know, and empty
    /// folders where it knows of none, are taken as the source has them.
    ///
    /// # Errors
    /// [`Error::NoSha256`] naming the first file without; what cannot be read.
    pub fn to_manifest(&self, source: &Path) -> Result<Manifest, Error> {
        let folder = match source.is_dir() {
            true => source,
            false => {
                source.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
            }
        };
        let folder = Folder::open(folder)?;
        let mut entries = Vec::with_capacity(self.files.len());
        let name = source.file_name().filter(|_| !source.is_dir());
        for file in &self.files {
            let path = file.path.clone();
            // Of a single file nothing else is asked.
            if name.is_some_and(|name| path.to_path().as_os_str() != name) {
                continue;
            }
            let sha256 = file.sha256.ok_or_else(|| Error::NoSha256 { path: path.clone() })?;
            let size_bytes = match file.size_bytes {
                Some(size_bytes) => size_bytes,
                None => folder.stat(&path)?.size_bytes,
            };
            entries.push(Entry::File { path, size_bytes, sha256 });
        }
        let dirs = match self.knows_dirs || !source.is_dir() {
            true => self.empty_dirs.clone(),
            false => walk::empty_dirs(source).map_err(checksum::Error::from)?,
        };
        entries.extend(dirs.into_iter().map(|path| Entry::EmptyDir { path }));
        Manifest::from_entries(entries)
    }
}

impl From<&Manifest> for List {
    fn from(manifest: &Manifest) -> Self {
        let mut files = Vec::new();
        let mut empty_dirs = Vec::new();
        for entry in manifest.entries() {
            match entry {
                Entry::File { path, size_bytes, sha256 } => files.push(Known {
                    size_bytes: Some(*size_bytes),
                    sha256: Some(*sha256),
                    ..Known::new(path.clone())
                }),
                Entry::EmptyDir { path } => empty_dirs.push(path.clone()),
            }
        }
        Self {
            format: Format::Json,
            files,
            empty_dirs,
            ignore: Vec::new(),
            knows_dirs: true,
            flaws: Vec::new(),
        }
    }
}

/// Lists of the same file joined: of the first, with digests that later ones add.
pub(super) fn join(files: impl IntoIterator<Item = Known>) -> Vec<Known> {
    let mut all: BTreeMap<RelPath, Known> = BTreeMap::new();
    for file in files {
        match all.entry(file.path.clone()) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(file);
            }
            std::collections::btree_map::Entry::Occupied(mut place) => place.get_mut().merge(file),
        }
    }
    all.into_values().collect()
}

impl Known {
    /// Takes in what another list says of the same file; what is known stays.
    pub(super) fn merge(&mut self, other: Self) {
        self.size_bytes = self.size_bytes.or(other.size_bytes);
        self.sha256 = self.sha256.or(other.sha256);
        for (algorithm, text) in other.others {
            self.add(algorithm, &text);
        }
    }
}

/// A text file that is not too long.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let fail = |error| Error::from(storage::Error::io("read", path, error));
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).map_err(fail)?;
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLong { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| Error::NotText { path: path.to_owned() })
}

/// Where a list's paths begin, by where it stands: a history or bag in its own
/// folder, any other list beside the files.
pub fn root_of(list: &Path) -> PathBuf {
    if list.is_dir() {
        return list.to_owned();
    }
    let parent = list.parent().filter(|path| !path.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    match parent.file_name() {
        Some(name) if name == ascmhl::FOLDER => {
            parent.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
        }
        _ => parent.to_owned(),
    }
}

/// Where a list stands in the folder that it is held against: there it does not list
/// itself. `None` where it stands elsewhere, or one of the two cannot be found.
pub fn inside(root: &Path, list: &Path) -> Option<PathBuf> {
    let list = list.canonicalize().ok()?;
    list.strip_prefix(root.canonicalize().ok()?).ok().map(Path::to_owned)
}

#[cfg(test)]
mod tests;
