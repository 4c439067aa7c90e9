#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::base::error::Fault;
use crate::media::storage::Kind;

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn file(name: &str, content: &[u8]) -> Entry {
    let (size_bytes, sha256) = (content.len() as u64, Sha256::of(content));
    Entry::File { path: path(name), size_bytes, sha256 }
}

fn dir(name: &str) -> Entry {
    Entry::EmptyDir { path: path(name) }
}

fn small() -> Manifest {
    let entries =
        vec![file("shot/comp.1001.exr", b"abc"), dir("notes"), file("shot/comp.1002.exr", b"")];
    Manifest::from_entries(entries).unwrap()
}

#[test]
fn the_canonical_form_stays() {
    let golden = "databridge-manifest-v1\n\
        dir notes\n\
        file ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 shot/comp.1001.exr\n\
        file e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 shot/comp.1002.exr\n";
    assert_eq!(String::from_utf8(small().canonical_bytes()).unwrap(), golden);
    assert_eq!(small().digest().to_string(), GOLDEN_DIGEST);
    assert_eq!(Manifest::default().canonical_bytes(), b"databridge-manifest-v1\n");
}

const GOLDEN_DIGEST: &str = "dd7ac553ef4c95b513ab50c74e339abccafa76d6c7847b0c0dcd2545a31b50d2";

#[test]
fn counts() {
    assert_eq!((small().file_count(), small().total_bytes()), (2, 3));
}

#[test]
fn what_cannot_stand_side_by_side_is_refused() {
    for entries in [
        vec![file("a", b""), file("a", b"x")],
        vec![file("a", b""), file("A", b"")],
        vec![file("a", b""), file("a/b", b"")],
        vec![dir("a"), file("a/b", b"")],
        vec![dir("a"), dir("a/b")],
        vec![file("a", b""), dir("a")],
    ] {
        let error = Manifest::from_entries(entries.clone()).unwrap_err();
        assert_eq!(error.code(), "manifest.collisions", "{entries:?}");
        let json = serde_json::to_string(&entries).unwrap();
        assert!(serde_json::from_str::<Manifest>(&json).is_err(), "{json}");
    }
}

#[test]
fn json_is_checked_and_sorted() {
    let json = serde_json::to_string(&small()).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), small());
    assert!(serde_json::from_str::<Manifest>(&json.replace("notes", "../x")).is_err());
    assert!(serde_json::from_str::<Manifest>(&json.replace("ba78", "zz78")).is_err());
    let mut entries = small().entries().to_vec();
    entries.reverse();
    let json = serde_json::to_string(&entries).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), small());
}

#[test]
fn two_manifests_differ_path_by_path() {
    let other = Manifest::from_entries(vec![
        file("notes", b""),
        file("shot/comp.1002.exr", b"x"),
        file("shot/comp.1003.exr", b""),
    ]);
    let texts: Vec<_> = small().diff(&other.unwrap()).iter().map(Difference::to_string).collect();
    let expected = [
        "notes: regular file, expected folder",
        "shot/comp.1001.exr: missing",
        "shot/comp.1002.exr: 1 bytes, expected 0",
        "shot/comp.1003.exr: extra regular file",
    ];
    assert_eq!(texts, expected);
    assert_eq!(small().diff(&small()), []);
}

#[test]
fn a_difference_in_json() {
    let difference = Difference { path: "a".to_owned(), what: What::Missing };
    let json = serde_json::to_string(&difference).unwrap();
    assert_eq!(json, r#"{"path":"a","difference":"missing"}"#);
    let what = What::Content { expected: Sha256::of(b"a"), found: Sha256::of(b"b") };
    let difference = Difference { path: "a".to_owned(), what };
    let json = serde_json::to_string(&difference).unwrap();
    assert_eq!(serde_json::from_str::<Difference>(&json).unwrap(), difference);
}

fn tree() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("shot")).unwrap();
    fs::create_dir_all(root.path().join("notes")).unwrap();
    fs::write(root.path().join("shot/comp.1001.exr"), b"abc").unwrap();
    fs::write(root.path().join("shot/comp.1002.exr"), b"").unwrap();
    let base = root.path().to_owned();
    (root, move |name| base.join(name))
}

#[test]
fn a_tree_is_its_manifest() {
    let (root, _) = tree();
    assert_eq!(Manifest::of_tree(root.path(), None, &()).unwrap(), small());
    assert_eq!(small().check_tree(root.path(), NonZeroUsize::new(1), &()).unwrap(), []);
}

