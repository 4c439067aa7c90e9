//! Signed tree heads (C2SP tlog-checkpoint in a C2SP signed note), written outside
//! the database so that whoever can rewrite the one cannot rewrite the other.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use super::Error;
use crate::base::clock::Timestamp;

/// Ed25519, as the signed-note specification numbers it.
const ED25519: u8 = 1;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
}

/// Signs this ledger's checkpoints.
#[derive(Clone)]
pub struct Signer {
    origin: String,
    signer: StandardSigner,
    public: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn key_text(name: &str, public: &[u8; 32], key: &[u8; 32]) -> String {
    let id = signed_note::key_id(name, &[&[ED25519], public.as_slice()].concat());
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[ED25519], key.as_slice()].concat()))
}

impl Signer {
    /// Signs as `origin` with an Ed25519 seed and its public key.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the key or the name is not acceptable.
    pub fn new(origin: &str, seed: &[u8; 32], public: [u8; 32]) -> Result<Self, Error> {
        let text = format!("PRIVATE+KEY+{}", key_text(origin, &public, seed));
        let signer = StandardSigner::new(&text).map_err(|e| Error::Checkpoint(e.to_string()))?;
        Ok(Self { origin: origin.to_owned(), signer, public })
    }

    /// The verifier key other people's tools take (`name+id+key`).
    pub fn verifier_key(&self) -> String {
        key_text(&self.origin, &self.public, &self.public)
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A signed note over a tree head.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where signing fails.
    pub fn sign(&self, size: u64, root: [u8; 32]) -> Result<String, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Checkpoint(e.to_string());
        let head = tlog_tiles::Checkpoint::new(&self.origin, size, tlog_tiles::Hash(root), "")
            .map_err(|e| wrong(&e))?;
        let mut note = Note::new(&head.to_bytes(), &[]).map_err(|e| wrong(&e))?;
        note.add_sigs(&[&self.signer]).map_err(|e| wrong(&e))?;
        String::from_utf8(note.to_bytes()).map_err(|e| wrong(&e))
    }
}

impl Checkpoint {
    /// Reads a note and checks that the key in `verifier_key` signed it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is malformed or not signed by that key.
    pub fn open(note: &str, verifier_key: &str) -> Result<Self, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Checkpoint(e.to_string());
        let verifier = StandardVerifier::new(verifier_key).map_err(|e| wrong(&e))?;
        let note = Note::from_bytes(note.as_bytes()).map_err(|e| wrong(&e))?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|e| wrong(&e))?;
        let head = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|e| wrong(&e))?;
        Ok(Self { origin: head.origin().to_owned(), size: head.size(), root: head.hash().0 })
    }
}

/// The newest checkpoint in a folder, if there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(all(folder)?.pop().map(|(_, path)| path))
}

/// Sizes and files, the newest last.
fn all(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let io = |source| Error::Io { path: folder.display().to_string(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let size = path
            .file_stem()
            .and_then(|s| s.to_str())
            .filter(|_| path.extension().is_some_and(|e| e == "checkpoint"))
            .and_then(|s| s.parse::<u64>().ok());
        found.extend(size.map(|size| (size, path)));
    }
    found.sort();
    Ok(found)
}

/// When a checkpoint was kept; none where it is gone by now.
fn kept_at(path: &Path) -> Option<SystemTime> {
    path.symlink_metadata().and_then(|meta| meta.modified()).ok()
}

/// Removes all but the newest, the last of each hour of two days and the last of each day;
/// answers how many. Each proves all that came before it, so that what is lost is only when
/// an earlier state was.
///
/// # Errors
/// [`Error::Io`].
pub fn thin(folder: &Path, now: SystemTime) -> Result<usize, Error> {
    const HOUR: u64 = 3600;
    let mut found = all(folder)?;
    found.pop();
    let mut taken = HashSet::new();
    let mut removed = 0;
    for (_, path) in found.into_iter().rev() {
        let Some(at) = kept_at(&path) else { continue };
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_young = now.duration_since(at).unwrap_or_default().as_secs() < 48 * HOUR;
        let span = if is_young { HOUR } else { 24 * HOUR };
        if !taken.insert((span, seconds / span)) && std::fs::remove_file(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Lays aside, into a folder beside them, checkpoints of more than `events` events that were
/// kept before `restored`: the store was put back then to a state of so many, and what they
/// prove is not its past any more. Answers how many.
///
/// # Errors
/// [`Error::Io`].
pub fn lay_aside(folder: &Path, events: u64, restored: Timestamp) -> Result<usize, Error> {
    let micros = u64::try_from(restored.as_micros()).unwrap_or_default();
    let then = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    let aside = folder.join(format!("before_restore_{micros}"));
    let mut moved = 0;
    for (size, path) in all(folder)? {
        if size > events && kept_at(&path).is_some_and(|at| at < then) {
            let io = |source| Error::Io { path: path.display().to_string(), source };
            std::fs::create_dir_all(&aside).map_err(io)?;
            std::fs::rename(&path, aside.join(path.file_name().unwrap_or_default())).map_err(io)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Keeps a checkpoint as `<folder>/<size>.checkpoint`, durably.
///
/// # Errors
/// [`Error::Io`].
pub fn keep(folder: &Path, size: u64, note: &str) -> Result<PathBuf, Error> {
    let io = |source| Error::Io { path: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let path = folder.join(format!("{size:012}.checkpoint"));
    let draft = folder.join(format!(".{size:012}.{}", std::process::id()));
    let mut file = std::fs::File::create(&draft).map_err(io)?;
    file.write_all(note.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&draft, &path).map_err(io)?;
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Noon of some day.
    const NOW: u64 = 1_800_014_400;

    fn plant(folder: &Path, size: u64, seconds_ago: u64) {
        let file = std::fs::File::open(keep(folder, size, "note").unwrap()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - seconds_ago)).unwrap();
    }

    fn sizes(folder: &Path) -> Vec<u64> {
        all(folder).unwrap().into_iter().map(|(size, _)| size).collect()
    }

    #[test]
    fn of_many_checkpoints_the_last_of_each_hour_and_day_stay() {
        let folder = tempfile::tempdir().unwrap();
        let hour = 3600;
        // Three days ago, twice; yesterday, in two hours; and of the last minutes.
        for (size, ago) in [
            (1, 74 * hour),
            (2, 73 * hour),
            (3, 20 * hour),
            (4, 20 * hour - 60),
            (5, 19 * hour),
            (6, 59),
            (7, 30),
            (8, 10),
            (9, 5),
        ] {
            plant(folder.path(), size, ago);
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        assert_eq!(thin(folder.path(), now).unwrap(), 4);
        assert_eq!(sizes(folder.path()), [2, 4, 5, 8, 9]);
        assert_eq!(thin(folder.path(), now).unwrap(), 0);
        assert_eq!(thin(&folder.path().join("none"), now).unwrap(), 0);
    }

    #[test]
    fn what_a_restore_undid_is_laid_aside_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (size, ago) in [(5, 100), (10, 90), (11, 80), (40, 70), (12, 10)] {
            plant(folder.path(), size, ago);
        }
        let restored = Timestamp::from_micros(i64::try_from((NOW - 50) * 1_000_000).unwrap());
        assert_eq!(lay_aside(folder.path(), 10, restored).unwrap(), 2);
        assert_eq!(sizes(folder.path()), [5, 10, 12]);
        let aside = folder.path().join(format!("before_restore_{}", restored.as_micros()));
        assert_eq!(sizes(&aside), [11, 40]);
        assert_eq!(lay_aside(folder.path(), 10, restored).unwrap(), 0);
    }
}
