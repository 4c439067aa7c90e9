//! Stand-alone copies to an object store.

use std::path::Path;
use std::time::Instant;

use uuid::{Builder, Uuid};

use super::Settings;
use super::claim::Register;
use super::delivery::CloudDelivery;
use super::error::Error as Fault;
use super::names::Names;
use super::read;
use super::store::{Store, When};
use super::write::{Content, Writer, give_up_uploads};
use crate::media::checksum::{self, Sha256};
use crate::media::copy::{
    self, Attempt, CopiedFile, Error, Options, Pace, Prepared, Published, Rates, ReadBack,
    RenameMethod, Report, Shape, Transferred, Worth, Worths,
};
use crate::media::delivery::{Delivery, Plan};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Folder, Location, ObjectLocation, RelPath};

/// Copies a folder to a prefix, or a file to a key, where nothing may stand. A
/// folder is a delivery there: with its manifest object, all or nothing. A file is
/// its object, which appears whole, and is taken away again if it does not read
/// back as it was written. Two such copies to one place at once: the later one goes
/// on, the earlier one is told.
///
/// # Errors
/// As [`copy::tree`], and [`super::Error`].
pub fn upload(
    source: &Path,
    at: &ObjectLocation,
    options: &Options,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Report, Error> {
    let start = Instant::now();
    copy::refuse_attributes(&options.policy)?;
    let source = source.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::SourceMissing { path: source.to_owned() },
        _ => Error::at(source, error),
    })?;
    let shape = if source.is_dir() { Shape::Tree } else { Shape::File };
    let store = Store::open(at, settings)?;
    let names = Names::of(at);
    let taken = |key: &str| Error::DestinationExists { path: store.url(key).into() };
    if store.wait(monitor, store.head(&names.manifest()))?.is_some() {
        return Err(taken(&names.manifest()));
    }
    let mut attempt = Attempt { id: attempt_id(at), epoch: 1 };
    let manifest = match (&options.manifest, &options.known) {
        (Some(manifest), _) => manifest.clone(),
        (None, Some(list)) => list.to_manifest(&source).map_err(Error::of_manifest)?,
        (None, None) => describe_source(&source, shape, options, monitor)?,
    };
    let register = Register {
        store: store.clone(),
        names: names.clone(),
        attempt,
        manifest: manifest.digest(),
    };
    if let Some(held) = register.read(monitor)?.filter(|held| held.claim.attempt == attempt.id) {
        attempt.epoch = held.claim.epoch + 1;
    }
    let plan = Plan {
        source,
        destination: Location::Object(at.clone()),
        manifest,
        attempt,
        policy: options.policy.clone(),
    };
    let (prepared, transferred, read_back, published) = match shape {
        Shape::Tree => {
            let delivery = CloudDelivery::new(plan.clone(), at, settings)?;
            let done = phases(&delivery, options.resume, monitor);
            if done.is_err() && !options.resume {
                delivery.abort()?;
            }
            done?
        }
        Shape::File => object(&plan, at, &store, monitor)?,
    };
    Ok(Report {
        destination: at.to_string().into(),
        shape,
        manifest_digest: plan.manifest.digest(),
        bytes: plan.manifest.total_bytes(),
        files: plan.manifest.entries().iter().filter_map(copied).collect(),
        bytes_per_second: Rates::of(&transferred, &read_back),
        prepared,
        transferred,
        read_back,
        published,
        took: start.elapsed(),
    })
}

type Phases = (Prepared, Transferred, ReadBack, Published);

fn phases(delivery: &dyn Delivery, resume: bool, monitor: &dyn Monitor) -> Result<Phases, Error> {
    if !resume {
        delivery.abort()?;
    }
    let prepared = delivery.prepare()?;
    let transferred = delivery.transfer(monitor)?;
    let read_back = delivery.verify(monitor)?;
    let published = delivery.publish(monitor)?;
    delivery.finish()?;
    Ok((prepared, transferred, read_back, published))
}

