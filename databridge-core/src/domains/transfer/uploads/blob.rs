//! The bytes of one upload, with their digest, in the hands of one writer.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use uuid::Uuid;

use super::super::Places;
use super::super::drafting::private_dir;
use super::{Error, blob_name};
use crate::base::error::Error as AnyError;
use crate::media::checksum::{Resumable, Sha256};
use crate::media::storage;

/// Read at a time where the digest is made again.
const BUFFER: usize = 1 << 20;

/// An upload's file, locked. The lock ends with the process, also on other hosts where
/// the mount can lock; where it cannot, the row's epoch lets one writer keep its bytes,
/// and freezing, which reads them again, finds what two would have made of them.
pub(super) struct Blob {
    id: Uuid,
    file: File,
    /// Where it was found.
    place: PathBuf,
    /// Where it belongs until it is part of the transfer.
    home: PathBuf,
    hash: Resumable,
    /// Bytes written and digested.
    end: u64,
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> AnyError + use<> {
    let path = path.to_owned();
    move |source| storage::Error::io("write", &path, source).into()
}

fn flush(folder: &Path) -> Result<(), AnyError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

impl Blob {
    /// Makes the file of an upload that begins.
    pub fn create(places: &Places, name: &str) -> Result<(), AnyError> {
        let folder = private_dir(&places.uploads())?;
        let place = folder.join(name);
        File::create_new(&place).and_then(|file| file.sync_all()).map_err(io(&place))?;
        flush(&folder)
    }

    /// Opens the file and keeps others from it.
    pub fn open(places: &Places, code: &str, id: Uuid) -> Result<Self, AnyError> {
        let home = places.uploads().join(blob_name(id));
        let open = |place: &Path| File::options().read(true).write(true).open(place);
        let (file, place) = match open(&home) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Moved, and whoever moved it was killed before that counted.
                let place = moved(places, code, id).ok_or(Error::Lost { id })?;
                (open(&place).map_err(io(&place))?, place)
            }
            file => (file.map_err(io(&home))?, home.clone()),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(Error::Busy { id }.into()),
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => {}
            Err(error) => return Err(io(&place)(error.into())),
        }
        Ok(Self { id, file, place, home, hash: Resumable::default(), end: 0 })
    }

    /// Goes back to what was kept: `kept` bytes and the state of their digest. Without a
    /// state that can be read they are digested again.
    pub fn settle(&mut self, kept: u64, state: Option<&[u8]>) -> Result<(), AnyError> {
        if self.place != self.home {
            std::fs::rename(&self.place, &self.home).map_err(io(&self.home))?;
            self.place.clone_from(&self.home);
        }
        let fail = io(&self.home);
        let stands = self.file.metadata().map_err(&fail)?.len();
        if stands < kept {
            return Err(Error::Lost { id: self.id }.into());
        }
        if stands > kept {
            self.file.set_len(kept).map_err(&fail)?;
        }
        self.hash = match state.and_then(Resumable::take_up) {
            Some(hash) => hash,
            None => self.digest_again(kept)?,
        };
        self.file.seek(SeekFrom::Start(kept)).map_err(&fail)?;
        self.end = kept;
        Ok(())
    }

    fn digest_again(&self, kept: u64) -> Result<Resumable, AnyError> {
        let fail = io(&self.home);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(&fail)?;
        let mut source = file.take(kept);
        let (mut hash, mut buffer) = (Resumable::default(), vec![0; BUFFER]);
        loop {
            match source.read(&mut buffer).map_err(&fail)? {
                0 => return Ok(hash),
                n => hash.update(&buffer[..n]),
            }
        }
    }

    /// The next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AnyError> {
        self.file.write_all(bytes).map_err(io(&self.home))?;
        self.hash.update(bytes);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Makes durable what was written.
    pub fn flush(&self) -> Result<(), AnyError> {
        self.file.sync_all().map_err(io(&self.home))
    }

    /// Bytes written and digested.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The state of the digest, to be kept.
    pub fn state(&self) -> Vec<u8> {
        self.hash.state()
    }

    /// The digest of all of it.
    pub fn digest(&self) -> Sha256 {
        self.hash.clone().finish()
    }
}

