//! Lists of every format, written, read and held against trees.

#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::*;
use crate::base::error::Fault;
use crate::media::checksum::Hasher;
use crate::media::manifest::{Difference, Options, PAYLOAD, write_ascmhl, write_bagit};

fn digests(bytes: &[u8]) -> Digests {
    let mut hasher = Hasher::new(&Algorithm::ALL);
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn everything_that_is_known_must_hold() {
    let abc = digests(b"abc");
    let mut known = Known::new(RelPath::parse("a").unwrap());
    assert_eq!(known.check(3, &abc), Some(What::Unproven));
    for (algorithm, text) in abc.iter() {
        assert!(known.add(algorithm, &text), "{algorithm}");
        assert!(!known.add(algorithm, &text[1..]), "{algorithm}");
    }
    known.size_bytes = Some(3);
    assert_eq!(known.check(3, &abc), None);
    assert_eq!(known.check(4, &abc), Some(What::Size { expected_bytes: 3, found_bytes: 4 }));
    let other = digests(b"abd");
    assert!(matches!(known.check(3, &other), Some(What::Content { .. })));
    known.sha256 = None;
    for algorithm in known.algorithms() {
        known.others.retain(|(a, _)| *a == algorithm);
        let what = known.check(3, &other);
        assert!(matches!(what, Some(What::Digest { algorithm: a, .. }) if a == algorithm));
        known.others = digests(b"abc").iter().skip(1).collect();
    }
}

#[test]
fn what_is_no_list_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(List::read(dir.path()).unwrap_err().code(), "manifest.unknown");
    assert_eq!(List::read(&at("none")).unwrap_err().code(), "storage.not_found");
    for (bytes, code) in [
        (&b"\xff\xfe"[..], "manifest.not_text"),
        (b"{\"entries\": 7}", "manifest.json"),
        (b"[{\"type\":\"file\"}]", "manifest.json"),
        (b"<hashlist version=\"2.0\">", "manifest.xml"),
        (b"hello\n", "manifest.line"),
    ] {
        fs::write(at("list"), bytes).unwrap();
        let error = List::read(&at("list")).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains("list"), "{error}");
    }
    fs::create_dir(at("ascmhl")).unwrap();
    assert_eq!(List::read(dir.path()).unwrap_err().code(), "manifest.layout");
}

type Tree = BTreeMap<String, Vec<u8>>;

/// Files at up to three levels whose names differ in more than case.
fn tree() -> impl Strategy<Value = Tree> {
    let name = "[a-f &'()=+,;@#é日-]{0,6}[a-z0-9]";
    let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let bytes = proptest::collection::vec(any::<u8>(), 0..50);
    proptest::collection::btree_map(path, bytes, 1..8).prop_filter("admitted", |tree| {
        let paths: Option<Vec<_>> = tree.keys().map(|path| RelPath::parse(path).ok()).collect();
        paths.is_some_and(|paths| collisions(&paths).is_empty())
    })
}

fn lay(root: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every format comes back, and names one changed file and nothing else.
    #[test]
    fn what_is_written_is_read_and_holds(tree in tree(), pick in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        lay(&root.join(PAYLOAD), &tree);
        let payload = root.join(PAYLOAD);
        let manifest = Manifest::of_tree(&payload, NonZeroUsize::new(2), &()).unwrap();
        write_bagit(&root, &manifest).unwrap();
        let bag = List::read(&root).unwrap();
        write_ascmhl(&payload, NonZeroUsize::new(2), &()).unwrap();
        let history = List::read(&payload).unwrap();
        let sums = List::parse(&manifest.to_sha256sums(), "SHA256SUMS").unwrap();
        let json = List::parse(&serde_json::to_string(&manifest).unwrap(), "x").unwrap();
        prop_assert_eq!(&json.files, &List::from(&manifest).files);
        let check = |list: &List, root: &Path| {
            let found = list.verify(root, None, Options::default(), &()).unwrap();
            let found = found.differences.into_iter().filter(|difference| {
                !difference.path.contains("ascmhl/")
            });
            found.collect::<Vec<Difference>>()
        };
        let changed = tree.keys().nth(pick.index(tree.len())).unwrap();
        for is_changed in [false, true] {
            if is_changed {
                let mut bytes = tree[changed].clone();
                bytes.push(7);
                fs::write(payload.join(changed), bytes).unwrap();
            }
            for (list, root, prefix) in
                [(&bag, &root, "data/"), (&history, &payload, ""), (&sums, &payload, ""), (&json, &payload, "")]
            {
                let found = check(list, root);
                let expected = is_changed.then(|| format!("{prefix}{changed}"));
                let paths: Vec<_> = found.iter().map(|one| one.path.clone()).collect();
                prop_assert_eq!(paths, expected.into_iter().collect::<Vec<_>>(), "{:?}", list.format);
            }
        }
    }

    /// The walk and the list meet every path once, whatever its name.
    #[test]
    fn differences_are_those_of_the_sets(before in tree(), after in tree()) {
        let dir = tempfile::tempdir().unwrap();
        lay(&dir.path().join("before"), &before);
        lay(&dir.path().join("after"), &after);
        let list = Manifest::of_tree(&dir.path().join("before"), None, &()).unwrap();
        let found = list.check_tree(&dir.path().join("after"), None, &()).unwrap();
        let is_dir_now = |path: &String| after.keys().any(|p| p.starts_with(&format!("{path}/")));
        let mut expected: BTreeMap<String, &str> = BTreeMap::new();
        for (path, bytes) in &before {
            match after.get(path) {
                None if is_dir_now(path) => expected.insert(path.clone(), "kind"),
                None => expected.insert(path.clone(), "missing"),
                Some(now) if now.len() != bytes.len() => expected.insert(path.clone(), "size"),
                Some(now) if now != bytes => expected.insert(path.clone(), "content"),
                Some(_) => None,
            };
        }
        for path in after.keys().filter(|path| !before.contains_key(*path)) {
            expected.insert(path.clone(), "extra");
        }
        let found: BTreeMap<_, _> = found
            .into_iter()
            .map(|one| (one.path, match one.what {
                What::Missing => "missing",
                What::Extra { .. } => "extra",
                What::Kind { .. } => "kind",
                What::Size { .. } => "size",
                What::Content { .. } => "content",
                _ => "other",
            }))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
