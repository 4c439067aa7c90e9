//! A partial folder that another program fills.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

use crate::media::manifest::Manifest;
use crate::media::monitor::{Monitor, Phase, Progress};

use super::error::Error;
use super::journal::Mark;
use super::listing;
use super::names::Kind;
use super::prepare::create_parent;
use super::session::Session;
use super::site::{Site, Standing};
use super::standalone::{Lock, attempt_id, copied};
use super::{
    Attempt, HardLinks, Options, Plan, Policy, Prepared, Published, Rates, ReadBack, Report, Shape,
    Transferred, abort, attributes, finish, prepare, publish, verify,
};

/// As [`super::transfer`], but `work` brings the files into the partial folder that
/// it is given. What it leaves there is believed no more than anything else: modes
/// are set and all is flushed, and the read-back judges names and content.
///
/// The folder is handed over by its path, so here the window of a call held up in
/// the kernel (see [the argument](super)) is as long as the other program runs: it
/// must be dead before `work` returns, and is sent away when its worker is.
///
/// # Errors
/// As [`super::transfer`], and what `work` says.
pub fn fill(
    plan: &Plan,
    monitor: &dyn Monitor,
    work: impl FnOnce(&Path, &dyn Monitor) -> Result<Transferred, Error>,
) -> Result<Transferred, Error> {
    let start = Instant::now();
    monitor.on(Progress::Phase(Phase::Copy));
    let session = Session::open(plan, false)?;
    if session.standing == Standing::Published {
        let (kept_files, kept_bytes) = (plan.manifest.file_count(), plan.manifest.total_bytes());
        return Ok(Transferred {
            kept_files,
            kept_bytes,
            took: start.elapsed(),
            ..Transferred::default()
        });
    }
    let root = session.site.own(Kind::Partial);
    session.set_mode(&root, 0o700)?;
    unlock(&session)?;
    let held = Held { session: &session, monitor };
    let done = work(&session.site.path(&root), &held);
    session.site.check_partial()?;
    let done = done?;
    clean(&session)?;
    settle(&session)?;
    Ok(Transferred { took: start.elapsed(), ..done })
}

/// How a partial folder is filled: given the plan, the folder, and who listens.
pub type Fill<'a> = &'a dyn Fn(&Plan, &Path, &dyn Monitor) -> Result<Transferred, Error>;

/// As [`super::tree()`], of a source that only `work` can reach and `manifest`
/// describes.
///
/// # Errors
/// As [`super::tree()`], and what `work` says.
pub fn filled(
    source: PathBuf,
    destination: &Path,
    shape: Shape,
    manifest: Manifest,
    options: &Options,
    monitor: &dyn Monitor,
    work: Fill<'_>,
) -> Result<Report, Error> {
    let start = Instant::now();
    refuse_attributes(&options.policy)?;
    let id = attempt_id(destination)?;
    let mut plan = Plan {
        attempt: Attempt { id, epoch: 0 },
        source,
        destination: destination.to_owned(),
        shape,
        manifest,
        policy: options.policy.clone(),
    };
    create_parent(&plan)?;
    let site = Site::new(&plan)?;
    let _lock = Lock::take(&site)?;
    let left = site.siblings()?;
    let latest = left.iter().filter(|sibling| sibling.attempt == id);
    plan.attempt.epoch = site.next_epoch(latest.map(|sibling| sibling.epoch).max())?;
    if !options.resume {
        abort(&plan)?;
    }
    let done = phases(&plan, monitor, work);
    if done.is_err() && !options.resume {
        abort(&plan)?;
    }
    let (prepared, transferred, read_back, published) = done?;
    Ok(Report {
        destination: site.final_path(),
        shape,
        manifest_digest: plan.manifest.digest(),
        bytes: plan.manifest.total_bytes(),
        files: copied(&plan.manifest, Vec::new()),
        bytes_per_second: Rates::of(&transferred, &read_back),
        prepared,
        transferred,
        read_back,
        published,
        took: start.elapsed(),
    })
}

type Phases = (Prepared, Transferred, ReadBack, Published);

