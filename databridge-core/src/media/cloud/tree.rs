//! Object stores for people: copies to and from them, and what is in them.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use uuid::{Builder, Uuid};

use super::Settings;
use super::claim::Register;
use super::delivery::CloudDelivery;
use super::error::Error as Fault;
use super::names::Names;
use super::read;
use super::record::Record;
use super::store::{Fact, Store, When};
use super::write::{Content, Writer, give_up_uploads};
use crate::media::checksum::{self, Algorithm, FileDigest, Sha256};
use crate::media::copy::{
    self, Attempt, CopiedFile, Error, Options, Pace, Prepared, Published, Rates, ReadBack,
    RenameMethod, Report, Shape, Transferred, Worth, Worths, each,
};
use crate::media::delivery::{Delivery, Plan};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Folder, Location, ObjectLocation, RelPath};

/// Objects read at a time, unless the caller says.
const JOBS: usize = 4;

/// What is at a place in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// All of it, as it was read just now.
    pub manifest: Manifest,
    /// A folder, or the one object of that key.
    pub shape: Shape,
    /// What its manifest object says, where it has one.
    pub recorded: Option<Record>,
}

/// A download, and what its checksums rest on.
#[derive(Debug, Clone, Serialize)]
pub struct Download {
    /// As for any copy.
    #[serde(flatten)]
    pub report: Report,
    /// `manifest_object`: each file is what was read back when it was delivered.
    /// `two_reads`: two reads of the object agree, which says nothing about what
    /// somebody meant to put there.
    pub against: &'static str,
}

/// Path, key, and what a look says.
type Object = (RelPath, String, Fact);

/// All below a key, or else the object of that very key; by path relative to it.
fn find(
    store: &Store,
    at: &ObjectLocation,
    monitor: &dyn Monitor,
) -> Result<(Shape, Vec<Object>), Error> {
    let names = Names::of(at);
    let mut found = Vec::new();
    for (key, fact) in store.wait(monitor, store.list(at.key()))? {
        let path = names.path(&key).unwrap_or_default();
        let path = RelPath::parse(path)
            .map_err(|error| Fault::Name { url: store.url(&key), reason: error.to_string() })?;
        found.push((path, key, fact));
    }
    if !found.is_empty() {
        return Ok((Shape::Tree, found));
    }
    let missing = || Error::from(Fault::NotFound { url: at.to_string() });
    if at.key().is_empty() {
        return Err(missing());
    }
    let head = store.wait(monitor, store.head(at.key()))?.ok_or_else(missing)?;
    let path = RelPath::parse(at.name()).map_err(Error::of_source)?;
    Ok((Shape::File, vec![(path, at.key().to_owned(), head.fact)]))
}

/// Digests of the object of that key, or of every one below it; by path relative to
/// it, sorted.
///
/// # Errors
/// [`super::Error`], [`Error::Cancelled`].
pub fn checksum(
    at: &ObjectLocation,
    settings: &Settings,
    algorithms: &[Algorithm],
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Vec<(RelPath, FileDigest)>, Error> {
    let store = Store::open(at, settings)?;
    let (_, found) = find(&store, at, monitor)?;
    digests(&store, &found, algorithms, jobs, monitor)
}

fn digests(
    store: &Store,
    found: &[Object],
    algorithms: &[Algorithm],
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Vec<(RelPath, FileDigest)>, Error> {
    monitor.on(Progress::Phase(Phase::Describe));
    let bytes = found.iter().map(|(_, _, fact)| fact.size_bytes).sum();
    monitor.on(Progress::Total { files: found.len() as u64, bytes });
    let all = Mutex::new(Vec::new());
    each(
        None,
        jobs.unwrap_or(JOBS).max(1),
        1,
        found,
        monitor,
        || (),
        |(path, key, fact), (), watch| {
            let digests = read::object(store, key, fact, algorithms, watch, |_| Ok(()))?;
            let digest = FileDigest { size_bytes: fact.size_bytes, digests };
            all.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), digest));
            watch.on(Progress::File(path.as_str()));
            Ok(())
        },
    )?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by(|(one, _), (two, _)| one.cmp(two));
    Ok(all)
}

/// What a delivery's manifest object says; `None` if there is none.
///
/// # Errors
/// [`super::Error::Malformed`] if it contradicts itself.
pub fn recorded(
    at: &ObjectLocation,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Option<Record>, Error> {
    if at.key().is_empty() {
        return Ok(None);
    }
    let store = Store::open(at, settings)?;
    let key = Names::of(at).manifest();
    let Some((bytes, _)) = store.wait(monitor, store.get(&key))? else { return Ok(None) };
    let malformed = |reason: String| Fault::Malformed { url: store.url(&key), reason };
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    match record.manifest() {
        Some(_) => Ok(Some(record)),
        None => Err(malformed("its entries do not have the digest it names".into()).into()),
    }
}

/// A small text, as SHA256SUMS; `None` if there is none.
///
/// # Errors
/// [`super::Error`].
pub fn read_small(at: &ObjectLocation, settings: &Settings) -> Result<Option<String>, Error> {
    let store = Store::open(at, settings)?;
    let Some((bytes, _)) = store.wait(&(), store.get(at.key()))? else { return Ok(None) };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| Fault::Malformed { url: at.to_string(), reason: error.to_string() }.into())
}

