//! What a delivery has besides its content.

use std::fs::{self, Permissions};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use databridge_core::Fault;
use databridge_core::media::copy::{
    self, Error, Namespace, Options, Owner, Policy, Reader, Report, Xattrs,
};
use rustix::fs::XattrFlags;
use rustix::process::geteuid;

use super::{Room, StopAfter, deliver};

const ACL_ACCESS: &str = "system.posix_acl_access";
const ACL_DEFAULT: &str = "system.posix_acl_default";
/// A group that nobody is in.
const GROUP: u32 = 54_321;

fn root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: it gives files away, which needs root");
    }
    root
}

fn copied(room: &Room, policy: Policy) -> Result<Report, Error> {
    let options = Options { policy, ..Options::default() };
    copy::tree(&room.source(), &room.destination(), &options, &())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64 << 10];
    let length = rustix::fs::getxattr(path, name, &mut *value).ok()?;
    value.truncate(length);
    Some(value)
}

/// As linux/posix_acl_xattr.h has it: `(tag, permissions, id)` after a version.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Owner `rwx`, group nothing, our group `group`, mask `mask`, others nothing.
fn group_acl(group: u16, mask: u16) -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    acl(&[(1, 7, NONE), (4, 0, NONE), (8, group, GROUP), (16, mask, NONE), (32, 0, NONE)])
}

#[test]
fn modes_are_the_policys_or_the_sources_and_never_set_id() {
    let room = Room::empty();
    room.write("tools/run.sh", b"#!/bin/sh\n");
    room.write("tools/private", b"x");
    set_mode(&room.source().join("tools/run.sh"), 0o6755);
    set_mode(&room.source().join("tools/private"), 0o600);
    set_mode(&room.source().join("tools"), 0o1770);
    set_mode(&room.source(), 0o750);
    copied(&room, Policy { keep_mode: true, ..Policy::default() }).unwrap();
    let to = room.destination();
    assert_eq!(mode(&to.join("tools/run.sh")), 0o755, "no set-ID bit");
    assert_eq!(mode(&to.join("tools/private")), 0o600);
    assert_eq!(mode(&to.join("tools")), 0o770);
    assert_eq!(mode(&to), 0o750);
    fs::remove_dir_all(&to).unwrap();
    let fixed = Policy { file_mode: 0o4440, dir_mode: 0o2755, ..Policy::default() };
    copied(&room, fixed).unwrap();
    assert_eq!(mode(&to.join("tools/run.sh")), 0o440);
    assert_eq!(mode(&to.join("tools")), 0o755);
}

#[test]
fn times_are_kept_to_the_nanosecond_also_over_an_interruption() {
    let room = Room::new();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    let before = SystemTime::UNIX_EPOCH - Duration::new(86_400, 1);
    let set = |path: &str, time| {
        fs::File::open(room.source().join(path)).unwrap().set_modified(time).unwrap();
    };
    set("note.txt", before);
    set("plates/empty/below", then);
    set("plates", then);
    set("", then);
    let policy = Policy { keep_dir_mtime: true, jobs: NonZeroUsize::new(1), ..Policy::default() };
    let options = Options { policy, ..Options::default() };
    let stopped = copy::tree(&room.source(), &room.destination(), &options, &StopAfter::files(14));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    copy::tree(&room.source(), &room.destination(), &options, &()).unwrap();
    let time = |path: &str| room.destination().join(path).metadata().unwrap().modified().unwrap();
    assert_eq!(time("note.txt"), before);
    assert_eq!(time("plates/empty/below"), then, "an empty folder is there with its time");
    assert_eq!(time("plates"), then);
    assert_eq!(time(""), then);
    room.assert_delivered();
}

#[test]
fn attributes_come_along_by_namespace() {
    let room = Room::empty();
    room.write("a/shot.exr", b"pixels");
    let file = room.source().join("a/shot.exr");
    set_xattr(&file, "user.shot", b"010");
    set_xattr(&file, "user.empty", b"");
    set_xattr(&file, "user.large", &[7; 3000]);
    set_xattr(&room.source().join("a"), "user.folder", b"yes");
    set_xattr(&room.source(), "user.root", b"top");
    if geteuid().is_root() {
        set_xattr(&file, "trusted.secret", b"no");
    }
    copied(&room, Policy::default()).unwrap();
    let to = room.destination();
    assert_eq!(xattr(&to.join("a/shot.exr"), "user.shot"), None, "none unless asked for");
    fs::remove_dir_all(&to).unwrap();
    let user = Xattrs { namespaces: vec![Namespace::User], ..Xattrs::default() };
    let report = copied(&room, Policy { xattrs: user, ..Policy::default() }).unwrap();
    assert_eq!(xattr(&to.join("a/shot.exr"), "user.shot").unwrap(), b"010");
    assert_eq!(xattr(&to.join("a/shot.exr"), "user.empty").unwrap(), b"");
    assert_eq!(xattr(&to.join("a/shot.exr"), "user.large").unwrap(), [7; 3000]);
    assert_eq!(xattr(&to.join("a"), "user.folder").unwrap(), b"yes");
    assert_eq!(xattr(&to, "user.root").unwrap(), b"top");
    assert_eq!(xattr(&to.join("a/shot.exr"), "trusted.secret"), None);
    assert_eq!(report.transferred.lost_attributes, copy::Lost::default());
}

