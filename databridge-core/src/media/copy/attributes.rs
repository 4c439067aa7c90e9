//! What a written file is given besides its bytes.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, Timespec, Timestamps};
use rustix::io::Errno;

use crate::media::storage::Stat;

use super::error::Error;
use super::session::Session;

/// Where a file came from: open, and as it was when it was opened.
#[derive(Debug, Clone, Copy)]
// The extended attributes are read through `file` and named by `path`.
#[allow(dead_code)]
pub struct Origin<'a> {
    pub file: &'a File,
    pub stat: &'a Stat,
    pub path: &'a Path,
}

/// Gives the written file `target` (at `name`, below the parent) its mode and time,
/// then brings it to the device if `flush`; says its inode. Nothing may be written
/// to it after this.
pub fn settle(
    session: &Session<'_>,
    from: Origin<'_>,
    target: &File,
    name: &Path,
    flush: bool,
) -> Result<u64, Error> {
    let policy = &session.plan.policy;
    let at = |errno: Errno| session.site.blame(name, errno);
    rustix::fs::fchmod(target, Mode::from_raw_mode(policy.file_mode & 0o777 | 0o400))
        .map_err(at)?;
    if policy.keep_mtime {
        let modified = time(from.stat.mtime_ns);
        let times = Timestamps { last_access: modified, last_modification: modified };
        rustix::fs::futimens(target, &times).map_err(at)?;
    }
    if flush {
        target.sync_all().map_err(|error| session.site.blame(name, error))?;
    }
    Ok(rustix::fs::fstat(target).map_err(at)?.st_ino)
}

fn time(ns: i64) -> Timespec {
    Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) }
}