/// Reads all that is at a place.
///
/// # Errors
/// [`super::Error`], [`Error::Source`] for names that cannot stand side by side,
/// [`Error::Cancelled`].
pub fn describe(
    at: &ObjectLocation,
    settings: &Settings,
    jobs: Option<usize>,
    monitor: &dyn Monitor,
) -> Result<Described, Error> {
    let recorded = recorded(at, settings, monitor)?;
    let store = Store::open(at, settings)?;
    let (shape, found) = match find(&store, at, monitor) {
        // A delivery of empty folders has no objects.
        Err(Error::Cloud(Fault::NotFound { .. })) if recorded.is_some() => {
            (Shape::Tree, Vec::new())
        }
        found => found?,
    };
    let files = digests(&store, &found, &[], jobs, monitor)?.into_iter().map(|(path, digest)| {
        Entry::File { path, size_bytes: digest.size_bytes, sha256: digest.digests.sha256() }
    });
    let dirs = recorded.iter().flat_map(|record| &record.empty_folders);
    let dirs = dirs.map(|path| Entry::EmptyDir { path: path.clone() });
    let manifest =
        Manifest::from_entries(files.chain(dirs).collect()).map_err(Error::of_manifest)?;
    Ok(Described { manifest, shape, recorded })
}

/// Copies what is at a place to the final path `destination`, verified, all or
/// nothing: against the manifest object where there is one, else against one more
/// read.
///
/// # Errors
/// As [`copy::tree`], and [`super::Error`].
pub fn download(
    at: &ObjectLocation,
    destination: &Path,
    options: &Options,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Download, Error> {
    let recorded = recorded(at, settings, monitor)?.and_then(|record| record.manifest());
    let (manifest, shape, against) = match (&options.manifest, recorded) {
        (Some(manifest), _) => (manifest.clone(), Shape::Tree, "manifest"),
        (None, Some(manifest)) => (manifest, Shape::Tree, "manifest_object"),
        (None, None) => {
            let described = describe(at, settings, options.policy.jobs, monitor)?;
            (described.manifest, described.shape, "two_reads")
        }
    };
    let store = Store::open(at, settings)?;
    let names = Names::of(at);
    let pace = Pace::new(options.policy.limit_bytes_per_second);
    let jobs = options.policy.jobs.unwrap_or(JOBS).max(1);
    let fill = |plan: &copy::Plan, partial: &Path, monitor: &dyn Monitor| {
        let folder = Folder::open(partial).map_err(Error::of_source)?;
        let entries = plan.manifest.entries();
        let bytes = plan.manifest.total_bytes();
        monitor.on(Progress::Total { files: plan.manifest.file_count(), bytes });
        let done = Mutex::new(Transferred::default());
        each(
            None,
            jobs,
            1,
            entries,
            monitor,
            || (),
            |entry, (), watch| {
                let Entry::File { path, size_bytes, sha256 } = entry else { return Ok(()) };
                let key = if shape == Shape::File {
                    at.key().to_owned()
                } else {
                    names.entry(path.as_str())
                };
                let content = Content { path, size_bytes: *size_bytes, sha256: *sha256 };
                let fetched = fetch(&store, &key, content, &folder, &pace, watch)?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                if fetched {
                    done.files += 1;
                    done.bytes += size_bytes;
                } else {
                    done.kept_files += 1;
                    done.kept_bytes += size_bytes;
                }
                watch.on(Progress::File(path.as_str()));
                Ok(())
            },
        )?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    let source = at.to_string().into();
    let report = copy::filled(source, destination, shape, manifest, options, monitor, &fill)?;
    Ok(Download { report, against })
}

/// Brings one object into a folder; `false` if an earlier life had.
fn fetch(
    store: &Store,
    key: &str,
    content: Content<'_>,
    folder: &Folder,
    pace: &Pace,
    monitor: &dyn Monitor,
) -> Result<bool, Error> {
    let path = content.path;
    let place = folder.path().join(path);
    if folder.stat(path).is_ok() {
        // From an earlier life: read again, not trusted.
        let standing = checksum::file(&place, &[], &crate::media::monitor::Quiet(monitor));
        if let Ok(found) = standing
            && (found.size_bytes, found.digests.sha256()) == (content.size_bytes, content.sha256)
        {
            monitor.on(Progress::Bytes(content.size_bytes));
            return Ok(false);
        }
        folder.remove_file(path).map_err(Error::of_source)?;
    }
    if let Some(parent) = path.parent() {
        folder.create_dir_all(&parent, 0o700).map_err(Error::of_source)?;
    }
    let missing = || Error::SourceMissing { path: store.url(key).into() };
    let head = store.wait(monitor, store.head(key))?.ok_or_else(missing)?;
    let differs = |found| Error::SourceDiffers {
        path: store.url(key).into(),
        expected_bytes: content.size_bytes,
        expected: content.sha256,
        found,
    };
    if head.fact.size_bytes != content.size_bytes {
        return Err(differs(None));
    }
    let mut file = folder.create_new(path, 0o600).map_err(Error::of_source)?;
    let digests = read::object(store, key, &head.fact, &[], monitor, |bytes| {
        pace.spend(bytes.len() as u64, monitor)?;
        file.write_all(bytes).map_err(|error| Error::at(&place, error))
    })?;
    let found = digests.sha256();
    if found == content.sha256 { Ok(true) } else { Err(differs(Some(found))) }
}

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
    let manifest = match &options.manifest {
        Some(manifest) => manifest.clone(),
        None => describe_source(&source, shape, options, monitor)?,
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
