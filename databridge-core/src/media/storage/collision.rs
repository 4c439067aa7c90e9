//! Names that some file system would take for one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_casefold::UnicodeCaseFold;
use unicode_normalization::UnicodeNormalization;

use super::RelPath;

/// Why two names cannot stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clash {
    /// The very same path twice.
    Duplicate,
    /// Different only in upper and lower case: one file on SMB, NTFS and APFS.
    Case,
    /// Different only in Unicode normalisation: one file on APFS and HFS+.
    Normalization,
    /// A file, or a folder said to be empty, and something inside it.
    FileAndFolder,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "the same path twice",
            Self::Case => "differ only in upper and lower case",
            Self::Normalization => "differ only in Unicode normalisation",
            Self::FileAndFolder => "one would have to be inside the other",
        })
    }
}

/// Two paths, or the folders above them, that clash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collision {
    /// The one met first.
    pub first: RelPath,
    /// The one that clashes with it.
    pub second: RelPath,
    /// How.
    pub clash: Clash,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}: {}", self.first, self.second, self.clash)
    }
}

/// What the paths seen so far say about one folded name.
struct Seen<'a> {
    spelling: &'a str,
    is_leaf: bool,
}

/// Every pair of `paths` (files and empty folders) that cannot stand side by
/// side on all the systems a delivery may meet. Folders clash too: of `Shot/a`
/// and `shot/b` the pair `Shot`, `shot` is reported, and reported once.
///
/// Of sorted paths without a clash, which is the rule, only the names of the folders
/// that lead to the one at hand are held in memory.
pub fn collisions<'a, I>(paths: I) -> Vec<Collision>
where
    I: IntoIterator<Item = &'a RelPath, IntoIter: Clone>,
{
    let paths = paths.into_iter();
    if is_plain(paths.clone()) {
        return Vec::new();
    }
    let mut seen: HashMap<String, Seen<'a>> = HashMap::new();
    let mut found = Vec::new();
    for path in paths {
        let text = path.as_str();
        let mut key = String::with_capacity(text.len());
        let mut end = 0;
        for component in path.components() {
            end += component.len() + usize::from(end > 0);
            if !key.is_empty() {
                key.push('/');
            }
            fold(component, &mut key);
            let (spelling, is_leaf) = (&text[..end], end == text.len());
            match seen.entry(key.clone()) {
                Entry::Vacant(place) => {
                    place.insert(Seen { spelling, is_leaf });
                }
                Entry::Occupied(place) => {
                    if let Some(clash) = clash(place.get(), spelling, is_leaf) {
                        found.push((place.get().spelling, spelling, clash));
                        break;
                    }
                }
            }
        }
    }
    found.sort_unstable_by_key(|(first, second, _)| (*first, *second));
    found.dedup();
    found
        .into_iter()
        .filter_map(|(first, second, clash)| {
            // Prefixes of admitted paths are admitted.
            let first = RelPath::parse(first).ok()?;
            Some(Collision { first, second: RelPath::parse(second).ok()?, clash })
        })
        .collect()
}

/// Whether the paths are sorted and no two names in any folder fold to the same hash:
/// then none can clash. What it calls not plain may be so by chance and is looked at
/// closely.
fn is_plain<'a>(paths: impl Iterator<Item = &'a RelPath>) -> bool {
    let mut last = "";
    // The folders that lead to `last`: where the name in it ends, and the hashes of
    // all names in it so far.
    let mut open: Vec<(usize, Vec<u64>)> = vec![(0, Vec::new())];
    let mut key = String::new();
    for path in paths {
        let text = path.as_str();
        if text <= last {
            return false;
        }
        // As far as whole components agree; a leaf of that name would be a clash.
        let shared = |&(end, _): &(usize, Vec<u64>)| {
            end == 0 || text.as_bytes().get(end) == Some(&b'/') && text[..end] == last[..end]
        };
        let depth = open.iter().take_while(|level| shared(level)).count();
        if open.drain(depth..).any(|(_, names)| !is_distinct(names)) {
            return false;
        }
        let mut start = open.last().map_or(0, |(end, _)| end + usize::from(*end > 0));
        for component in text[start..].split('/') {
            key.clear();
            fold(component, &mut key);
            let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
            open.last_mut().into_iter().for_each(|(_, names)| names.push(hash));
            let end = start + component.len();
            if end < text.len() {
                open.push((end, Vec::new()));
            }
            start = end + 1;
        }
        last = text;
    }
    open.into_iter().all(|(_, names)| is_distinct(names))
}

fn is_distinct(mut hashes: Vec<u64>) -> bool {
    hashes.sort_unstable();
    hashes.is_sorted_by(|a, b| a < b)
}

