//! Reading one file to hash it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZeroUsize;
use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags, fadvise};
use serde::{Deserialize, Serialize};

use super::content::{self, Scratch};
use super::{Algorithm, Digests, Error, Hasher, Shelf, pipeline};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Folder, Kind, RelPath, Stat};

/// Each thread reads in pieces of this size: hashing is at its fastest from 64 KiB
/// on, and memory stays bounded by the number of threads.
const BUFFER_BYTES: usize = 256 * 1024;

/// What one file was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Length.
    pub size_bytes: u64,
    /// Its digests.
    pub digests: Digests,
}

/// Hashes one file in a single read. The name may be any, UTF-8 or not, and links
/// in it are followed: it is the caller's own word.
///
/// Errors: [`Error::SourceChanged`] if somebody wrote meanwhile,
/// [`Error::Cancelled`], and what the system says.
pub fn file(
    path: &Path,
    algorithms: &[Algorithm],
    monitor: &dyn Monitor,
) -> Result<FileDigest, Error> {
    // A pipe must not make the open wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = || rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    let file = open().map_err(|error| storage::Error::io("open", path, error))?;
    let stat = Stat::of(&file).map_err(|error| storage::Error::io("examine", path, error))?;
    if stat.kind != Kind::File {
        return Err(storage::Error::NotAFile { path: path.to_owned() }.into());
    }
    monitor.on(Progress::Total { files: 1, bytes: stat.size_bytes });
    let whole = || path.to_owned();
    let shelf = Shelf::new(1);
    let scratch = &mut Scratch::new(&shelf);
    let opened = content::Opened { path: &whole, again: &open };
    let found = content::hash(file, stat, None, algorithms, scratch, opened, monitor)?;
    let digest = FileDigest { size_bytes: found.stat.size_bytes, digests: found.digests };
    monitor.on(Progress::File(&path.to_string_lossy()));
    Ok(digest)
}

