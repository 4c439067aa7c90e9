//! The oracles and mounts of the other tests, tried themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;

use databridge_tests::mounts;
use databridge_tests::process::run;
use databridge_tests::tree::{EDGES, Node, Random, digest_tree, write_media};
use rustix::io::Errno;

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().as_ref().and_then(Errno::from_io_error)
}

#[test]
fn a_seed_decides_every_byte_of_a_tree() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let one = write_media(folders[0].path(), 7);
    assert_eq!(one, write_media(folders[1].path(), 7));
    assert_ne!(one, write_media(folders[2].path(), 8));
    let sizes: Vec<u64> = one
        .iter()
        .filter(|(path, _)| path.starts_with("edges/"))
        .filter_map(|(_, node)| match node {
            Node::File { size_bytes, .. } => Some(*size_bytes),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, EDGES.map(|size| size as u64));
    assert_eq!(one["empty folder/inner"], Node::Folder);
}

#[test]
fn a_listing_agrees_with_sha256sum() {
    let folder = tempfile::tempdir().unwrap();
    let listing = write_media(folder.path(), 1);
    let text = run(Command::new("sh")
        .args(["-c", "find . -type f -exec sha256sum {} +"])
        .current_dir(folder.path()));
    let mut files = 0;
    for line in text.lines() {
        let (theirs, path) = line.split_once("  ./").unwrap();
        let Node::File { sha256, .. } = &listing[path] else { panic!("{path} is no file") };
        assert_eq!(sha256, theirs, "{path}");
        files += 1;
    }
    assert_eq!(files, listing.values().filter(|node| matches!(node, Node::File { .. })).count());
}

#[test]
fn one_changed_byte_changes_the_listing() {
    let folder = tempfile::tempdir().unwrap();
    let before = write_media(folder.path(), 1);
    let file = folder.path().join("edges/0004097.bin");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_ne!(digest_tree(folder.path()), before);
}

#[test]
fn a_small_memory_file_system_gets_full() {
    if !mounts::require_root("a_small_memory_file_system_gets_full") {
        return;
    }
    let small = mounts::tmpfs(1 << 20);
    let bytes = Random::new(1).bytes(2 << 20);
    assert_eq!(errno(fs::write(small.path().join("plate"), bytes)), Some(Errno::NOSPC));
    let point = small.path().to_owned();
    drop(small);
    assert!(!point.exists());
}

#[test]
fn a_loop_device_carries_an_ext4() {
    if !mounts::require_root("a_loop_device_carries_an_ext4") {
        return;
    }
    let disk = mounts::ext4(8 << 20);
    let listing = write_media(&disk.path().join("shot"), 3);
    assert_eq!(digest_tree(&disk.path().join("shot")), listing);
    let kind = run(Command::new("stat").args(["-f", "-c", "%T"]).arg(disk.path()));
    assert_eq!(kind.trim(), "ext2/ext3");
}

#[test]
fn a_read_only_mount_shows_but_takes_nothing() {
    if !mounts::require_root("a_read_only_mount_shows_but_takes_nothing") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plate"), "v1").unwrap();
    let view = mounts::read_only(folder.path());
    assert_eq!(fs::read(view.path().join("plate")).unwrap(), b"v1");
    assert_eq!(errno(fs::write(view.path().join("plate"), "v2")), Some(Errno::ROFS));
}