fn clash(seen: &Seen<'_>, spelling: &str, is_leaf: bool) -> Option<Clash> {
    if seen.spelling != spelling {
        let same_text = seen.spelling.nfc().eq(spelling.nfc());
        return Some(if same_text { Clash::Normalization } else { Clash::Case });
    }
    match (seen.is_leaf, is_leaf) {
        (false, false) => None,
        (true, true) => Some(Clash::Duplicate),
        _ => Some(Clash::FileAndFolder),
    }
}

impl RelPath {
    /// The same text for two paths that differ only by case or normalisation.
    pub fn folded(&self) -> String {
        let mut key = String::with_capacity(self.as_str().len());
        for component in self.components() {
            if !key.is_empty() {
                key.push('/');
            }
            fold(component, &mut key);
        }
        key
    }
}

/// Unicode's canonical caseless matching (The Unicode Standard, D145). Lower case
/// by the standard library comes first since it knows younger scripts than the
/// folding table does.
fn fold(component: &str, key: &mut String) {
    if component.is_ascii() {
        key.extend(component.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        key.extend(component.nfd().flat_map(char::to_lowercase).case_fold().nfd());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn clashes(names: &[&str]) -> Vec<(String, String, Clash)> {
        let paths: Vec<_> = names.iter().map(|name| RelPath::parse(name).unwrap()).collect();
        collisions(&paths)
            .into_iter()
            .map(|c| (c.first.to_string(), c.second.to_string(), c.clash))
            .collect()
    }

    fn one(first: &str, second: &str, clash: Clash) -> Vec<(String, String, Clash)> {
        vec![(first.to_owned(), second.to_owned(), clash)]
    }

    #[test]
    fn case_and_normalisation() {
        assert_eq!(clashes(&["A.exr", "a.exr"]), one("A.exr", "a.exr", Clash::Case));
        assert_eq!(
            clashes(&["é.exr", "e\u{301}.exr"]),
            one("é.exr", "e\u{301}.exr", Clash::Normalization)
        );
        assert_eq!(clashes(&["Straße", "STRASSE"]), one("Straße", "STRASSE", Clash::Case));
        assert_eq!(clashes(&["É", "e\u{301}"]), one("É", "e\u{301}", Clash::Case));
        assert_eq!(clashes(&["Ა", "ა"]), one("Ა", "ა", Clash::Case));
        assert_eq!(clashes(&["ς", "Σ"]), one("ς", "Σ", Clash::Case));
    }

    #[test]
    fn folders_clash_once_for_all_their_files() {
        assert_eq!(clashes(&["Shot/a", "shot/b", "shot/c"]), one("Shot", "shot", Clash::Case));
    }

    #[test]
    fn a_file_is_no_folder() {
        assert_eq!(clashes(&["a", "a/b"]), one("a", "a", Clash::FileAndFolder));
        assert_eq!(clashes(&["a/b", "a"]), one("a", "a", Clash::FileAndFolder));
        assert_eq!(clashes(&["a", "A/b"]), one("a", "A", Clash::Case));
        assert_eq!(clashes(&["a", "a"]), one("a", "a", Clash::Duplicate));
    }

    /// As by its definition: every prefix of every path, folded, against every other.
    fn by_definition(paths: &[RelPath]) -> bool {
        let mut seen = std::collections::BTreeMap::new();
        paths.iter().any(|path| {
            let (mut key, mut end) = (String::new(), 0);
            path.components().any(|component| {
                end += component.len() + usize::from(end > 0);
                key.push('/');
                fold(component, &mut key);
                let now = (path.as_str()[..end].to_owned(), end == path.as_str().len());
                let before = seen.insert(key.clone(), now.clone());
                before.is_some_and(|before| before != now || before.1)
            })
        })
    }

    proptest! {
        #[test]
        fn sorted_or_not_the_same_paths_clash(
            mut texts in proptest::collection::vec("[abA-]{1,2}(/[abAé]{1,2}){0,2}", 0..7)
        ) {
            let paths = |texts: &[String]| -> Vec<RelPath> {
                texts.iter().map(|text| RelPath::parse(text).unwrap()).collect()
            };
            let expected = by_definition(&paths(&texts));
            prop_assert_eq!(!collisions(&paths(&texts)).is_empty(), expected);
            texts.sort();
            let sorted = paths(&texts);
            prop_assert_eq!(!collisions(&sorted).is_empty(), expected);
            prop_assert_eq!(!is_plain(sorted.iter()), expected);
        }
    }

    #[test]
    fn what_merely_looks_alike_stands() {
        assert_eq!(clashes(&["a/b", "a/c", "b/b", "ab", "a.b", "ﬁ", "1", "¹"]), []);
    }
}
