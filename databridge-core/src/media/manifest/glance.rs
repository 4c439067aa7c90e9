//! A look at a tree that opens none of its files.

use std::collections::HashMap;
use std::path::Path;

use super::{Difference, Entry, Error, Manifest, What};
use crate::media::storage::{Folder, Kind, escape};
use crate::media::walk;

impl Manifest {
    /// How names, kinds and lengths below `root` differ from the manifest's, sorted by
    /// path. No content is read: [`Self::check_tree`] does that.
    ///
    /// # Errors
    /// What cannot be listed.
    pub fn glance(&self, root: &Path) -> Result<Vec<Difference>, Error> {
        let mut expected: HashMap<&[u8], &Entry> =
            self.entries().iter().map(|entry| (entry.path().as_str().as_bytes(), entry)).collect();
        let mut differences = Vec::new();
        for item in walk::list(&Folder::open(root)?)? {
            let name = item.path.as_encoded_bytes();
            let found = item.stat.kind;
            let what = match expected.remove(name) {
                // A folder with something in it comes with that.
                None if found == Kind::Dir && !item.is_leaf => None,
                None => Some(What::Extra { found }),
                Some(Entry::File { size_bytes, .. }) if found == Kind::File => {
                    let (expected_bytes, found_bytes) = (*size_bytes, item.stat.size_bytes);
                    (expected_bytes != found_bytes)
                        .then_some(What::Size { expected_bytes, found_bytes })
                }
                Some(Entry::EmptyDir { .. }) if found == Kind::Dir => None,
                Some(entry) => Some(What::Kind { expected: entry.kind(), found }),
            };
            differences.extend(what.map(|what| Difference { path: escape(name), what }));
        }
        let missing =
            |entry: &Entry| Difference { path: entry.path().to_string(), what: What::Missing };
        differences.extend(expected.into_values().map(missing));
        differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(differences)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_kinds_and_lengths_are_seen_and_content_is_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for (name, text) in [("a/one", "1"), ("a/two", "22"), ("three", "333"), ("four", "4")] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        }
        std::fs::create_dir(at("empty")).unwrap();
        let manifest = Manifest::of_tree(root.path(), None, &()).unwrap();
        assert_eq!(manifest.glance(root.path()).unwrap(), []);
        std::fs::write(at("three"), "xyz").unwrap();
        assert_eq!(manifest.glance(root.path()).unwrap(), [], "content is not read");
        std::fs::write(at("a/two"), "longer").unwrap();
        std::fs::remove_file(at("three")).unwrap();
        std::fs::write(at("more"), "").unwrap();
        std::fs::remove_file(at("four")).unwrap();
        symlink("/etc", at("four")).unwrap();
        std::fs::write(at("empty/file"), "").unwrap();
        let told: Vec<String> =
            manifest.glance(root.path()).unwrap().iter().map(ToString::to_string).collect();
        let wanted = [
            "a/two: 6 bytes, expected 2",
            "empty/file: extra regular file",
            "four: symbolic link, expected regular file",
            "more: extra regular file",
            "three: missing",
        ];
        assert_eq!(told, wanted);
    }
}
