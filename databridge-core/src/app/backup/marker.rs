//! What says that a store is being put back: until it is gone, there is no store.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{Error, contents};
use crate::control::db;

const NAME: &str = "restoring";
/// Locked shared by whoever has the store open, and alone by who puts it back.
const HOLD: &str = "store.lock";

/// How far a restore came. It is written before anything is touched; who finds it can
/// undo all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The folder, and in a server the schema, where what stood there is.
    pub aside: String,
    /// Whether keys are put back, too.
    pub keys: bool,
    /// Whether all that stood there is in `aside`: what stands there now was put there.
    pub is_aside: bool,
    /// Whether all of the backup stands there; what is missing is no part of it.
    #[serde(default)]
    pub is_loaded: bool,
}

impl Marker {
    pub fn find(data: &Path) -> Result<Option<Self>, Error> {
        let path = data.join(NAME);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, error)),
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|e| Error::io(&path, e.into()))
            }
        }
    }

    /// Whole and durable, or as it was.
    pub fn write(&self, data: &Path) -> Result<(), Error> {
        let draft = data.join(format!(".{NAME}"));
        let text = serde_json::to_vec(self).unwrap_or_default();
        let io = |error| Error::io(&draft, error);
        let mut file = File::create(&draft).map_err(io)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&draft, data.join(NAME)).map_err(io)?;
        contents::flush(data)
    }

    pub fn remove(data: &Path) -> Result<(), Error> {
        let path = data.join(NAME);
        std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))?;
        contents::flush(data)
    }
}

/// Whether a store is being put back here, or was when somebody was killed at it.
pub(in crate::app) fn is_underway(data: &Path) -> bool {
    data.join(NAME).exists()
}

fn lock(data: &Path, how: FlockOperation) -> Result<Option<File>, Error> {
    let path = data.join(HOLD);
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
    // Made by another user, it can be locked all the same.
    let file = file.or_else(|_| File::open(&path)).map_err(|e| Error::io(&path, e))?;
    match flock(&file, how) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        // A place without such locks is used as it always was.
        _ => Ok(Some(file)),
    }
}

/// Nobody else has the store open, nor opens it while the answer lives.
pub(super) fn alone(data: &Path) -> Result<Option<File>, Error> {
    lock(data, FlockOperation::NonBlockingLockExclusive)
}

/// Nobody puts the store back while the answer lives.
///
/// # Errors
/// [`db::Error::Restoring`] where somebody does, or did not come to its end.
pub(in crate::app) fn hold(data: &Path) -> Result<File, crate::Error> {
    let restoring = || db::Error::Restoring { place: data.display().to_string() };
    let held = lock(data, FlockOperation::NonBlockingLockShared)?.ok_or_else(restoring)?;
    match Marker::find(data)? {
        Some(_) => Err(restoring().into()),
        None => Ok(held),
    }
}
