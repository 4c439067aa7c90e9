//! The phases of a delivery to an object store; the [argument](super) says why so.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Settings;
use super::claim::{Held, Register, Stage};
use super::error::Error as Fault;
use super::names::Names;
use super::proof::CloudProof;
use super::read;
use super::record::Record;
use super::store::{Fact, Store, When};
use super::write::{Content, Writer, give_up_uploads};
use crate::base::clock::Timestamp;
use crate::base::steps;
use crate::media::copy::{
    Aborted, Discrepancy, Error, Pace, Prepared, Published, ReadBack, RenameMethod, Transferred,
    Worth, Worths, each,
};
use crate::media::delivery::{Delivery, Plan, Proof};
use crate::media::manifest::{Entry, Manifest};
use crate::media::monitor::{Monitor, Phase, Progress};
use crate::media::storage::{Folder, Location, ObjectLocation};

/// Objects on their way at a time, unless the policy says.
const JOBS: usize = 4;
/// How often a worker looks whether the delivery is still its own.
const LOOK: Duration = Duration::from_secs(1);
/// How often an object is looked at anew when somebody else got in between.
const TRIES: usize = 4;

/// A delivery to one prefix.
#[derive(Debug)]
pub struct CloudDelivery {
    plan: Plan,
    register: Register,
    /// What this very worker read and found right, by path.
    read: Mutex<BTreeMap<String, Fact>>,
    verified: Mutex<Option<Timestamp>>,
    looked: Mutex<Option<Instant>>,
}

impl CloudDelivery {
    pub fn new(plan: Plan, at: &ObjectLocation, settings: &Settings) -> Result<Self, Error> {
        if at.key().is_empty() {
            return Err(Error::InvalidDestination { path: at.to_string().into() });
        }
        let register = Register {
            store: Store::open(at, settings)?,
            names: Names::of(at),
            attempt: plan.attempt,
            manifest: plan.manifest.digest(),
        };
        Ok(Self {
            plan,
            register,
            read: Mutex::default(),
            verified: Mutex::default(),
            looked: Mutex::default(),
        })
    }

    fn store(&self) -> &Store {
        &self.register.store
    }

    fn names(&self) -> &Names {
        &self.register.names
    }

    fn jobs(&self) -> usize {
        self.plan.policy.jobs.map_or(JOBS, NonZeroUsize::get)
    }

    fn url(&self) -> std::path::PathBuf {
        self.plan.destination.to_string().into()
    }

    /// What stands below the payload's prefix, by path.
    fn listing(&self, monitor: &dyn Monitor) -> Result<BTreeMap<String, Fact>, Error> {
        let names = self.names();
        let found = self.store().wait(monitor, self.store().list(names.payload()))?;
        Ok(found
            .into_iter()
            .filter_map(|(key, fact)| names.path(&key).map(|path| (path.to_owned(), fact)))
            .collect())
    }

    /// The manifest object; with its content where it is this delivery's.
    fn record(&self, monitor: &dyn Monitor) -> Result<Option<Record>, Error> {
        let key = self.names().manifest();
        let Some((bytes, _)) = self.store().wait(monitor, self.store().get(&key))? else {
            return Ok(None);
        };
        let ours = serde_json::from_slice::<Record>(&bytes).ok().filter(|record| {
            (record.attempt, record.manifest_sha256)
                == (self.plan.attempt.id, self.register.manifest)
        });
        ours.map(Some)
            .ok_or_else(|| Error::DestinationExists { path: self.store().url(&key).into() })
    }