fn phases(plan: &Plan, monitor: &dyn Monitor, work: Fill<'_>) -> Result<Phases, Error> {
    let prepared = prepare(plan)?;
    let transferred = fill(plan, monitor, |partial, watch| work(plan, partial, watch))?;
    let read_back = verify(plan, monitor)?;
    let published = publish(plan, monitor)?;
    finish(plan)?;
    Ok((prepared, transferred, read_back, published))
}

/// What only our own engine carries along is not left out in silence.
///
/// # Errors
/// [`Error::NotCarried`].
pub fn refuse_attributes(policy: &Policy) -> Result<(), Error> {
    let wanted = [
        (policy.keep_mode, "modes of the source"),
        (policy.keep_dir_mtime, "times of folders"),
        (policy.xattrs.any(), "extended attributes"),
        (policy.hard_links != HardLinks::Copy, "hard links"),
    ];
    match wanted.into_iter().find(|(wanted, _)| *wanted) {
        Some((_, what)) => Err(Error::NotCarried { what }),
        None => Ok(()),
    }
}

/// Ends the other program's work also when the partial folder is not ours any more.
struct Held<'a> {
    session: &'a Session<'a>,
    monitor: &'a dyn Monitor,
}

impl Monitor for Held<'_> {
    fn on(&self, progress: crate::media::monitor::Progress<'_>) {
        self.monitor.on(progress);
    }
    fn throttle(&self) -> Option<&crate::media::throttle::Throttle> {
        self.monitor.throttle()
    }
    fn held(&self) -> bool {
        self.monitor.held()
    }
    fn cancelled(&self) -> bool {
        self.monitor.cancelled() || self.session.site.check_partial().is_err()
    }
}

/// A policy may have made folders read-only in an earlier life.
fn unlock(session: &Session<'_>) -> Result<(), Error> {
    let root = session.site.own(Kind::Partial);
    for dir in &session.listing()?.dirs {
        session.set_mode(&root.join(dir), 0o700)?;
    }
    Ok(())
}

/// Removes what the manifest does not name, and makes the folders that it does.
fn clean(session: &Session<'_>) -> Result<(), Error> {
    let root = session.site.own(Kind::Partial);
    let found = session.listing()?;
    let expected = listing::dirs(&session.plan.manifest);
    let at = |path: &Path, done: Result<(), rustix::io::Errno>| {
        done.map_err(|errno| session.site.blame(&root.join(path), errno))
    };
    for path in found.extras.keys().chain(&found.specials) {
        at(path, session.site.unlink(&root.join(path)))?;
    }
    for path in found.dirs.iter().rev().filter(|dir| !expected.contains(dir.as_path())) {
        at(path, session.site.remove_dir(&root.join(path)))?;
    }
    for dir in expected.into_iter().filter(|dir| !found.dirs.contains(*dir)) {
        at(dir, session.site.make_dir(&root.join(dir)))?;
    }
    Ok(())
}

/// Sets the modes and brings everything to the device.
fn settle(session: &Session<'_>) -> Result<(), Error> {
    let (site, policy) = (&session.site, &session.plan.policy);
    let root = site.own(Kind::Partial);
    let found = session.listing()?;
    for (entry, _) in found.standing().filter(|(_, stood)| stood.is_some()) {
        let path = root.join(entry.path());
        let at = |errno: rustix::io::Errno| site.blame(&path, errno);
        let file = site.open(&path, OFlags::RDONLY, Mode::empty()).map_err(at)?;
        attributes::give(policy, site, &file, &path, policy.file_mode & 0o777 | 0o400)?;
        rustix::fs::fsync(&file).map_err(at)?;
    }
    for dir in found.dirs.iter().rev() {
        let path = root.join(dir);
        let at = |errno: rustix::io::Errno| site.blame(&path, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = site.open(&path, flags, Mode::empty()).map_err(at)?;
        let mode = attributes::dir_bits(policy.dir_mode, &open, at)?;
        attributes::give(policy, site, &open, &path, mode)?;
        session.flush_dir(&path)?;
    }
    session.flush_dir(&root)?;
    session.journal.append(&Mark::Flushed)?;
    session.journal.sync()
}
