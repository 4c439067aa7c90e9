//! What is given to files and folders besides their content.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::media::storage::{Folder, RelPath, Stat, escape};

use super::Shape;
use super::error::Error;
use super::listing;
use super::names::Kind;
use super::policy::{Policy, Xattrs};
use super::session::Session;
use super::site::Site;

pub(super) const ACL_ACCESS: &str = "system.posix_acl_access";
const ACL_DEFAULT: &str = "system.posix_acl_default";
/// The kernel's own bound on a list of names and on one value (xattr(7)).
const KERNEL_BYTES: usize = 64 << 10;
/// More attributes than this, or more bytes, do not come along from one file.
const MOST: usize = 256;
const MOST_BYTES: usize = 1 << 20;
/// Lost attributes that are named; the rest is counted.
const NAMED: usize = 100;

/// Where a file came from: open, and as it was when it was opened.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub file: &'a File,
    pub stat: &'a Stat,
    pub path: &'a Path,
}

/// Attributes that the destination did not take, where the policy tolerates it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The first hundred, as `path: attribute`.
    pub named: Vec<String>,
}

/// Gathers what is lost, from several threads.
#[derive(Debug, Default)]
pub struct Losses(Mutex<Lost>);

impl Losses {
    fn add(&self, path: &Path, name: &str) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.count += 1;
        if lost.named.len() < NAMED {
            let path = escape(path.as_os_str().as_encoded_bytes());
            lost.named.push(format!("{path}: {name}"));
        }
    }

    /// All of it, in the order of the names.
    pub fn told(&self) -> Lost {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lost.named.sort();
        lost
    }
}

/// Gives the written file `target` (at `name`, below the parent) what the policy
/// says, then brings it to the device if `flush`; says its inode. Nothing may be
/// written to it after this.
pub fn settle(
    session: &Session<'_>,
    from: Origin<'_>,
    target: &File,
    name: &Path,
    flush: bool,
) -> Result<u64, Error> {
    let (policy, site) = (&session.plan.policy, &session.site);
    let at = |errno: Errno| site.blame(name, errno);
    let mode = if policy.keep_mode { from.stat.mode } else { policy.file_mode };
    // Before the mode, which may take away the right to set them; but an access list
    // after it, since that has the mode in it.
    carry(session, from.file, from.path, target, name, Carried::Others)?;
    give_mode(target, mode & 0o777 | 0o400).map_err(at)?;
    carry(session, from.file, from.path, target, name, Carried::AccessLists { dir: false })?;
    if policy.keep_mtime {
        set_time(target, from.stat.mtime_ns).map_err(at)?;
    }
    set_owner(policy, site, target, name)?;
    if flush {
        target.sync_all().map_err(|error| site.blame(name, error))?;
    }
    Ok(rustix::fs::fstat(target).map_err(at)?.st_ino)
}

/// Gives every folder below the root what the policy says, those below first:
/// nothing may be made in them after this.
pub fn settle_dirs(session: &Session<'_>) -> Result<(), Error> {
    let source = source_of(session)?;
    let root = session.site.own(Kind::Partial);
    for dir in listing::dirs(&session.plan.manifest).into_iter().rev() {
        let from = match (&source, dir.to_str()) {
            (Some(source), Some(name)) => {
                let name = RelPath::parse(name).map_err(Error::of_source)?;
                Some(source.open_dir(&name).map_err(Error::of_source)?)
            }
            _ => None,
        };
        settle_dir(session, from.as_ref(), &root.join(dir))?;
    }
    Ok(())
}

/// Gives the root itself what the policy says; from then on it may be entered.
pub fn settle_root(session: &Session<'_>) -> Result<(), Error> {
    settle_dir(session, source_of(session)?.as_ref(), &session.site.own(Kind::Partial))
}

/// The source's root, where the policy wants anything of its folders.
fn source_of(session: &Session<'_>) -> Result<Option<Folder>, Error> {
    let policy = &session.plan.policy;
    let wanted = policy.keep_mode || policy.keep_dir_mtime || policy.xattrs.any();
    match wanted && session.plan.shape == Shape::Tree {
        true => Folder::open(&session.plan.source).map(Some).map_err(Error::of_source),
        false => Ok(None),
    }
}

fn settle_dir(session: &Session<'_>, from: Option<&Folder>, dir: &Path) -> Result<(), Error> {
    let (policy, site) = (&session.plan.policy, &session.site);
    let at = |errno| site.blame(dir, errno);
    let target = site.open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map_err(at)?;
    let stat = from.map(|from| from.own_stat().map_err(Error::of_source)).transpose()?;
    let mode = stat.filter(|_| policy.keep_mode).map_or(policy.dir_mode, |stat| stat.mode);
    if let Some(from) = from {
        carry(session, from, from.path(), &target, dir, Carried::Others)?;
    }
    give_mode(&target, dir_bits(mode, &target, at)?).map_err(at)?;
    if let (Some(from), Some(stat)) = (from, stat) {
        carry(session, from, from.path(), &target, dir, Carried::AccessLists { dir: true })?;
        if policy.keep_dir_mtime {
            set_time(&target, stat.mtime_ns).map_err(at)?;
        }
    }
    set_owner(policy, site, &target, dir)
}

