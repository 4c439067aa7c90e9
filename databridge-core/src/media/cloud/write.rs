//! Writing one file as an object: read once, hashed, and made an object only if
//! it is what the manifest says.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::claim::Register;
use super::error::Error as Fault;
use super::read::Abort;
use super::store::{ATTEMPT, SHA256, Store, When};
use crate::base::steps;
use crate::media::checksum::{Hasher, Sha256};
use crate::media::copy::{Error, Pace};
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::{Folder, RelPath, Stat};

/// A file up to this size goes in one request, a larger one in parts of at least
/// this size (S3 wants 5 MiB or more, and no more than 10,000 parts).
const PART_BYTES: u64 = 8 << 20;
const PARTS_MAX: u64 = 9_000;
/// What all parts on their way may take up together, in MiB.
const MEMORY_MIB: u32 = 64;
/// How long parts under way are waited for before their upload is given up.
const SETTLE: Duration = Duration::from_millis(500);

/// Writes files of one delivery; shared by its workers.
#[derive(Debug)]
pub struct Writer<'a> {
    pub register: &'a Register,
    pub source: Folder,
    pub pace: &'a Pace,
    memory: Arc<Semaphore>,
}

/// A file of the manifest.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    pub path: &'a RelPath,
    pub size_bytes: u64,
    pub sha256: Sha256,
}

struct Source<'a> {
    path: PathBuf,
    file: File,
    before: Stat,
    content: Content<'a>,
}

impl<'a> Source<'a> {
    fn open(folder: &Folder, content: Content<'a>) -> Result<Self, Error> {
        let file = folder.open_file(content.path).map_err(Error::of_source)?;
        let path = folder.path().join(content.path);
        let before = Stat::of(&file).map_err(|error| Error::at(&path, error))?;
        let source = Self { path, file, before, content };
        if source.before.size_bytes == content.size_bytes {
            Ok(source)
        } else {
            Err(source.differs(None))
        }
    }

    fn differs(&self, found: Option<Sha256>) -> Error {
        Error::SourceDiffers {
            path: self.path.clone(),
            expected_bytes: self.content.size_bytes,
            expected: self.content.sha256,
            found,
        }
    }

    /// The next `bytes`, or fewer at the end.
    fn next(&mut self, bytes: u64) -> Result<Vec<u8>, Error> {
        let mut part = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        let read = (&mut self.file).take(bytes).read_to_end(&mut part);
        read.map_err(|error| Error::at(&self.path, error))?;
        Ok(part)
    }

    /// Whether all that was read is what the manifest says, and nobody wrote meanwhile.
    fn check(&self, found: Sha256) -> Result<(), Error> {
        let after = Stat::of(&self.file).map_err(|error| Error::at(&self.path, error))?;
        if !after.is_unchanged_since(&self.before) {
            return Err(Error::SourceChanged { path: self.path.clone() });
        }
        if found == self.content.sha256 { Ok(()) } else { Err(self.differs(Some(found))) }
    }
}

impl<'a> Writer<'a> {
    pub fn new(register: &'a Register, source: Folder, pace: &'a Pace) -> Self {
        let memory = Arc::new(Semaphore::new(MEMORY_MIB as usize));
        Self { register, source, pace, memory }
    }

    fn store(&self) -> &Store {
        &self.register.store
    }

    /// Writes a file where nothing stands, or in the stead of the object that was
    /// seen. `false` if something else is there by now.
    pub fn write(
        &self,
        content: Content<'_>,
        when: When,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        self.write_to(&self.register.names.entry(content.path.as_str()), content, when, monitor)
    }

    /// The same, to a key of its own.
    pub fn write_to(
        &self,
        key: &str,
        content: Content<'_>,
        when: When,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        let mut source = Source::open(&self.source, content)?;
        let tags = [
            (ATTEMPT, self.register.attempt.id.simple().to_string()),
            (SHA256, content.sha256.to_string()),
        ];
        if content.size_bytes > PART_BYTES {
            return self.write_parts(&mut source, key, &tags, when, monitor);
        }
        let _memory = self.reserve(content.size_bytes, monitor)?;
        let bytes = source.next(content.size_bytes + 1)?;
        source.check(Sha256::of(&bytes))?;
        self.pace.spend(content.size_bytes, monitor)?;
        let put = self.store().put(key, bytes, &tags, when);
        let written = self.store().wait(monitor, put)?.is_some();
        monitor.on(Progress::Bytes(content.size_bytes));
        Ok(written)
    }