    /// Confirms the claim, but no more than once in a while.
    fn look(&self, monitor: &dyn Monitor) -> Result<(), Error> {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|at| at.elapsed() < LOOK) {
                return Ok(());
            }
            *looked = Some(Instant::now());
        }
        self.register.confirm(monitor).map(|_| ())
    }

    /// Goes on where the place is free.
    fn occupy(&self, held: &Held) -> Result<Held, Error> {
        if let Some((path, _)) = self.listing(&())?.pop_first() {
            self.register.drop(held, &())?;
            return Err(self.foreign(&self.names().entry(&path)));
        }
        self.register.advance(held, Stage::Ready, &())
    }

    /// Whether a listed object is one of this delivery's.
    fn is_ours(&self, key: &str, monitor: &dyn Monitor) -> Result<bool, Error> {
        let head = self.store().wait(monitor, self.store().head(key))?;
        let ours = self.plan.attempt.id.simple().to_string();
        Ok(head.is_none_or(|head| head.attempt.as_deref() == Some(ours.as_str())))
    }

    fn foreign(&self, key: &str) -> Error {
        Error::DestinationExists { path: self.store().url(key).into() }
    }

    /// Reads an object and remembers it if it is what the manifest says.
    fn fits(
        &self,
        content: Content<'_>,
        fact: &Fact,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        if fact.size_bytes != content.size_bytes {
            return Ok(false);
        }
        let key = self.names().entry(content.path.as_str());
        let found = read::object(self.store(), &key, fact, &[], monitor, |_| Ok(()))?;
        let fits = found.sha256() == content.sha256;
        if fits {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            read.insert(content.path.to_string(), fact.clone());
        }
        Ok(fits)
    }

    /// Brings one file to where it belongs, whatever stands there: `true` if it was
    /// written.
    fn settle(
        &self,
        writer: &Writer<'_>,
        content: Content<'_>,
        mut found: Option<Fact>,
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        let key = self.names().entry(content.path.as_str());
        for _ in 0..TRIES {
            let when = match &found {
                None => When::Absent,
                Some(fact) => {
                    if self.fits(content, fact, monitor)? {
                        return Ok(false);
                    }
                    if !self.is_ours(&key, monitor)? {
                        return Err(self.foreign(&key));
                    }
                    self.register.confirm(monitor)?;
                    // A listing need not say the ETag; the object's headers do.
                    match self.store().wait(monitor, self.store().head(&key))? {
                        None => When::Absent,
                        Some(head) => match head.fact.etag.clone() {
                            Some(etag) if head.fact.is(fact) => When::Is(etag),
                            _ => {
                                found = Some(head.fact);
                                continue;
                            }
                        },
                    }
                }
            };
            if writer.write(content, when, monitor)? {
                return Ok(true);
            }
            // Something stands there that did not, or another than did.
            found = self.store().wait(monitor, self.store().head(&key))?.map(|head| head.fact);
        }
        Err(Fault::Changed { url: self.store().url(&key) }.into())
    }

    /// Removes what the manifest does not name, if it is ours.
    fn clean(
        &self,
        listing: &BTreeMap<String, Fact>,
        keep: impl Fn(&str) -> bool + Sync,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let odd: Vec<_> = listing.iter().filter(|(path, _)| !keep(path)).collect();
        each(
            None,
            self.jobs(),
            1,
            &odd,
            monitor,
            || (),
            |(path, fact), (), watch| {
                let key = self.names().entry(path);
                if !self.is_ours(&key, watch)? {
                    return Err(self.foreign(&key));
                }
                self.look(watch)?;
                self.store().wait(watch, self.store().delete(&key, fact.etag.as_deref()))
            },
        )
    }

    /// Reads what is not read yet; the paths that are not as they should be.
    fn damaged(
        &self,
        listing: &BTreeMap<String, Fact>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<String>, Error> {
        let files = contents(&self.plan.manifest);
        let damaged = Mutex::new(Vec::new());
        each(
            None,
            self.jobs(),
            1,
            &files,
            monitor,
            || (),
            |content, (), watch| {
                let path = content.path.as_str();
                let Some(fact) = listing.get(path) else {
                    return Err(Error::PartialDiffers {
                        path: path.into(),
                        what: Discrepancy::Missing,
                    });
                };
                let known =
                    self.read.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
                if known.is_some_and(|known| known.is(fact)) {
                    watch.on(Progress::Bytes(content.size_bytes));
                } else if !self.fits(*content, fact, watch)? {
                    let mut damaged = damaged.lock().unwrap_or_else(PoisonError::into_inner);
                    damaged.push(path.to_owned());
                }
                watch.on(Progress::File(path));
                Ok(())
            },
        )?;
        let mut damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
        damaged.sort();
        Ok(damaged)
    }

    /// Whether the prefix holds just what was read back, still.
    fn is_as_read(&self, monitor: &dyn Monitor) -> Result<bool, Error> {
        let listing = self.listing(monitor)?;
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(listing.len() == read.len()
            && listing.iter().all(|(path, fact)| read.get(path).is_some_and(|was| was.is(fact))))
    }

    fn record_of(&self, verified_at: Timestamp) -> Record {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let etag = |path: &str| read.get(path).and_then(|fact| fact.etag.clone());
        Record::of(&self.plan.manifest, self.plan.attempt, verified_at, etag)
    }

    /// Creates the manifest object, or finds that somebody did.
    fn create_record(&self, record: &Record) -> Result<(), Error> {
        let key = self.names().manifest();
        let bytes = serde_json::to_vec_pretty(record).map_err(|error| Fault::Malformed {
            url: self.store().url(&key),
            reason: error.to_string(),
        })?;
        // Decided by now, so no cancel stops it.
        match self.store().wait(&(), self.store().put(&key, bytes, &[], When::Absent))? {
            Some(_) => Ok(()),
            None => match self.record(&())? {
                Some(_) => Ok(()),
                None => Err(Fault::Changed { url: self.store().url(&key) }.into()),
            },
        }
    }

    fn source(&self) -> Result<Folder, Error> {
        Folder::open(&self.plan.source).map_err(Error::of_source)
    }

    fn pace(&self) -> Pace {
        Pace::new(self.plan.policy.limit_bytes_per_second)
    }
}