/// Where a transfer's folders have the file.
fn moved(places: &Places, code: &str, id: Uuid) -> Option<PathBuf> {
    let folders = std::fs::read_dir(places.staging_of(code)).ok()?;
    folders
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("incoming-r"))
        .map(|entry| entry.path().join(blob_name(id)))
        .find(|place| place.exists())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::media::storage::Location;

    fn places(root: &Path) -> Places {
        Places { staging: root.to_owned(), production: Location::Path(root.join("production")) }
    }

    fn settled(places: &Places, id: Uuid, kept: (u64, Option<Vec<u8>>)) -> Blob {
        let mut blob = Blob::open(places, "TRF-00001", id).unwrap();
        blob.settle(kept.0, kept.1.as_deref()).unwrap();
        blob
    }

    #[test]
    fn one_writer_at_a_time_and_nothing_that_was_kept_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let (places, id) = (places(root.path()), Uuid::now_v7());
        Blob::create(&places, &blob_name(id)).unwrap();
        let mut first = settled(&places, id, (0, None));
        first.write(b"four").unwrap();
        let refused = Blob::open(&places, "TRF-00001", id).err().unwrap();
        assert_eq!(refused.code(), "upload.busy");
        drop(first);
        let mut short = Blob::open(&places, "TRF-00001", id).unwrap();
        assert_eq!(short.settle(5, None).unwrap_err().code(), "upload.lost");
        drop(short);
        let gone = Blob::open(&places, "TRF-00001", Uuid::now_v7()).err().unwrap();
        assert_eq!(gone.code(), "upload.lost");
    }

    #[test]
    fn what_was_moved_and_did_not_count_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let (places, id) = (places(root.path()), Uuid::now_v7());
        Blob::create(&places, &blob_name(id)).unwrap();
        settled(&places, id, (0, None)).write(b"bytes").unwrap();
        let away = private_dir(&places.incoming("TRF-00001", 2)).unwrap().join(blob_name(id));
        let home = places.uploads().join(blob_name(id));
        std::fs::rename(&home, &away).unwrap();
        let blob = settled(&places, id, (3, None));
        assert!(home.exists() && !away.exists());
        assert_eq!(blob.digest(), Sha256::of(b"byt"));
    }

    /// What happens to an upload.
    #[derive(Debug, Clone)]
    enum Happens {
        /// Bytes come in, and count.
        Kept(Vec<u8>),
        /// Bytes come in, and whoever took them is killed.
        Lost(Vec<u8>),
        /// The state of the digest is of another version.
        Unread,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            bytes().prop_map(Happens::Kept),
            bytes().prop_map(Happens::Lost),
            Just(Happens::Unread)
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_the_file_is_what_was_kept(all in proptest::collection::vec(happens(), 0..10)) {
            let root = tempfile::tempdir().unwrap();
            let (places, id) = (places(root.path()), Uuid::now_v7());
            Blob::create(&places, &blob_name(id)).unwrap();
            let (mut kept, mut state) = (Vec::new(), None);
            for one in all {
                let mut blob = settled(&places, id, (kept.len() as u64, state.clone()));
                match one {
                    Happens::Kept(bytes) => {
                        blob.write(&bytes).unwrap();
                        kept.extend_from_slice(&bytes);
                        state = Some(blob.state());
                    }
                    Happens::Lost(bytes) => blob.write(&bytes).unwrap(),
                    Happens::Unread => state = Some(b"another".to_vec()),
                }
            }
            let blob = settled(&places, id, (kept.len() as u64, state));
            prop_assert_eq!(blob.end(), kept.len() as u64);
            prop_assert_eq!(blob.digest(), Sha256::of(&kept));
            prop_assert_eq!(std::fs::read(&blob.home).unwrap(), kept);
        }
    }
}