#[test]
fn every_kind_of_difference_in_a_tree_is_told() {
    let (root, at) = tree();
    fs::write(at("shot/comp.1001.exr"), b"abd").unwrap();
    fs::write(at("shot/comp.1002.exr"), b"x").unwrap();
    fs::remove_dir(at("notes")).unwrap();
    symlink("shot", at("notes")).unwrap();
    symlink("/", at("link")).unwrap();
    fs::create_dir(at("more")).unwrap();
    fs::write(root.path().join(OsStr::from_bytes(b"\xff\n")), b"").unwrap();
    let found = small().check_tree(root.path(), None, &()).unwrap();
    let found: Vec<_> = found.into_iter().map(|d| (d.path, d.what)).collect();
    let extra = |name: &str, found| (name.to_owned(), What::Extra { found });
    let expected = vec![
        extra("\\xff\\n", Kind::File),
        extra("link", Kind::Symlink),
        extra("more", Kind::Dir),
        ("notes".to_owned(), What::Kind { expected: Kind::Dir, found: Kind::Symlink }),
        (
            "shot/comp.1001.exr".to_owned(),
            What::Content { expected: Sha256::of(b"abc"), found: Sha256::of(b"abd") },
        ),
        ("shot/comp.1002.exr".to_owned(), What::Size { expected_bytes: 0, found_bytes: 1 }),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_folder_that_lost_its_files_is_not_extra() {
    let (root, at) = tree();
    fs::remove_dir_all(at("shot")).unwrap();
    fs::create_dir(at("shot")).unwrap();
    let found = small().check_tree(root.path(), None, &()).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|difference| difference.what == What::Missing));
}

#[test]
fn sha256sum_accepts_what_we_write_and_we_what_it_writes() {
    let (root, at) = tree();
    fs::write(at("shot/ a b é.txt"), b"note").unwrap();
    let manifest = Manifest::of_tree(root.path(), None, &()).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let sums = outside.path().join("SHA256SUMS");
    fs::write(&sums, manifest.to_sha256sums()).unwrap();
    let run = |args: &[&OsStr]| {
        let output = Command::new("sha256sum").args(args).current_dir(root.path()).output();
        output.expect("sha256sum of coreutils")
    };
    let output = run(&["--strict".as_ref(), "-c".as_ref(), sums.as_os_str()]);
    assert!(output.status.success(), "{output:?}");
    let names = ["shot/ a b é.txt", "shot/comp.1001.exr", "./shot/comp.1002.exr"];
    for flag in ["--text", "--binary", "--tag"] {
        let mut args = vec![OsStr::new(flag)];
        args.extend(names.map(OsStr::new));
        let output = run(&args);
        let parsed = parse_sha256sums(std::str::from_utf8(&output.stdout).unwrap()).unwrap();
        assert_eq!(parsed, parse_sha256sums(&manifest.to_sha256sums()).unwrap());
        assert_eq!(parsed.check_tree(root.path(), None, &()).unwrap(), []);
    }
}

/// Manifests whose files and folders never collide.
fn manifests() -> impl Strategy<Value = Manifest> {
    let name = "(d[a-c]/){0,2}f[a-c ]{1,3}(é|\\.exr)?";
    let content = proptest::collection::vec(any::<u8>(), 0..4);
    let files = proptest::collection::btree_map(name, content, 0..12);
    let dirs = proptest::collection::btree_set("(d[a-c]/){0,2}e[a-c]{1,3}", 0..4);
    (files, dirs).prop_map(|(files, dirs): (BTreeMap<String, Vec<u8>>, _)| {
        let files = files.iter().map(|(name, content)| file(name, content));
        Manifest::from_entries(files.chain(dirs.iter().map(|name| dir(name))).collect()).unwrap()
    })
}

proptest! {
    #[test]
    fn print_and_parse(manifest in manifests()) {
        let json = serde_json::to_string(&manifest).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Manifest>(&json).unwrap(), &manifest);
        let sums = parse_sha256sums(&manifest.to_sha256sums()).unwrap();
        let files: Vec<_> = manifest.entries().iter().filter_map(|entry| match entry {
            Entry::File { path, sha256, .. } => Some((path.clone(), *sha256)),
            Entry::EmptyDir { .. } => None,
        }).collect();
        prop_assert_eq!(sums.entries(), files);
    }

    #[test]
    fn only_equal_manifests_have_equal_digests(a in manifests(), b in manifests()) {
        prop_assert_eq!(a == b, a.digest() == b.digest());
        prop_assert_eq!(a == b, a.diff(&b).is_empty());
    }

    #[test]
    fn any_change_changes_the_digest(manifest in manifests(), at in any::<prop::sample::Index>(), how in 0..5) {
        prop_assume!(!manifest.entries().is_empty());
        let mut entries = manifest.entries().to_vec();
        let at = at.index(entries.len());
        let renamed = path(&format!("{}z", entries[at].path()));
        match (&mut entries[at], how) {
            (_, 0) => { entries.remove(at); }
            (Entry::File { path, .. } | Entry::EmptyDir { path }, 1) => *path = renamed,
            (Entry::File { size_bytes, .. }, 2) => *size_bytes += 1,
            (Entry::File { sha256, .. }, 3) => sha256.0[31] ^= 1,
            (entry @ Entry::File { .. }, _) => *entry = Entry::EmptyDir { path: entry.path().clone() },
            (entry, _) => *entry = file(entry.path().as_str(), b""),
        }
        let changed = Manifest::from_entries(entries).unwrap();
        prop_assert_ne!(changed.digest(), manifest.digest());
        prop_assert_eq!(manifest.diff(&changed).is_empty(), false);
    }
}
