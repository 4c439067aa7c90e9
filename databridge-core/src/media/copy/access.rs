//! Who will be able to read what is delivered.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, ACL_ACCESS};
use super::error::Error;
use super::names::Kind;
use super::policy::{Policy, parse_group};
use super::site::Site;
use super::{Plan, Shape};

/// What is laid into the partial folder to see what a delivery would be like.
const PROBE: &str = ".databridge-probe";

const READ: u16 = 4;
const ENTER: u16 = 1;

/// Somebody who is to read a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// As it was named.
    name: String,
    uid: Option<u32>,
    gids: Vec<u32>,
}

impl Reader {
    /// Of `user:NAME` (with all of that user's groups), `group:NAME` (any member of
    /// it, who owns nothing) or `others`.
    ///
    /// # Errors
    /// [`Error::Policy`] where this host knows no such name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |reason: &str| Error::Policy {
            setting: "readable_by",
            value: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (uid, gids) = match text.split_once(':') {
            None if text == "others" => (None, Vec::new()),
            Some(("group", group)) => (None, vec![parse_group("readable_by", group)?]),
            Some(("user", name)) => {
                let user = nix::unistd::User::from_name(name).ok().flatten();
                let user = user.ok_or_else(|| refused("this host knows no such user"))?;
                let known = std::ffi::CString::new(name).map_err(|_| refused("it has a NUL"))?;
                let groups = nix::unistd::getgrouplist(&known, user.gid)
                    .map_err(|errno| refused(&format!("its groups are not known: {errno}")))?;
                (Some(user.uid.as_raw()), groups.into_iter().map(|gid| gid.as_raw()).collect())
            }
            _ => return Err(refused("it is user:NAME, group:NAME or others")),
        };
        Ok(Self { name: text.to_owned(), uid, gids })
    }

    /// Whether what has these facts and this access list (as the kernel keeps it)
    /// lets the reader do all of `wanted`: acl(5), access check algorithm.
    fn may(&self, wanted: u16, stat: &Stat, acl: Option<&[u8]>) -> bool {
        let bits = |shift: u32| ((stat.st_mode >> shift) & 7) as u16;
        let grants = |perm: u16| perm & wanted == wanted;
        if self.uid == Some(0) {
            return true;
        }
        if self.uid == Some(stat.st_uid) {
            return grants(bits(6));
        }
        let entries: Vec<Entry> = acl.map(entries).unwrap_or_default();
        let mask = entries.iter().find(|entry| entry.tag == MASK).map_or(7, |entry| entry.perm);
        let named = |tag, id| {
            entries.iter().filter(move |entry| entry.tag == tag && entry.id == id).map(|e| e.perm)
        };
        if let Some(perm) = self.uid.and_then(|uid| named(USER, uid).next()) {
            return grants(perm & mask);
        }
        // With an access list the mode's group bits are its mask.
        let owning = entries.iter().find(|entry| entry.tag == GROUP_OBJ);
        let owning = owning.map_or(bits(3), |entry| entry.perm);
        let mut matching = Vec::new();
        for gid in &self.gids {
            if *gid == stat.st_gid {
                matching.push(owning & mask);
            }
            matching.extend(named(GROUP, *gid).map(|perm| perm & mask));
        }
        match matching.is_empty() {
            true => grants(bits(0)),
            false => matching.into_iter().any(grants),
        }
    }
}

// Tags of linux/posix_acl.h.
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// The entries of an access list as linux/posix_acl_xattr.h has it: a version, then
/// tag, permissions and id of each, in little endian.
fn entries(acl: &[u8]) -> Vec<Entry> {
    let (version, rest) = acl.split_at(acl.len().min(4));
    if version != 2u32.to_le_bytes() {
        return Vec::new();
    }
    rest.chunks_exact(8)
        .map(|e| Entry {
            tag: u16::from_le_bytes([e[0], e[1]]),
            perm: u16::from_le_bytes([e[2], e[3]]),
            id: u32::from_le_bytes([e[4], e[5], e[6], e[7]]),
        })
        .collect()
}

/// Lays a folder and a file like those of the delivery into the partial folder, and
/// looks whether they can be given away and read as the policy wants.
pub fn check(plan: &Plan, site: &Site) -> Result<(), Error> {
    if plan.policy.reader.is_none() && plan.policy.owner == super::Owner::default() {
        return Ok(());
    }
    let dir = site.own(Kind::Partial).join(PROBE);
    remove(site, &dir)?;
    let done = probe(&plan.policy, site, &dir, plan.shape);
    let removed = remove(site, &dir);
    done.and(removed)
}