#[test]
fn access_lists_come_along_and_inherited_ones_are_left_to_work() {
    let room = Room::empty();
    room.write("a/shot.exr", b"pixels");
    let list = group_acl(4, 4);
    let folder = room.source().join("a");
    if rustix::fs::setxattr(&folder, ACL_DEFAULT, &list, XattrFlags::empty()).is_err() {
        eprintln!("SKIPPED access_lists_come_along: no access lists on this file system");
        return;
    }
    set_xattr(&room.source().join("a/shot.exr"), ACL_ACCESS, &list);
    let xattrs = Xattrs { acls: true, ..Xattrs::default() };
    copied(&room, Policy { xattrs, ..Policy::default() }).unwrap();
    let to = room.destination();
    assert_eq!(xattr(&to.join("a/shot.exr"), ACL_ACCESS).unwrap(), list);
    assert_eq!(xattr(&to.join("a"), ACL_DEFAULT).unwrap(), list);
    fs::remove_dir_all(&to).unwrap();

    // Production's own default list reaches everything below.
    set_xattr(to.parent().unwrap(), ACL_DEFAULT, &group_acl(5, 5));
    let policy = Policy { dir_mode: 0o750, file_mode: 0o640, ..Policy::default() };
    copied(&room, policy).unwrap();
    for path in ["", "a", "a/shot.exr"] {
        let found = xattr(&to.join(path), ACL_ACCESS).unwrap_or_default();
        let entry = acl(&[(8, 5, GROUP)])[4..].to_vec();
        assert!(found.windows(8).any(|window| window == entry), "{path}: {found:?}");
    }
}

#[test]
fn a_folder_that_hands_its_group_down_does_so() {
    if !root("a_folder_that_hands_its_group_down_does_so") {
        return;
    }
    let room = Room::new();
    let production = room.destination().parent().unwrap().to_owned();
    chown(&production, None, Some(GROUP)).unwrap();
    set_mode(&production, 0o2775);
    deliver(&room.plan(1)).unwrap();
    for path in ["", "plates/empty", "note.txt"] {
        let found = room.destination().join(path).metadata().unwrap();
        assert_eq!(found.gid(), GROUP, "{path}");
        assert_eq!(found.mode() & 0o2000 != 0, found.is_dir(), "{path}");
    }
}

#[test]
fn a_delivery_is_given_away_whole() {
    if !root("a_delivery_is_given_away_whole") {
        return;
    }
    let room = Room::new();
    let owner = Owner { uid: Some(4321), gid: Some(GROUP) };
    copied(&room, Policy { owner, ..Policy::default() }).unwrap();
    for path in ["", "plates", "plates/empty/below", "plates/a/comp.0000.exr", "note.txt"] {
        let found = room.destination().join(path).metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (4321, GROUP), "{path}");
    }
    room.assert_delivered();
}

#[test]
fn who_may_not_give_away_is_told_what_to_do_before_anything_is_written() {
    if geteuid().is_root() {
        eprintln!("SKIPPED who_may_not_give_away: root may");
        return;
    }
    let room = Room::new();
    let owner = Owner { uid: Some(0), gid: None };
    let error = copied(&room, Policy { owner, ..Policy::default() }).unwrap_err();
    assert_eq!(error.code(), "copy.owner", "{error:?}");
    assert!(error.hint().unwrap().contains("CAP_CHOWN"));
    room.assert_invisible();
}

#[test]
fn a_delivery_that_nobody_could_read_is_none() {
    let room = Room::new();
    let reader = Some(Reader::parse("others").unwrap());
    let production = room.destination().parent().unwrap().to_owned();
    let private = Policy { file_mode: 0o640, reader: reader.clone(), ..Policy::default() };
    let error = copied(&room, private).unwrap_err();
    let Error::Unreadable { path, reader: named, mode: 0o640, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((path, named.as_str()), (&room.destination(), "others"));
    room.assert_invisible();
    let files = |dir: &Path| walk(dir).into_iter().filter(|path| path.is_file()).count();
    assert_eq!(files(&room.partial()), 0, "nothing was written");

    // A folder above shuts them out as well.
    set_mode(&production, 0o770);
    let open = Policy { reader, ..Policy::default() };
    let error = copied(&room, open.clone()).unwrap_err();
    assert!(matches!(&error, Error::Unreadable { path, .. } if *path == production), "{error:?}");
    assert_eq!(error.code(), "copy.unreadable");
}

/// An access list whose mask shuts out whom it names.
#[test]
fn the_mask_of_an_inherited_list_is_looked_at() {
    if !root("the_mask_of_an_inherited_list_is_looked_at") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755);
    let parent = dir.path().join("production");
    fs::create_dir(&parent).unwrap();
    set_mode(&parent, 0o755);
    let list = group_acl(7, 7);
    if rustix::fs::setxattr(&parent, ACL_DEFAULT, &list, XattrFlags::empty()).is_err() {
        eprintln!("SKIPPED the_mask_of_an_inherited_list: no access lists here");
        return;
    }
    let room = Room::empty();
    room.write("shot.exr", b"pixels");
    let reader = Some(Reader::parse(&format!("group:{GROUP}")).unwrap());
    let copy = |file_mode| {
        let policy =
            Policy { file_mode, dir_mode: 0o750, reader: reader.clone(), ..Policy::default() };
        let options = Options { policy, ..Options::default() };
        copy::tree(&room.source(), &parent.join("TRF-00042"), &options, &())
    };
    let error = copy(0o600).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    copy(0o640).unwrap();
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}
