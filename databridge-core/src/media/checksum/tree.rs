//! Every file of a tree: hashed while the tree is still being walked.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::content::{self, Content, LARGE_BYTES, Scratch};
use super::pipeline::{self, Desk};
use super::{Algorithm, Cache, Error, FileDigest, Shelf};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Folder, Kind, RelPath, Stat};
use crate::media::walk::{self, Names, Place};

/// How a tree is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Digests besides SHA-256.
    pub algorithms: &'a [Algorithm],
    /// Files at a time; `None`: of large ones one for each core, of short ones as many as
    /// what they stand on answers together.
    pub jobs: Option<NonZeroUsize>,
    /// Digests known from earlier. Not for the verification of anything.
    pub cache: Option<&'a Cache>,
}

/// Hashes every file below `root`, `jobs` at a time as in [`Options::jobs`], each in a single
/// read; sorted by path, empty folders left out.
///
/// Errors: as [`each`].
pub fn tree(
    root: &Path,
    algorithms: &[Algorithm],
    jobs: Option<NonZeroUsize>,
    monitor: &dyn Monitor,
) -> Result<Vec<(RelPath, FileDigest)>, Error> {
    let mut all = Vec::new();
    let options = Options { algorithms, jobs, cache: None };
    each(root, options, monitor, |found| {
        all.extend(found.map(|found| (found.path, found.digest)));
        Ok(())
    })?;
    Ok(all)
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the tree's root.
    pub path: RelPath,
    /// What it holds.
    pub digest: FileDigest,
    /// It was not read: the cache knew it.
    pub is_cached: bool,
}

/// As [`tree()`], but each file is handed to `take` as soon as it and all before it
/// are done, and nothing is kept: memory does not grow with the tree. `take(None)`
/// means that the next one is not there yet, a good moment to flush an output.
///
/// Errors: names that no delivery may hold ([`walk::Error::Refused`], all of them,
/// once the walk met the last: some files were handed over by then), a file that
/// somebody writes to, cancellation, what the system says, what `take` says. The
/// first one ends the rest.
pub fn each(
    root: &Path,
    options: Options<'_>,
    monitor: &dyn Monitor,
    take: impl FnMut(Option<Found>) -> Result<(), Error>,
) -> Result<(), Error> {
    let folder = Folder::open(root).map_err(walk::Error::from)?;
    announce(&folder, monitor)?;
    let (threads, shelf) = Shelf::of(&folder, options.jobs);
    let work = |scratch: &mut Scratch<'_>,
                desk: &mut Desk<Found>,
                place: &Arc<Place>,
                name: &[u8],
                (): &()| {
        let path = RelPath::check(&place.relative(name)).map_err(|flaw| {
            let path = storage::escape(&place.relative(name));
            storage::Error::Path { path, flaw }
        })?;
        if let Some(cache) = options.cache
            && let Some(digest) = cache.find(&place.stat(name)?, place.medium, options.algorithms)
        {
            monitor.on(Progress::Bytes(digest.size_bytes));
            monitor.on(Progress::File(path.as_str()));
            return Ok(Found { path, digest, is_cached: true });
        }
        let content =
            below(place, name, false, options.algorithms, scratch, &mut || desk.flush(), monitor)?;
        let digest = FileDigest { size_bytes: content.stat.size_bytes, digests: content.digests };
        if let Some(cache) = options.cache {
            cache.keep(&content.stat, place.medium, &digest.digests);
        }
        monitor.on(Progress::File(path.as_str()));
        Ok(Found { path, digest, is_cached: false })
    };
    let produce = |feed: &mut pipeline::Feed<'_, ()>| {
        Ok(walk::sorted(&folder, Names::Admitted, |place, name, kind| {
            kind != Kind::File || feed.push(place, name, ())
        })?)
    };
    pipeline::run(threads, produce, || Scratch::new(&shelf), work, take)
}

/// Says the total to who wants to know it.
pub(crate) fn announce(folder: &Folder, monitor: &dyn Monitor) -> Result<(), Error> {
    if monitor.wants_total() {
        let (files, bytes) = walk::count(folder, || monitor.cancelled())?;
        monitor.on(Progress::Total { files, bytes });
    }
    if monitor.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Hashes the file `name` of an open folder; from the device if `is_device`.
/// `before_long` is called where that takes long.
pub(crate) fn below(
    place: &Place,
    name: &[u8],
    is_device: bool,
    algorithms: &[Algorithm],
    scratch: &mut Scratch<'_>,
    before_long: &mut dyn FnMut(),
    monitor: &dyn Monitor,
) -> Result<Content, Error> {
    if monitor.cancelled() {
        return Err(Error::Cancelled);
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let name_there = std::ffi::OsStr::from_bytes(name);
    let open = || openat(place, name_there, flags, Mode::empty()).map(File::from);
    let whole = || place.whole(name);
    let file = match open() {
        Ok(file) => file,
        // A socket.
        Err(Errno::NXIO) => return Err(storage::Error::NotAFile { path: whole() }.into()),
        Err(errno) => return Err(storage::Error::io("open", whole(), errno).into()),
    };
    let stat = Stat::of(&file).map_err(|error| storage::Error::io("examine", whole(), error))?;
    if stat.kind != Kind::File {
        return Err(storage::Error::NotAFile { path: whole() }.into());
    }
    if stat.size_bytes >= LARGE_BYTES {
        before_long();
    }
    let device = is_device.then_some(place.medium);
    let opened = content::Opened { path: &whole, again: &open };
    content::hash(file, stat, device, algorithms, scratch, opened, monitor)
}