/// A single file to a single key.
fn object(
    plan: &Plan,
    at: &ObjectLocation,
    store: &Store,
    monitor: &dyn Monitor,
) -> Result<Phases, Error> {
    let start = Instant::now();
    let above = at.parent();
    let name = RelPath::parse(at.name()).map_err(Error::of_source)?;
    let register = Register {
        store: store.clone(),
        names: Names::of(&above),
        attempt: plan.attempt,
        manifest: plan.manifest.digest(),
    };
    let taken = || Error::DestinationExists { path: at.to_string().into() };
    if !store.wait(monitor, store.list(at.key()))?.is_empty() {
        return Err(taken());
    }
    let Some((file, size_bytes, sha256)) =
        plan.manifest.entries().iter().find_map(|entry| match entry {
            Entry::File { path, size_bytes, sha256 } => Some((path, *size_bytes, *sha256)),
            Entry::EmptyDir { .. } => None,
        })
    else {
        return Err(Error::SourceMissing { path: plan.source.clone() });
    };
    monitor.on(Progress::Total { files: 1, bytes: size_bytes });
    let folder = Folder::open(plan.source.parent().unwrap_or(Path::new("/")));
    let pace = Pace::new(plan.policy.limit_bytes_per_second);
    let writer = Writer::new(&register, folder.map_err(Error::of_source)?, &pace);
    give_up_uploads(&register, monitor)?;
    let content = Content { path: file, size_bytes, sha256 };
    if !writer.write_to(&register.names.entry(name.as_str()), content, When::Absent, monitor)? {
        return Err(taken());
    }
    let transferred = Transferred {
        files: 1,
        bytes: size_bytes,
        took: start.elapsed(),
        ..Transferred::default()
    };
    let head = store.wait(monitor, store.head(at.key()))?;
    let fact = head.ok_or_else(|| Fault::NotFound { url: at.to_string() })?.fact;
    let found = read::object(store, at.key(), &fact, &[], monitor, |_| Ok(()))?;
    if found.sha256() != sha256 {
        store.wait(&(), store.delete(at.key(), fact.etag.as_deref()))?;
        return Err(Error::ReadBackMismatch { path: file.to_string(), others: 0 });
    }
    let prepared = Prepared { adopting: false, taken_over: None, kept_files: 0, kept_bytes: 0 };
    let read_back = ReadBack {
        files: 1,
        bytes: size_bytes,
        overlapped_bytes: 0,
        worth: Worth::Server,
        worths: Worths { server: 1, ..Worths::default() },
        took: start.elapsed(),
    };
    let published = Published { adopted: false, rename: RenameMethod::Conditional };
    Ok((prepared, transferred, read_back, published))
}

fn copied(entry: &Entry) -> Option<CopiedFile> {
    match entry {
        Entry::File { path, size_bytes, sha256 } => Some(CopiedFile {
            path: path.clone(),
            size_bytes: *size_bytes,
            sha256: *sha256,
            digests: None,
            cloned: false,
        }),
        Entry::EmptyDir { .. } => None,
    }
}

fn describe_source(
    source: &Path,
    shape: Shape,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Manifest, Error> {
    monitor.on(Progress::Phase(Phase::Describe));
    if shape == Shape::Tree {
        return Manifest::of_tree(source, options.policy.jobs, monitor).map_err(Error::of_manifest);
    }
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let path = RelPath::parse(&name).map_err(Error::of_source)?;
    let digest =
        checksum::file(source, &[], monitor).map_err(|error| Error::of_manifest(error.into()))?;
    let sha256 = digest.digests.sha256();
    let entry = Entry::File { path, size_bytes: digest.size_bytes, sha256 };
    Manifest::from_entries(vec![entry]).map_err(Error::of_manifest)
}

/// All stand-alone copies to one place are lives of one attempt (a version 8 UUID,
/// RFC 9562: made of a SHA-256).
fn attempt_id(at: &ObjectLocation) -> Uuid {
    let digest = Sha256::of(format!("databridge copy\0{at}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}
