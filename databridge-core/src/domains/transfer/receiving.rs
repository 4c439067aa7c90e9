//! Taking bytes in: as they stream, or from where this process can read them. What is
//! taken in lies in the uploads folder and is part of no transfer until it is added.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::ioctl_ficlone;
use uuid::Uuid;

use super::drafting::private_dir;
use super::{Error, Service, Upload, UploadedFile};
use crate::base::error::Error as AnyError;
use crate::media::checksum::{self, Hasher};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{self, Folder, RelPath, Stat};
use crate::media::walk::{self, Entry};

/// Read at a time.
const BUFFER: usize = 1 << 20;

/// What is to be taken in: entries of an open folder, outside of which nothing is read.
#[derive(Debug)]
pub(super) struct Source {
    pub root: Folder,
    pub entries: Vec<Entry>,
}

impl Source {
    /// A file or a folder, as the caller names it.
    ///
    /// # Errors
    /// [`Error::NoSource`]; what the walk refuses, by name.
    fn at(path: &Path) -> Result<Self, AnyError> {
        let io = |e| Error::Io { path: path.display().to_string(), source: e };
        let meta = std::fs::symlink_metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::NoSource { path: path.display().to_string() },
            _ => io(e),
        })?;
        if meta.is_dir() {
            return Self::folder(Folder::open(path)?);
        }
        let (root, name) = walk::single(path)?;
        let root = Folder::open(&root)?;
        Ok(Self { entries: vec![walk::file(&root, name)?], root })
    }

    /// Everything in a folder.
    pub fn folder(root: Folder) -> Result<Self, AnyError> {
        Ok(Self { entries: walk::below(&root)?, root })
    }

    /// All of its bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size_bytes).sum()
    }
}

impl Service {
    /// Takes bytes in: streams `source` into the uploads folder, hashing, durably.
    /// The file is part of no transfer until it is [added](Service::add).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stopped`].
    pub fn receive(
        &self,
        path: RelPath,
        source: impl Read,
        monitor: &dyn Monitor,
    ) -> Result<UploadedFile, AnyError> {
        self.take(path, source, None, fresh(), monitor)
    }

    /// The same into a file of this name; where the file system can, the content of
    /// `original` is shared and not written once more. What is digested is then what was
    /// shared.
    fn take(
        &self,
        path: RelPath,
        source: impl Read,
        original: Option<&File>,
        blob: String,
        monitor: &dyn Monitor,
    ) -> Result<UploadedFile, AnyError> {
        let folder = self.places.uploads();
        let io = |source| Error::Io { path: path.to_string(), source };
        private_dir(&folder)?;
        let place = folder.join(&blob);
        let result = (|| {
            let mut file = File::create_new(&place).map_err(io)?;
            // Any refusal (another file system, none that can) leaves the file empty.
            let is_shared = original.is_some_and(|from| ioctl_ficlone(&file, from).is_ok());
            let mut source: Box<dyn Read + '_> = match is_shared {
                true => Box::new(File::open(&place).map_err(io)?),
                false => Box::new(source),
            };
            let mut hasher = Hasher::new(&[]);
            let mut buffer = vec![0; BUFFER];
            let mut size_bytes = 0;
            loop {
                if monitor.cancelled() {
                    return Err(Error::Stopped);
                }
                let n = match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(io(error)),
                };
                if !is_shared {
                    file.write_all(&buffer[..n]).map_err(io)?;
                }
                hasher.update(&buffer[..n]);
                size_bytes += n as u64;
                monitor.on(Progress::Bytes(n as u64));
            }
            file.sync_all().map_err(io)?;
            crate::base::steps::reach("upload.received");
            Ok((size_bytes, hasher.finish().sha256()))
        })();
        match result {
            Ok((size_bytes, sha256)) => {
                monitor.on(Progress::File(path.as_str()));
                Ok(UploadedFile { path: path.clone(), blob, size_bytes, sha256 })
            }
            Err(error) => {
                self.forget(&blob);
                Err(error.into())
            }
        }
    }

    /// Removes bytes that were taken in and not added after all.
    pub fn forget(&self, blob: &str) {
        // What stays behind is swept in time.
        let _ = std::fs::remove_file(self.places.uploads().join(blob));
    }

    /// Takes a file or a folder in from a path that this process can read: copied, or on
    /// one file system with reflinks shared.
    ///
    /// # Errors
    /// What the walk refuses, by name; [`Error::Io`].
    pub fn receive_tree(
        &self,
        source: &Path,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Upload>, AnyError> {
        self.receive_all(Source::at(source)?, fresh, monitor)
    }

    /// The same of what was looked at already, into files that `name` names.
    pub(super) fn receive_all(
        &self,
        source: Source,
        mut name: impl FnMut() -> String,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Upload>, AnyError> {
        let bytes = source.bytes();
        let Source { root, entries } = source;
        monitor.on(Progress::Total { files: entries.len() as u64, bytes });
        let mut uploads = Vec::with_capacity(entries.len());
        for entry in entries {
            let upload = match entry.kind {
                walk::Kind::EmptyDir => Ok(Upload::EmptyDir(entry.path)),
                walk::Kind::File => {
                    self.receive_file(&root, entry.path, name(), monitor).map(Upload::File)
                }
            };
            match upload {
                Ok(upload) => uploads.push(upload),
                Err(error) => {
                    self.forget_all(&uploads);
                    return Err(error);
                }
            }
        }
        Ok(uploads)
    }

    /// Takes in a file that stands still while it is read.
    fn receive_file(
        &self,
        root: &Folder,
        name: RelPath,
        blob: String,
        monitor: &dyn Monitor,
    ) -> Result<UploadedFile, AnyError> {
        let path = root.path().join(name.to_path());
        let file = root.open_file(&name)?;
        let stat = || Stat::of(&file).map_err(|e| storage::Error::io("examine", &path, e));
        let before = stat()?;
        let upload = self.take(name, &file, Some(&file), blob, monitor)?;
        if stat()?.is_unchanged_since(&before) && upload.size_bytes == before.size_bytes {
            return Ok(upload);
        }
        self.forget(&upload.blob);
        Err(checksum::Error::SourceChanged { path }.into())
    }

    pub(super) fn forget_all(&self, uploads: &[Upload]) {
        for upload in uploads {
            if let Upload::File(file) = upload {
                self.forget(&file.blob);
            }
        }
    }
}

/// A name that no other file has.
fn fresh() -> String {
    Uuid::now_v7().simple().to_string()
}