/// Hashes one file below an open folder.
pub(crate) fn below(
    folder: &Folder,
    path: &RelPath,
    algorithms: &[Algorithm],
    buffer: &mut [u8],
    monitor: &dyn Monitor,
) -> Result<FileDigest, Error> {
    let file = folder.open_file(path)?;
    let mut hasher = Hasher::new(algorithms);
    let stat = read(&file, &folder.path().join(path), buffer, monitor, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok(FileDigest { size_bytes: stat.size_bytes, digests: hasher.finish() })
}

pub(crate) fn buffer() -> Vec<u8> {
    vec![0; BUFFER_BYTES]
}

/// Threads of its own for one operation: an embedding host's pool is not ours to
/// fill, and none is left behind.
pub(crate) fn pool(jobs: Option<NonZeroUsize>) -> Result<rayon::ThreadPool, Error> {
    let jobs = pipeline::jobs(jobs);
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .thread_name(|n| format!("databridge-{n}"))
        .build()
        .map_err(|source| Error::Threads { jobs, source })
}

/// Reads an open file to its end, handing each piece to `take`, and makes sure that
/// nobody wrote meanwhile. Gives its facts.
pub(crate) fn read(
    mut file: &File,
    path: &Path,
    buffer: &mut [u8],
    monitor: &dyn Monitor,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Stat, Error> {
    let io = |error| Error::Storage(storage::Error::io("read", path, error));
    let before = Stat::of(file).map_err(io)?;
    // Only advice: a file system that knows none reads as well.
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let mut size_bytes = 0;
    loop {
        if monitor.cancelled() {
            return Err(Error::Cancelled);
        }
        let count = match file.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        size_bytes += count as u64;
        take(&buffer[..count])?;
        monitor.on(Progress::Bytes(count as u64));
        // One that grows as fast as it is read would never end.
        if size_bytes > before.size_bytes {
            break;
        }
    }
    let after = Stat::of(file).map_err(io)?;
    if size_bytes != before.size_bytes || !after.is_unchanged_since(&before) {
        return Err(Error::SourceChanged { path: path.to_owned() });
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::base::cancel::Cancel;
    use crate::base::error::Fault;
    use crate::media::checksum::{Sha256, tree};

    /// Writes to a file once when its first bytes were read.
    struct Meddler<F: Fn() + Sync>(F, Mutex<bool>);

    impl<F: Fn() + Sync> Meddler<F> {
        fn new(meddle: F) -> Self {
            Self(meddle, Mutex::new(false))
        }
    }

    impl<F: Fn() + Sync> Monitor for Meddler<F> {
        fn on(&self, progress: Progress<'_>) {
            let mut is_done = self.1.lock().unwrap();
            if matches!(progress, Progress::Bytes(_)) && !*is_done {
                *is_done = true;
                (self.0)();
            }
        }
    }

    fn fixture(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn a_file_of_several_pieces_and_an_empty_one() {
        let bytes = vec![7; 3 * BUFFER_BYTES + 1];
        let (_dir, path) = fixture(&bytes);
        let digest = file(&path, &[], &()).unwrap();
        assert_eq!(digest.size_bytes, bytes.len() as u64);
        assert_eq!(digest.digests.sha256(), Sha256::of(&bytes));
        let (_dir, path) = fixture(b"");
        assert_eq!(file(&path, &[], &()).unwrap().digests.sha256(), Sha256::of(b""));
    }

    #[test]
    fn a_name_that_is_not_utf8() {
        let (dir, _) = fixture(b"");
        let path = dir.path().join(OsStr::from_bytes(b"\xff"));
        fs::write(&path, b"abc").unwrap();
        assert_eq!(file(&path, &[], &()).unwrap().digests.sha256(), Sha256::of(b"abc"));
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR).unwrap();
        for path in [dir.path(), &pipe] {
            assert_eq!(file(path, &[], &()).unwrap_err().code(), "storage.not_a_file");
        }
    }

    #[test]
    fn a_file_that_grows_or_shrinks_or_is_overwritten_is_caught() {
        for meddle in [
            (|path| fs::OpenOptions::new().append(true).open(path)?.write_all(b"more"))
                as fn(&Path) -> std::io::Result<()>,
            |path| fs::OpenOptions::new().write(true).open(path)?.set_len(BUFFER_BYTES as u64),
            |path| {
                // Older kernels stamp files with a clock that stands still for some
                // milliseconds.
                let before = path.metadata()?.modified()?;
                while path.metadata()?.modified()? == before {
                    fs::OpenOptions::new().write(true).open(path)?.write_all(b"other")?;
                }
                Ok(())
            },
        ] {
            let (_dir, path) = fixture(&vec![7; 2 * BUFFER_BYTES]);
            let meddler = Meddler::new(|| meddle(&path).unwrap());
            let error = file(&path, &[], &meddler).unwrap_err();
            assert_eq!(error.code(), "checksum.source_changed");
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }

    #[test]
    fn a_file_that_never_stops_growing_ends() {
        struct Endless(PathBuf);
        impl Monitor for Endless {
            fn on(&self, progress: Progress<'_>) {
                if let Progress::Bytes(count) = progress {
                    let mut file = fs::OpenOptions::new().append(true).open(&self.0).unwrap();
                    file.write_all(&vec![7; count as usize]).unwrap();
                }
            }
        }
        let (_dir, path) = fixture(&[7; 100]);
        let error = file(&path, &[], &Endless(path.clone())).unwrap_err();
        assert_eq!(error.code(), "checksum.source_changed");
    }

    #[test]
    fn a_tree_in_order_with_progress() {
        #[derive(Default)]
        struct Sum(Mutex<(u64, u64, u64, u64)>);
        impl Monitor for Sum {
            fn on(&self, progress: Progress<'_>) {
                let mut sum = self.0.lock().unwrap();
                match progress {
                    Progress::Total { files, bytes } => (sum.0, sum.1) = (files, bytes),
                    Progress::Bytes(count) => sum.2 += count,
                    Progress::File(_) => sum.3 += 1,
                    _ => {}
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sub/empty")).unwrap();
        for i in 0..50_u8 {
            fs::write(dir.path().join(format!("sub/f.{i:04}.exr")), vec![i; usize::from(i)])
                .unwrap();
        }
        let sum = Sum::default();
        let digests = tree(dir.path(), &[Algorithm::Xxh3], NonZeroUsize::new(4), &sum).unwrap();
        assert!(digests.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(digests.len(), 50);
        assert_eq!(digests[9].1.digests.sha256(), Sha256::of(&[9; 9]));
        assert!(digests[9].1.digests.get(Algorithm::Xxh3).is_some());
        assert_eq!(*sum.0.lock().unwrap(), (50, 1225, 1225, 50));
    }

    #[test]
    fn cancelling_ends_it() {
        let (dir, path) = fixture(b"abc");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(file(&path, &[], &cancel).unwrap_err().code(), "checksum.cancelled");
        let error = tree(dir.path(), &[], None, &cancel).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
    }
}