fn remove(site: &Site, dir: &Path) -> Result<(), Error> {
    let gone = |path: &Path, done: Result<(), Errno>| match done {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(site.blame(path, errno)),
    };
    let file = dir.join(PROBE);
    gone(&file, site.unlink(&file))?;
    gone(dir, site.remove_dir(dir))
}

fn probe(policy: &Policy, site: &Site, dir: &Path, shape: Shape) -> Result<(), Error> {
    site.make_dir(dir).map_err(|errno| site.blame(dir, errno))?;
    let file = dir.join(PROBE);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let made = site.open(&file, flags, Mode::RUSR | Mode::WUSR);
    let made = made.map_err(|errno| site.blame(&file, errno))?;
    let folder = site.open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let folder = folder.map_err(|errno| site.blame(dir, errno))?;
    attributes::give(policy, site, &made, &file, policy.file_mode & 0o777 | 0o400)?;
    let mode = attributes::dir_bits(policy.dir_mode, &folder, |errno| site.blame(dir, errno))?;
    attributes::give(policy, site, &folder, dir, mode)?;
    let Some(reader) = &policy.reader else { return Ok(()) };
    // The kinds of thing, as they would stand at the final path.
    let final_path = site.final_path();
    may(reader, READ, &made, &final_path)?;
    if shape == Shape::Tree {
        may(reader, READ | ENTER, &folder, &final_path)?;
    }
    for above in final_path.ancestors().skip(1) {
        let open = rustix::fs::open(above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .map_err(|errno| Error::at(above, errno))?;
        may(reader, ENTER, &open, above)?;
    }
    Ok(())
}

fn may(reader: &Reader, wanted: u16, file: impl AsFd, path: &Path) -> Result<(), Error> {
    let stat = rustix::fs::fstat(&file).map_err(|errno| Error::at(path, errno))?;
    // By its descriptor's own path, since a PATH descriptor answers no fgetxattr.
    let link =
        PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file.as_fd())));
    let mut value = vec![0; 64 << 10];
    let acl = rustix::fs::getxattr(&link, ACL_ACCESS, &mut *value).ok();
    let acl = acl.map(|length| &value[..length]);
    if reader.may(wanted, &stat, acl) {
        return Ok(());
    }
    Err(Error::Unreadable {
        path: path.to_owned(),
        reader: reader.name.clone(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reader(uid: Option<u32>, gids: &[u32]) -> Reader {
        Reader { name: "x".into(), uid, gids: gids.to_vec() }
    }

    fn facts(mode: u32, uid: u32, gid: u32) -> Stat {
        let dir = tempfile::tempdir().unwrap();
        let mut stat = rustix::fs::stat(dir.path()).unwrap();
        (stat.st_mode, stat.st_uid, stat.st_gid) = (0o100_000 | mode, uid, gid);
        stat
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(perm.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_first_class_that_matches_decides() {
        let stat = facts(0o604, 10, 20);
        for (who, may) in [
            (reader(Some(10), &[]), true),
            (reader(Some(11), &[20]), false),
            (reader(None, &[20]), false),
            (reader(None, &[21]), true),
            (reader(None, &[]), true),
            (reader(Some(0), &[20]), true),
        ] {
            assert_eq!(who.may(READ, &stat, None), may, "{who:?}");
        }
    }

    #[test]
    fn an_access_list_grants_only_what_its_mask_lets_through() {
        const NONE: u32 = u32::MAX;
        let list = |mask| {
            acl(&[(1, 6, NONE), (4, 0, NONE), (8, 7, 30), (0x10, mask, NONE), (0x20, 0, NONE)])
        };
        let member = reader(None, &[30]);
        assert!(member.may(READ, &facts(0o660, 10, 20), Some(&list(6))));
        assert!(!member.may(READ, &facts(0o600, 10, 20), Some(&list(0))));
        assert!(!member.may(READ | ENTER, &facts(0o660, 10, 20), Some(&list(6))));
        let named =
            acl(&[(1, 7, NONE), (2, 4, 55), (4, 0, NONE), (0x10, 4, NONE), (0x20, 0, NONE)]);
        assert!(reader(Some(55), &[]).may(READ, &facts(0o640, 10, 20), Some(&named)));
        assert!(!reader(Some(56), &[]).may(READ, &facts(0o640, 10, 20), Some(&named)));
    }

    #[test]
    fn readers_are_named() {
        assert!(Reader::parse("others").is_ok() && Reader::parse("user:root").is_ok());
        assert!(Reader::parse("group:root").is_ok());
        for bad in ["root", "group:no-such-group-here", "user:no-such-user-here", "everyone:x"] {
            assert!(Reader::parse(bad).is_err(), "{bad}");
        }
    }
}
