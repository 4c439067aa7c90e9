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
pub fn collisions<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Vec<Collision> {
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

    #[test]
    fn what_merely_looks_alike_stands() {
        assert_eq!(clashes(&["a/b", "a/c", "b/b", "ab", "a.b", "ﬁ", "1", "¹"]), []);
    }
}