    fn write_parts(
        &self,
        source: &mut Source<'_>,
        key: &str,
        tags: &[(&'static str, String)],
        when: When,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        let store = self.store();
        let upload = store.wait(monitor, store.begin(key, tags))?;
        let note = note(self.register, key, &upload, monitor)?;
        steps::reach("cloud.upload_begun");
        let mut coming = Coming::new();
        let done = self.send(source, key, &upload, when, &mut coming, monitor);
        // A cancel ends the upload, too: its parts would be paid for. So would one that the
        // store had taken before and puts down after (AbortMultipartUpload in Amazon's
        // reference): a moment for those under way, and where one needs longer the note stays,
        // by which whoever goes on or ends the delivery gives the upload up once more.
        let settled = self.settle(coming);
        if !matches!(done, Ok(true)) {
            let _ = store.wait(&(), store.give_up(key, &upload));
        }
        if settled {
            store.wait(&(), store.delete(&note, None))?;
        }
        done
    }

    /// Whether all parts under way came to an end.
    fn settle(&self, mut coming: Coming) -> bool {
        let ended = async {
            for part in &mut coming {
                let _ = (&mut part.0).await;
            }
        };
        let in_time = async { Ok(tokio::time::timeout(SETTLE, ended).await.is_ok()) };
        self.store().wait(&(), in_time).unwrap_or(false)
    }

    fn send(
        &self,
        source: &mut Source<'_>,
        key: &str,
        upload: &str,
        when: When,
        coming: &mut Coming,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        let size = source.content.size_bytes;
        let part_bytes = PART_BYTES.max(size.div_ceil(PARTS_MAX));
        let (mut hash, mut parts) = (Hasher::new(&[]), Vec::new());
        let mut total = 0;
        for index in 0.. {
            // What is done first makes room for what comes.
            let memory = loop {
                match self.try_reserve(part_bytes) {
                    Some(memory) => break memory,
                    None if coming.is_empty() => break self.reserve(part_bytes, monitor)?,
                    None => parts.push(self.arrived(coming, monitor)?),
                }
            };
            let bytes = source.next(part_bytes)?;
            if bytes.is_empty() {
                break;
            }
            hash.update(&bytes);
            total += bytes.len() as u64;
            self.pace.spend(bytes.len() as u64, monitor)?;
            let (store, key, upload) = (self.store().clone(), key.to_owned(), upload.to_owned());
            let length = bytes.len() as u64;
            coming.push_back(Abort(self.store().spawn(async move {
                let sent = store.part(&key, &upload, index, bytes).await;
                drop(memory);
                sent.map(|part| (part, length))
            })));
        }
        while !coming.is_empty() {
            parts.push(self.arrived(coming, monitor)?);
        }
        steps::reach("cloud.parts_sent");
        if total != size {
            return Err(Error::SourceChanged { path: source.path.clone() });
        }
        source.check(hash.finish().sha256())?;
        let store = self.store();
        Ok(store.wait(monitor, store.complete(key, upload, parts, when))?.is_some())
    }

    fn arrived(&self, coming: &mut Coming, monitor: &dyn Monitor) -> Result<Part, Error> {
        let Some(next) = coming.front_mut() else { return Err(Error::Cancelled) };
        // A cancel leaves it there, to be settled.
        let ended = self.store().wait(monitor, async { Ok((&mut next.0).await) })?;
        coming.pop_front();
        let (part, bytes) = ended.unwrap_or(Err(Error::Cancelled))?;
        monitor.on(Progress::Bytes(bytes));
        Ok(part)
    }

    fn permits(bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(MEMORY_MIB).clamp(1, MEMORY_MIB)
    }

    fn try_reserve(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.memory.clone().try_acquire_many_owned(Self::permits(bytes)).ok()
    }

    fn reserve(&self, bytes: u64, monitor: &dyn Monitor) -> Result<OwnedSemaphorePermit, Error> {
        let memory = self.memory.clone();
        self.store().wait(monitor, async move {
            memory.acquire_many_owned(Self::permits(bytes)).await.map_err(|_| Error::Cancelled)
        })
    }
}

type Part = object_store::multipart::PartId;
type Coming = VecDeque<Abort<Result<(Part, u64), Error>>>;

/// Notes an upload in parts down, so that a successor can give it up.
fn note(
    register: &Register,
    key: &str,
    upload: &str,
    monitor: &dyn Monitor,
) -> Result<String, Error> {
    let store = &register.store;
    let name = format!("{}/{}", register.names.uploads(), Uuid::new_v4().simple());
    let text = format!("{upload}\n{key}\n").into_bytes();
    match store.wait(monitor, store.put(&name, text, &[], When::Absent))? {
        Some(_) => Ok(name),
        None => Err(Fault::Changed { url: store.url(&name) }.into()),
    }
}

/// Gives up what earlier workers of this delivery had begun to upload in parts.
pub fn give_up_uploads(register: &Register, monitor: &dyn Monitor) -> Result<(), Error> {
    let (store, names) = (&register.store, &register.names);
    for (note, _) in store.wait(monitor, store.list(&names.uploads()))? {
        if let Some((text, _)) = store.wait(monitor, store.get(&note))? {
            let text = String::from_utf8_lossy(&text).into_owned();
            if let Some((upload, key)) = text.trim_end().split_once('\n') {
                store.wait(monitor, store.give_up(key, upload))?;
            }
        }
        store.wait(monitor, store.delete(&note, None))?;
    }
    Ok(())
}
