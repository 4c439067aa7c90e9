//! A whole copy in one call, where no store watches over it.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use uuid::{Builder, Uuid};

use crate::media::checksum::{self, Sha256};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::Monitor;
use crate::media::storage::{RelPath, escape};

use super::error::Error;
use super::prepare::{create_parent, refuse_inside_source};
use super::site::Site;
use super::transfer::seconds;
use super::{
    Attempt, Plan, Policy, Prepared, Published, ReadBack, Shape, Transferred, abort, finish,
    prepare, publish, transfer, verify,
};

/// What may be chosen for a stand-alone copy.
#[derive(Debug, Clone)]
pub struct Options {
    /// Modes, times, limits.
    pub policy: Policy,
    /// Whether to go on from what an interrupted copy to the same path left, and
    /// to leave what is done if this one fails. Else it begins anew, and a
    /// failure leaves nothing.
    pub resume: bool,
    /// What the source must be; `None`: what it is found to be, by one more read.
    pub manifest: Option<Manifest>,
}

impl Default for Options {
    fn default() -> Self {
        Self { policy: Policy::default(), resume: true, manifest: None }
    }
}

/// A file that was copied and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedFile {
    /// Relative to the copy's root; for a single file its name at the source.
    pub path: RelPath,
    /// Length.
    pub size_bytes: u64,
    /// Digest of what was read back.
    pub sha256: Sha256,
}

/// What a whole copy did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The final path.
    pub destination: PathBuf,
    /// Whether a folder or a file stands there.
    pub shape: Shape,
    /// The manifest digest.
    pub manifest_digest: Sha256,
    /// Every file.
    pub files: Vec<CopiedFile>,
    /// Their bytes.
    pub bytes: u64,
    /// How it began.
    pub prepared: Prepared,
    /// What was written.
    pub transferred: Transferred,
    /// What was read back, and what that is worth.
    pub read_back: ReadBack,
    /// How it appeared.
    pub published: Published,
    /// How long all of it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// Copies a folder, or a single file, to the final path `destination`, which must
/// not exist: the content of `source` appears there whole, or nothing does.
///
/// # Errors
/// As the phases that it goes through ([`prepare`] to [`finish`]);
/// [`Error::Busy`] while another such copy to the same path runs.
pub fn tree(
    source: &Path,
    destination: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let start = Instant::now();
    let source = source.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::SourceMissing { path: source.to_owned() },
        _ => Error::at(source, error),
    })?;
    let shape = if source.is_dir() { Shape::Tree } else { Shape::File };
    let mut plan = Plan {
        attempt: Attempt { id: attempt_id(destination)?, epoch: 0 },
        source,
        destination: destination.to_owned(),
        shape,
        manifest: Manifest::default(),
        policy: options.policy,
    };
    refuse_inside_source(&plan)?;
    create_parent(&plan)?;
    let site = Site::new(&plan)?;
    let _lock = Lock::take(&site)?;
    let left = site.siblings()?;
    if left.is_empty() && site.stat(site.final_name())?.is_some() {
        // Before everything is read for nothing.
        return Err(Error::DestinationExists { path: site.final_path() });
    }
    let latest = left.iter().filter(|sibling| sibling.attempt == plan.attempt.id);
    plan.attempt.epoch = latest.map(|sibling| sibling.epoch).max().unwrap_or(0) + 1;
    plan.manifest = match &options.manifest {
        Some(manifest) => manifest.clone(),
        None => describe(&plan, monitor)?,
    };
    if !options.resume {
        abort(&plan)?;
    }
    let done = run(&plan, monitor);
    if done.is_err() && !options.resume {
        abort(&plan)?;
    }
    let (prepared, transferred, read_back, published) = done?;
    Ok(Report {
        destination: site.final_path(),
        shape,
        manifest_digest: plan.manifest.digest(),
        bytes: plan.manifest.total_bytes(),
        files: plan.manifest.entries().iter().filter_map(copied).collect(),
        prepared,
        transferred,
        read_back,
        published,
        took: start.elapsed(),
    })
}

fn run(
    plan: &Plan,
    monitor: &dyn Monitor,
) -> Result<(Prepared, Transferred, ReadBack, Published), Error> {
    let prepared = prepare(plan)?;
    let transferred = transfer(plan, monitor)?;
    let read_back = verify(plan, monitor)?;
    let published = publish(plan, monitor)?;
    finish(plan)?;
    Ok((prepared, transferred, read_back, published))
}

pub(super) fn copied(entry: &Entry) -> Option<CopiedFile> {
    match entry {
        Entry::File { path, size_bytes, sha256 } => {
            Some(CopiedFile { path: path.clone(), size_bytes: *size_bytes, sha256: *sha256 })
        }
        Entry::EmptyDir { .. } => None,
    }
}

/// The manifest of the source as it stands.
fn describe(plan: &Plan, monitor: &dyn Monitor) -> Result<Manifest, Error> {
    if plan.shape == Shape::Tree {
        return Manifest::of_tree(&plan.source, plan.policy.jobs, monitor)
            .map_err(Error::of_manifest);
    }
    let name = plan.source.file_name().unwrap_or_default();
    let path = RelPath::check(name.as_bytes()).map_err(|flaw| {
        let path = escape(plan.source.as_os_str().as_bytes());
        Error::of_source(crate::media::storage::Error::Path { path, flaw })
    })?;
    let digest = checksum::file(&plan.source, &[], monitor)
        .map_err(|error| Error::of_manifest(error.into()))?;
    let sha256 = digest.digests.sha256();
    let entry = Entry::File { path, size_bytes: digest.size_bytes, sha256 };
    Manifest::from_entries(vec![entry]).map_err(Error::of_manifest)
}

/// All stand-alone copies to one final path are lives of one attempt: each takes
/// up what the last one left. (A version 8 UUID, RFC 9562: made of a SHA-256.)
pub(super) fn attempt_id(destination: &Path) -> Result<Uuid, Error> {
    let (_, name) = super::site::split(destination)?;
    let digest = Sha256::of(&[b"databridge copy\0", name.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    Ok(Builder::from_custom_bytes(bytes).into_uuid())
}

/// Keeps a second stand-alone copy to the same path out, as long as it lives.
#[derive(Debug)]
pub(super) struct Lock<'a> {
    site: &'a Site,
    file: File,
}

impl<'a> Lock<'a> {
    pub(super) fn take(site: &'a Site) -> Result<Self, Error> {
        let name = site.lock();
        let at = |errno| Error::at(site.path(&name), errno);
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE;
            let file = site.open(&name, flags, Mode::RUSR | Mode::WUSR).map_err(at)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy { path: site.final_path() }),
                // No locks there: the epochs still keep two copies apart.
                Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
                Err(errno) => return Err(at(errno)),
            }
            // Its last holder may have removed it between our opening and locking.
            let locked = rustix::fs::fstat(&file).map_err(at)?.st_ino;
            if site.stat(&name)?.is_some_and(|stat| stat.ino == locked) {
                return Ok(Self { site, file: File::from(file) });
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // While it is still held, so that nobody locks a file that is going.
        let _ = self.site.unlink(&self.site.lock());
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}
