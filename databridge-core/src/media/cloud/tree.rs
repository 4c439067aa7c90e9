//! Object stores for people: copies to and from them, and what is in them.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::Settings;
use super::error::Error as Fault;
use super::names::Names;
use super::read;
use super::record::Record;
use super::store::{Fact, Store};
use super::write::Content;
use crate::media::checksum::{self, Algorithm, FileDigest};
use crate::media::copy::{self, Error, Options, Pace, Report, Shape, Transferred, each};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Folder, ObjectLocation, RelPath};

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
    jobs: Option<NonZeroUsize>,
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
    jobs: Option<NonZeroUsize>,
    monitor: &dyn Monitor,
) -> Result<Vec<(RelPath, FileDigest)>, Error> {
    monitor.on(Progress::Phase(Phase::Describe));
    let bytes = found.iter().map(|(_, _, fact)| fact.size_bytes).sum();
    monitor.on(Progress::Total { files: found.len() as u64, bytes });
    let all = Mutex::new(Vec::new());
    each(
        None,
        jobs.map_or(JOBS, NonZeroUsize::get),
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

/// Reads all that is at a place.
///
/// # Errors
/// [`super::Error`], [`Error::Source`] for names that cannot stand side by side,
/// [`Error::Cancelled`].
pub fn describe(
    at: &ObjectLocation,
    settings: &Settings,
    jobs: Option<NonZeroUsize>,
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
    let jobs = options.policy.jobs.map_or(JOBS, NonZeroUsize::get);
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
