//! rsync as a method: it brings the files into the partial folder, from here or by
//! ssh; reading back, comparing and publishing are ours as ever.
//!
//! # Why rsync never gets the partial folder itself
//! It works below a directory that it has entered, so the one guard of
//! [`copy`](super::copy), that a worker which lost its lease finds its folder's name
//! gone, does not hold for it. It gets a folder of its own epoch inside the partial
//! one instead, and only when it and all its children are dead are the files moved
//! out by us. A successor moves what is finished there into its own; an rsync whose
//! worker was killed writes on, until its next progress line finds no reader, into a
//! folder that nobody takes anything from any more. A file with its final name was
//! closed by rsync before it got it.

mod command;
mod error;
mod progress;
mod source;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::Error;
pub use source::Source;

use super::copy::{self, Options, Report, Shape, Transferred};
use super::manifest::{Entry, Manifest};
use super::monitor::{Monitor, Progress};
use super::storage::{RESERVED_PREFIX, RelPath, make_dirs};

/// How rsync is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The program.
    pub program: PathBuf,
    /// The remote shell and its arguments; it must not ask anything.
    pub ssh: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { program: "rsync".into(), ssh: vec!["ssh".into(), "-oBatchMode=yes".into()] }
    }
}

/// As [`copy::transfer`], by rsync.
///
/// # Errors
/// [`Error`], and as [`copy::transfer`]. A source that is not the manifest's shows
/// in the read-back.
pub fn transfer(
    plan: &copy::Plan,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Transferred, copy::Error> {
    copy::refuse_attributes(&plan.policy)?;
    let source = Source::Path(plan.source.clone());
    copy::fill(plan, monitor, |partial, watch| fill(&source, plan, partial, settings, watch))
}

/// As [`copy::tree`], by rsync, also from another host (`host:path`).
///
/// # Errors
/// [`Error`], and as [`copy::tree`].
pub fn tree(
    source: &Source,
    manifest: Manifest,
    destination: &Path,
    options: &Options,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Report, copy::Error> {
    let fill = |plan: &copy::Plan, partial: &Path, watch: &dyn Monitor| {
        fill(source, plan, partial, settings, watch)
    };
    let name = source.to_string().into();
    copy::filled(name, destination, Shape::Tree, manifest, options, monitor, &fill)
}

/// What is at the source, by one read of it: here by us, elsewhere by `sha256sum`
/// there.
///
/// # Errors
/// [`Error`], and what the walk and the checksums say.
pub fn describe(
    source: &Source,
    settings: &Settings,
    jobs: Option<NonZeroUsize>,
    monitor: &dyn Monitor,
) -> Result<Manifest, copy::Error> {
    match source {
        Source::Path(path) => {
            Manifest::of_tree(path, jobs, monitor).map_err(copy::Error::of_manifest)
        }
        Source::Remote { host, path } => source::describe(host, path, settings, monitor),
    }
}

/// The folder that rsync of an epoch fills, inside the partial one; no delivery has a
/// name that begins so.
fn own(epoch: u64) -> String {
    format!("{RESERVED_PREFIX}rsync-{epoch}")
}

fn fill(
    source: &Source,
    plan: &copy::Plan,
    partial: &Path,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Transferred, copy::Error> {
    let manifest = &plan.manifest;
    monitor.on(Progress::Total { files: manifest.file_count(), bytes: manifest.total_bytes() });
    let into = partial.join(own(plan.attempt.epoch));
    let at = |path: &Path, error| copy::Error::at(path, error);
    make_dirs(&into, 0o700).map_err(|error| at(&into, error))?;
    let gathered = gather(partial, &into, manifest).map_err(|error| at(partial, error))?;
    let run = command::Run {
        source,
        into: &into,
        manifest,
        policy: &plan.policy,
        // What an earlier life left is compared by content, not by its dates.
        resume: gathered > 0,
        settings,
    };
    let done = run.run(monitor)?;
    spread(partial, &into, manifest).map_err(|error| at(partial, error))?;
    let files = done.files.min(manifest.file_count());
    let bytes = done.bytes.min(manifest.total_bytes());
    Ok(Transferred {
        files,
        bytes,
        kept_files: manifest.file_count() - files,
        kept_bytes: manifest.total_bytes() - bytes,
        ..Transferred::default()
    })
}

fn files(manifest: &Manifest) -> impl Iterator<Item = &RelPath> {
    manifest.entries().iter().filter_map(|entry| match entry {
        Entry::File { path, .. } => Some(path),
        Entry::EmptyDir { .. } => None,
    })
}

/// Moves what earlier lives finished into this epoch's own folder; how many files.
/// Each step names the partial folder anew, so that it fails once that is not ours.
fn gather(partial: &Path, into: &Path, manifest: &Manifest) -> io::Result<u64> {
    let mut homes = vec![partial.to_owned()];
    for entry in std::fs::read_dir(partial)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{RESERVED_PREFIX}rsync-")) && path != into {
            homes.push(path);
        }
    }
    let mut moved = files(manifest).filter(|path| is_file(&into.join(path))).count() as u64;
    for home in &homes {
        for path in files(manifest).filter(|path| is_file(&home.join(path))) {
            move_file(&home.join(path), &into.join(path))?;
            moved += 1;
        }
    }
    for old in &homes[1..] {
        std::fs::remove_dir_all(old)?;
    }
    Ok(moved)
}

/// Moves what rsync brought to where it belongs.
fn spread(partial: &Path, into: &Path, manifest: &Manifest) -> io::Result<()> {
    for path in files(manifest).filter(|path| is_file(&into.join(path))) {
        move_file(&into.join(path), &partial.join(path))?;
    }
    std::fs::remove_dir_all(into)
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        make_dirs(parent, 0o700)?;
    }
    std::fs::rename(from, to)
}