fn contents(manifest: &Manifest) -> Vec<Content<'_>> {
    let of = |entry| match entry {
        &Entry::File { ref path, size_bytes, sha256 } => Some(Content { path, size_bytes, sha256 }),
        Entry::EmptyDir { .. } => None,
    };
    manifest.entries().iter().filter_map(of).collect()
}

impl Delivery for CloudDelivery {
    fn method(&self) -> &'static str {
        "s3"
    }

    fn destination(&self) -> &Location {
        &self.plan.destination
    }

    fn prepare(&self) -> Result<Prepared, Error> {
        let longest =
            contents(&self.plan.manifest).into_iter().map(|c| c.path.as_str().len()).max();
        let key = self.names().entry(&"x".repeat(longest.unwrap_or(0)));
        if key.len() > 1024 {
            return Err(Fault::KeyTooLong { url: self.store().url(&key) }.into());
        }
        // A look before anything is written: is there such a bucket, may we list it?
        self.store().wait(&(), self.store().list(&self.names().uploads()))?;
        let standing = self.record(&())?;
        let (held, taken_over) = self.register.take(&())?;
        steps::reach("cloud.claimed");
        let adopting = standing.is_some() || held.claim.stage == Stage::Publishing;
        if !adopting && held.claim.stage == Stage::Announced {
            self.occupy(&held)?;
        } else if !adopting && held.claim.stage == Stage::Aborting {
            // An abort that did not end: what it left is ours to clear away.
            self.register.advance(&held, Stage::Ready, &())?;
        }
        give_up_uploads(&self.register, &())?;
        steps::reach("cloud.prepared");
        Ok(Prepared { adopting, taken_over, kept_files: 0, kept_bytes: 0 })
    }

    fn transfer(&self, monitor: &dyn Monitor) -> Result<Transferred, Error> {
        let start = Instant::now();
        monitor.on(Progress::Phase(Phase::Copy));
        let files = contents(&self.plan.manifest);
        let bytes = files.iter().map(|content| content.size_bytes).sum();
        monitor.on(Progress::Total { files: files.len() as u64, bytes });
        self.register.confirm(monitor)?;
        let listing = self.listing(monitor)?;
        let named: std::collections::BTreeSet<_> =
            files.iter().map(|content| content.path.as_str()).collect();
        self.clean(&listing, |path| named.contains(path), monitor)?;
        let (pace, source) = (self.pace(), self.source()?);
        let writer = Writer::new(&self.register, source, &pace);
        let done = Mutex::new(Transferred::default());
        each(
            None,
            self.jobs(),
            1,
            &files,
            monitor,
            || (),
            |content, (), watch| {
                self.look(watch)?;
                let found = listing.get(content.path.as_str()).cloned();
                let written = self.settle(&writer, *content, found, watch)?;
                steps::reach("cloud.file_written");
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                if written {
                    done.files += 1;
                    done.bytes += content.size_bytes;
                } else {
                    done.kept_files += 1;
                    done.kept_bytes += content.size_bytes;
                }
                watch.on(Progress::File(content.path.as_str()));
                Ok(())
            },
        )?;
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Transferred { took: start.elapsed(), ..done })
    }

    fn verify(&self, monitor: &dyn Monitor) -> Result<ReadBack, Error> {
        let start = Instant::now();
        monitor.on(Progress::Phase(Phase::ReadBack));
        let held = self.register.confirm(monitor)?;
        let files = contents(&self.plan.manifest);
        let bytes = files.iter().map(|content| content.size_bytes).sum();
        monitor.on(Progress::Total { files: files.len() as u64, bytes });
        let standing = self.record(monitor)?.is_some();
        let listing = self.listing(monitor)?;
        let mut damaged = self.damaged(&listing, monitor)?;
        if (standing || held.claim.stage == Stage::Publishing) && !damaged.is_empty() {
            // It is decided and cannot be taken out of sight: mend it where it is.
            let (pace, source) = (self.pace(), self.source()?);
            let writer = Writer::new(&self.register, source, &pace);
            for content in files.iter().filter(|c| damaged.iter().any(|d| d == c.path.as_str())) {
                let found = listing.get(content.path.as_str()).cloned();
                self.settle(&writer, *content, found, monitor)?;
            }
            damaged = self.damaged(&self.listing(monitor)?, monitor)?;
        }
        if let Some(first) = damaged.first() {
            return Err(Error::ReadBackMismatch { path: first.clone(), others: damaged.len() - 1 });
        }
        if !standing && !self.is_as_read(monitor)? {
            let odd = self.listing(monitor)?.into_keys().find(|path| {
                !self.read.lock().unwrap_or_else(PoisonError::into_inner).contains_key(path)
            });
            let path = odd.unwrap_or_else(|| self.plan.destination.to_string());
            return Err(Error::PartialDiffers { path, what: Discrepancy::Extra });
        }
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some(Timestamp::now());
        steps::reach("cloud.read_back");
        Ok(ReadBack {
            files: files.len() as u64,
            bytes,
            overlapped_bytes: 0,
            worth: Worth::Server,
            worths: Worths { server: files.len() as u64, ..Worths::default() },
            took: start.elapsed(),
        })
    }

    fn publish(&self, monitor: &dyn Monitor) -> Result<Published, Error> {
        let rename = RenameMethod::Conditional;
        let not_verified = || Error::NotVerified { path: self.url() };
        let verified_at = *self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let verified_at = verified_at.ok_or_else(not_verified)?;
        let held = self.register.confirm(monitor)?;
        if self.record(monitor)?.is_some() {
            return Ok(Published { adopted: true, rename });
        }
        if !self.is_as_read(monitor)? {
            return Err(not_verified());
        }
        let adopted = held.claim.stage == Stage::Publishing;
        if !adopted {
            self.register.advance(&held, Stage::Publishing, monitor)?;
            steps::reach("cloud.decided");
        }
        self.create_record(&self.record_of(verified_at))?;
        steps::reach("cloud.published");
        Ok(Published { adopted, rename })
    }

    fn finish(&self) -> Result<(), Error> {
        if let Some(held) = self.register.read(&())? {
            self.register.refuse(&held.claim)?;
            give_up_uploads(&self.register, &())?;
            self.register.drop(&held, &())?;
        }
        steps::reach("cloud.finished");
        Ok(())
    }

    fn abort(&self) -> Result<Aborted, Error> {
        match self.register.read(&())? {
            Some(held) => self.register.refuse(&held.claim)?,
            // Nothing was claimed, or it was cleared away.
            None => {
                let standing = self.record(&());
                return Ok(match standing {
                    Ok(Some(_)) => Aborted::AlreadyPublished,
                    _ => Aborted::Removed,
                });
            }
        }
        let (held, _) = self.register.take(&())?;
        steps::reach("cloud.fenced");
        if held.claim.stage == Stage::Publishing || matches!(self.record(&()), Ok(Some(_))) {
            return Ok(Aborted::AlreadyPublished);
        }
        if held.claim.stage == Stage::Announced {
            // Nobody had found the place free: nothing in it is ours.
            self.register.drop(&held, &())?;
            return Ok(Aborted::Removed);
        }
        let held = self.register.advance(&held, Stage::Aborting, &())?;
        give_up_uploads(&self.register, &())?;
        self.clean(&self.listing(&())?, |_| false, &())?;
        self.register.drop(&held, &())?;
        Ok(Aborted::Removed)
    }

    fn proof(&self) -> Arc<dyn Proof> {
        Arc::new(CloudProof::new(self.register.clone()))
    }
}
