#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};

use super::*;
use crate::base::error::Fault;
use crate::media::storage::{Clash, Flaw};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.path().join(name.as_ref())
    }
    fn write(&self, name: impl AsRef<OsStr>) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    fn refused(&self) -> Vec<(String, Reason)> {
        match tree(self.0.path()) {
            Err(Error::Refused { refused, .. }) => {
                refused.into_iter().map(|r| (r.path, r.reason)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn kind(name: &str, kind: storage::Kind) -> (String, Reason) {
    (name.to_owned(), Reason::Kind(kind))
}

#[test]
fn files_and_empty_folders_sorted_by_bytes() {
    let tree_ = Tree::new();
    for name in ["b/a", "a-b", "a/z", "é", "Z"] {
        tree_.write(name);
    }
    fs::write(tree_.at("zero"), b"").unwrap();
    fs::create_dir_all(tree_.at("empty/inner")).unwrap();
    let entries = tree(tree_.0.path()).unwrap();
    let names: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(names, ["Z", "a-b", "a/z", "b/a", "empty/inner", "zero", "é"]);
    let dirs = entries.iter().filter(|e| e.kind == Kind::EmptyDir).count();
    assert_eq!(dirs, 1);
    assert_eq!(entries[5].size_bytes, 0);
    assert_eq!(entries[6].size_bytes, 1);
}

#[test]
fn an_empty_root_is_an_empty_list() {
    assert_eq!(tree(Tree::new().0.path()).unwrap(), []);
}

#[test]
fn a_root_that_is_no_folder_is_named() {
    let tree_ = Tree::new();
    tree_.write("file");
    let error = tree(&tree_.at("file")).unwrap_err();
    assert_eq!(error.code(), "storage.not_a_folder");
    assert!(error.to_string().contains("file"));
    assert_eq!(tree(&tree_.at("none")).unwrap_err().code(), "storage.not_found");
}

#[test]
fn links_are_refused_wherever_they_lead() {
    let (tree_, outside) = (Tree::new(), Tree::new());
    outside.write("secret");
    tree_.write("d/file");
    symlink("d/file", tree_.at("to_file")).unwrap();
    symlink("d", tree_.at("to_folder")).unwrap();
    symlink("none", tree_.at("dangling")).unwrap();
    symlink(outside.at("secret"), tree_.at("outside")).unwrap();
    symlink(outside.0.path(), tree_.at("d/deep")).unwrap();
    symlink(".", tree_.at("loop")).unwrap();
    let names = ["d/deep", "dangling", "loop", "outside", "to_file", "to_folder"];
    assert_eq!(tree_.refused(), names.map(|name| kind(name, storage::Kind::Symlink)));
}

#[test]
fn special_files_are_refused() {
    let tree_ = Tree::new();
    mkfifoat(CWD, tree_.at("fifo"), Mode::RUSR).unwrap();
    let _socket = UnixListener::bind(tree_.at("socket")).unwrap();
    let mut expected =
        vec![kind("fifo", storage::Kind::Fifo), kind("socket", storage::Kind::Socket)];
    let null = rustix::fs::makedev(1, 3);
    let device = tree_.at("device");
    match mknodat(CWD, &device, FileType::CharacterDevice, Mode::RUSR, null) {
        Ok(()) => expected.insert(0, kind("device", storage::Kind::Device)),
        Err(error) => eprintln!("skipped: making a device needs root ({error})"),
    }
    assert_eq!(tree_.refused(), expected);
}

#[test]
fn bad_names_are_refused_and_shown_harmlessly() {
    let tree_ = Tree::new();
    tree_.write(OsStr::from_bytes(b"caf\xe9.exr"));
    tree_.write("line\nbreak");
    tree_.write("back\\slash");
    tree_.write(".databridge-x");
    let expected = [
        (".databridge-x", Flaw::Reserved),
        ("back\\\\slash", Flaw::Backslash),
        ("caf\\xe9.exr", Flaw::NotUtf8),
        ("line\\nbreak", Flaw::Control),
    ];
    let expected = expected.map(|(name, flaw)| (name.to_owned(), Reason::Name(flaw)));
    assert_eq!(tree_.refused(), expected);
}

#[test]
fn what_hides_in_a_refused_folder_is_named_too() {
    let tree_ = Tree::new();
    tree_.write(OsStr::from_bytes(b"\xff/file"));
    let names: Vec<_> = tree_.refused().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["\\xff", "\\xff/file"]);
}

#[test]
fn a_path_too_long_is_refused_once() {
    let tree_ = Tree::new();
    let long = vec!["x".repeat(250); 5].join("/");
    tree_.write(&long);
    // The fifth folder level passes 1024 bytes: what is below is not entered.
    assert_eq!(tree_.refused(), [(long, Reason::Name(Flaw::TooLong))]);
}

#[test]
fn names_equal_by_case_or_normalisation_are_refused() {
    let tree_ = Tree::new();
    for name in ["A.exr", "a.exr", "Shot/x", "shot/y", "é", "e\u{301}"] {
        tree_.write(name);
    }
    let clashes: Vec<_> = tree_
        .refused()
        .into_iter()
        .map(|(path, reason)| match reason {
            Reason::Collision(collision) => (path, collision.clash),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("a.exr", Clash::Case), ("shot", Clash::Case), ("é", Clash::Normalization)];
    assert_eq!(clashes, expected.map(|(name, clash)| (name.to_owned(), clash)));
}

#[test]
fn hard_links_are_files_of_their_own() {
    let tree_ = Tree::new();
    tree_.write("a");
    fs::hard_link(tree_.at("a"), tree_.at("b")).unwrap();
    let entries = tree(tree_.0.path()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].ino, entries[1].ino);
}

#[test]
fn a_message_names_many_but_the_error_all() {
    let tree_ = Tree::new();
    for i in 0..30 {
        symlink("x", tree_.at(format!("link{i:02}"))).unwrap();
    }
    let error = tree(tree_.0.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("30 names refused: link00: symbolic link; link01"), "{text}");
    assert!(text.ends_with("and 10 more"), "{text}");
    assert_eq!(tree_.refused().len(), 30);
}

#[test]
fn a_hundred_thousand_files() {
    let tree_ = Tree::new();
    for dir in 0..100 {
        fs::create_dir(tree_.at(format!("d{dir:03}"))).unwrap();
        // Links of one inode are made in a fraction of the time of new ones.
        let first = tree_.at(format!("d{dir:03}/f.0000.exr"));
        fs::write(&first, b"").unwrap();
        for file in 1..1000 {
            fs::hard_link(&first, tree_.at(format!("d{dir:03}/f.{file:04}.exr"))).unwrap();
        }
    }
    let entries = tree(tree_.0.path()).unwrap();
    assert_eq!(entries.len(), 100_000);
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
}
