//! Checksums, the verified copy, verification: no daemon is needed.

use std::ffi::{c_char, c_void};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use databridge_core::media::checksum::{self, Algorithm, FileDigest};
use databridge_core::media::copy::{self, Choice};
use databridge_core::media::manifest::{self, List};
use databridge_core::media::monitor::Phase;
use databridge_core::media::storage::escape;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Error, Status};
use super::guard::guard;
use super::text::{Out, options, path};
use super::watch::{Listener, Progress, Stop};

/// How files are read.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reading {
    algorithms: Vec<Algorithm>,
    jobs: Option<NonZeroUsize>,
}

fn digest(found: &FileDigest) -> Value {
    json!({ "size_bytes": found.size_bytes, "digests": found.digests })
}

/// The digests of a file, read once: `{"size_bytes", "digests": {"sha256", …}}`.
/// `options` is NULL or JSON: `algorithms` besides SHA-256 (sha512, sha1, md5, c4, xxh64,
/// xxh3, xxh128, blake3). From any thread.
///
/// # Safety
/// Texts are NULL or end with a NUL, `stop` is NULL or lives, `out` is NULL or can be
/// written, `progress` is NULL or may be called with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_checksum_file(
    file: *const c_char,
    options: *const c_char,
    progress: Progress,
    context: *mut c_void,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (file, how) = (path("file", file)?, self::options::<Reading>(options)?);
        let found = Listener::of(progress, context, stop)
            .run(&[], |watch| Ok(checksum::file(file, &how.algorithms, watch)?))?;
        out.json(digest(&found))
    })
}

/// The digests of every file below a folder, sorted by path:
/// `[{"path", "size_bytes", "digests"}, …]`. `options` as for a file, and `jobs`, the files
/// read at a time (1 at least). From any thread.
///
/// # Safety
/// As databridge_checksum_file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_checksum_tree(
    root: *const c_char,
    options: *const c_char,
    progress: Progress,
    context: *mut c_void,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (root, how) = (path("root", root)?, self::options::<Reading>(options)?);
        let found = Listener::of(progress, context, stop)
            .run(&[], |watch| Ok(checksum::tree(root, &how.algorithms, how.jobs, watch)?))?;
        let line = |(path, found): &(_, FileDigest)| {
            let mut line = digest(found);
            line["path"] = json!(path);
            line
        };
        out.json(found.iter().map(line).collect::<Vec<_>>())
    })
}

/// Copies a file or a folder to a path that does not exist yet: what stands there
/// afterwards was read back and compared, or nothing stands there. Answers the report that
/// `databridge copy --json` prints. `options` is NULL or JSON: `resume` (true), `algorithms`,
/// `jobs`, `limit_bytes_per_second`, `file_mode`, `dir_mode` ("0644"), `keep_mode`,
/// `keep_mtime` (true), `keep_dir_mtime`, `xattrs` (["user"]), `acls`,
/// `tolerate_attributes`, `owner` ("user:group"), `readable_by`. From any thread.
///
/// # Safety
/// As databridge_checksum_file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_copy(
    source: *const c_char,
    destination: *const c_char,
    options: *const c_char,
    progress: Progress,
    context: *mut c_void,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (source, destination) = (path("source", source)?, path("destination", destination)?);
        let options = self::options::<Choice>(options)?.options()?;
        let report = Listener::of(progress, context, stop)
            .run(&[Phase::Copy, Phase::ReadBack], |watch| {
                Ok(copy::tree(source, destination, &options, watch)?)
            })?;
        out.json(report)
    })
}

/// How a folder is verified.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Verification {
    jobs: Option<NonZeroUsize>,
    from_device: bool,
    limit_bytes_per_second: Option<u64>,
    seconds: Option<f64>,
}

impl Default for Verification {
    fn default() -> Self {
        Self { jobs: None, from_device: true, limit_bytes_per_second: None, seconds: None }
    }
}

impl Verification {
    fn options(&self) -> Result<manifest::Options<'static>, Error> {
        let span = self.seconds.map(Duration::try_from_secs_f64).transpose();
        let span =
            span.map_err(|error| Error::Argument { name: "seconds", reason: error.to_string() })?;
        Ok(manifest::Options {
            jobs: self.jobs,
            from_device: self.from_device,
            limit_bytes_per_second: self.limit_bytes_per_second,
            deadline: span.and_then(|span| Instant::now().checked_add(span)),
            ..manifest::Options::default()
        })
    }
}

/// Holds a folder against a list: SHA256SUMS and its like, a folder with ASC MHL, MHL 1.1,
/// a bag, JSON. DATABRIDGE_STATUS_OK only where everything was looked at and is right.
/// Otherwise DATABRIDGE_STATUS_CHECK_FAILED or DATABRIDGE_STATUS_UNDECIDED, and `out` has
/// the report all the same: `{"verified", "complete", "files", "differences": [{"path",
/// "what"}, …], …}`. `options` is NULL or JSON: `jobs`, `from_device` (true),
/// `limit_bytes_per_second`, `seconds` after which to stop, undecided. From any thread.
///
/// # Safety
/// As databridge_checksum_file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_verify(
    root: *const c_char,
    list: *const c_char,
    options: *const c_char,
    progress: Progress,
    context: *mut c_void,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (root, list) = (path("root", root)?, path("list", list)?);
        let options = self::options::<Verification>(options)?.options()?;
        let report = Listener::of(progress, context, stop).run(&[], |watch| {
            let own = manifest::inside(root, list);
            Ok(List::read(list)?.verify(root, own.as_deref(), options, watch)?)
        })?;
        out.json(&report)?;
        let root = escape(root.as_os_str().as_encoded_bytes());
        match &report {
            report if report.differs() => {
                Err(Error::Differs { root, differences: report.differences.len() }.into())
            }
            report if report.verified => Ok(()),
            _ => Err(Error::Undecided { root }.into()),
        }
    })
}