/// A folder's mode: its owner may always enter, and what it inherited stays.
pub(super) fn dir_bits(
    bits: u32,
    dir: impl AsFd,
    at: impl Fn(Errno) -> Error,
) -> Result<u32, Error> {
    let now = rustix::fs::fstat(dir).map_err(at)?.st_mode;
    Ok(bits & 0o777 | 0o500 | now & Mode::SGID.as_raw_mode())
}

/// Mode and owner alone.
pub(super) fn give(
    policy: &Policy,
    site: &Site,
    target: impl AsFd,
    name: &Path,
    mode: u32,
) -> Result<(), Error> {
    give_mode(&target, mode).map_err(|errno| site.blame(name, errno))?;
    set_owner(policy, site, target, name)
}

pub(super) fn give_mode(target: impl AsFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(target, Mode::from_raw_mode(mode))
}

fn set_time(target: impl AsFd, ns: i64) -> Result<(), Errno> {
    let modified =
        Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: modified, last_modification: modified };
    rustix::fs::futimens(target, &times)
}

/// Last of all: who is not root has no say over it afterwards.
fn set_owner(policy: &Policy, site: &Site, target: impl AsFd, name: &Path) -> Result<(), Error> {
    let owner = policy.owner;
    if owner == super::Owner::default() {
        return Ok(());
    }
    let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
    match rustix::fs::fchown(target, uid, gid) {
        Ok(()) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP) => {
            Err(Error::Owner { path: site.path(name), uid: owner.uid, gid: owner.gid })
        }
        Err(errno) => Err(site.blame(name, errno)),
    }
}

/// Which extended attributes.
#[derive(Debug, Clone, Copy)]
enum Carried {
    /// Those that say who may do what.
    AccessLists { dir: bool },
    /// All others.
    Others,
}

/// Brings the extended attributes along that the policy names.
fn carry(
    session: &Session<'_>,
    from: impl AsFd,
    from_path: &Path,
    to: impl AsFd,
    name: &Path,
    which: Carried,
) -> Result<(), Error> {
    let policy = &session.plan.policy.xattrs;
    if !policy.any() {
        return Ok(());
    }
    let read = |errno| Error::at(from_path, errno);
    let mut left = MOST_BYTES;
    for (index, attribute) in names(policy, &from, which).map_err(read)?.iter().enumerate() {
        let mut value = vec![0; KERNEL_BYTES];
        let length = match rustix::fs::fgetxattr(&from, attribute.as_str(), &mut *value) {
            // Removed since it was listed.
            Err(Errno::NODATA) => continue,
            length => length.map_err(read)?,
        };
        let set = match left.checked_sub(length).filter(|_| index < MOST) {
            None => Err(Errno::TOOBIG),
            Some(rest) => {
                left = rest;
                let flags = XattrFlags::empty();
                rustix::fs::fsetxattr(&to, attribute.as_str(), &value[..length], flags)
            }
        };
        match set {
            Ok(()) => {}
            Err(
                Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::ACCESS
                | Errno::RANGE
                | Errno::TOOBIG
                | Errno::INVAL
                | Errno::NOSPC
                | Errno::NOSYS,
            ) if policy.tolerate => session.losses.add(from_path, attribute),
            Err(Errno::NOENT) => return Err(session.site.blame(name, Errno::NOENT)),
            Err(errno) => {
                return Err(Error::Attribute {
                    path: from_path.to_owned(),
                    attribute: escape(attribute.as_bytes()),
                    source: errno.into(),
                });
            }
        }
    }
    Ok(())
}

/// The names of those that the policy wants, in order.
fn names(policy: &Xattrs, from: impl AsFd, which: Carried) -> Result<Vec<String>, Errno> {
    let mut list = vec![0; KERNEL_BYTES];
    let length = match rustix::fs::flistxattr(from, &mut *list) {
        // The source keeps none.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => 0,
        length => length?,
    };
    let named =
        |name: &str| policy.namespaces.iter().any(|namespace| name.starts_with(namespace.prefix()));
    let wanted = |name: &str| match (name, which) {
        (ACL_ACCESS, Carried::AccessLists { .. }) => policy.acls,
        (ACL_DEFAULT, Carried::AccessLists { dir }) => policy.acls && dir,
        (ACL_ACCESS | ACL_DEFAULT, _) | (_, Carried::AccessLists { .. }) => false,
        (_, Carried::Others) => named(name),
    };
    let all = list[..length].split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok());
    let mut names: Vec<_> = all.filter(|name| wanted(name)).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}
