//! How a proof appears beside its payload, and who may make it appear.
//!
//! For the proof `TRF-00042.proof` of the transfer with id `ID` under fence 3:
//!
//! | name | what |
//! |---|---|
//! | `.TRF-00042.proof.databridge-draft.ID.3` | the proof being written |
//! | `.TRF-00042.proof.databridge-removed.ID.X` | a draft or proof on its way out |
//!
//! The fence is that of the payload's partial folder: the draft's folder is made
//! once, before its worker confirms its lease for the last time; a successor moves
//! it away before it does anything else, and what is then still written or renamed
//! under the old name finds nothing there.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use uuid::Uuid;

use crate::base::steps::reach;
use crate::media::copy::{Error, Plan};

/// The one file whose presence says that a proof stands.
const RECEIPT: &str = "receipt.json";
/// What is longer is none of ours.
const RECEIPT_BYTES: u64 = 64 << 20;

/// The place of one delivery's proof, under one epoch.
pub trait Proof: Debug + Send + Sync {
    /// Where it stands, for people.
    fn place(&self) -> String;
    /// What stands there.
    ///
    /// # Errors
    /// What the storage said.
    fn find(&self) -> Result<Found, Error>;
    /// Moves every earlier worker's draft out of its reach. Doing it twice is no
    /// error.
    ///
    /// # Errors
    /// What the storage said.
    fn fence(&self) -> Result<Result<(), Overtaken>, Error>;
    /// Takes the place of every earlier worker. The caller confirms its lease after
    /// this, before [`publish`](Self::publish), and [steps back](Self::step_back)
    /// where it is lost.
    ///
    /// # Errors
    /// What the storage said.
    fn claim(&self) -> Result<Result<(), Overtaken>, Error>;
    /// Leaves nothing of one's own behind.
    fn step_back(&self);
    /// Makes the files, by name, appear as the proof: whole, durably, replacing
    /// nothing.
    ///
    /// # Errors
    /// [`Error::DestinationExists`], or what the storage said.
    fn publish(&self, files: &[(&str, &str)]) -> Result<Result<(), Overtaken>, Error>;
    /// Takes the published proof away again.
    ///
    /// # Errors
    /// What the storage said.
    fn take_away(&self) -> Result<(), Error>;
}

/// What stands in a proof's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A receipt, whosever it is.
    Receipt {
        /// Its text.
        text: String,
        /// Whether a worker that was overtaken may have put it there late: then one
        /// about other files is no conflict, and [`Proof::claim`] clears it away.
        maybe_late: bool,
    },
    /// Something else.
    Foreign,
}

/// A proof in a folder beside a payload's.
#[derive(Debug, Clone)]
pub struct FolderProof {
    folder: PathBuf,
    parent: PathBuf,
    drafts: String,
    removed: String,
    epoch: u64,
    dir_mode: u32,
    file_mode: u32,
}

/// Another worker has the delivery, or nobody wants it any more.
#[derive(Debug)]
pub struct Overtaken;

pub(super) fn fail(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::at(path, source)
}

/// A path that is gone already is no error.
pub(super) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Renames without replacing; where the file system knows no such rename, after a look.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<(), Error> {
    let exists = || Error::DestinationExists { path: to.to_owned() };
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Err(exists()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            match to.symlink_metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(fail(to)(error)),
                Ok(_) => return Err(exists()),
            }
            std::fs::rename(from, to).map_err(fail(to))
        }
        Err(error) => Err(fail(to)(error.into())),
    }
}

impl FolderProof {
    /// Where the proof of `plan`'s payload belongs.
    pub fn of(plan: &Plan) -> Self {
        let mut name = plan.destination.file_name().unwrap_or_default().to_owned();
        name.push(".proof");
        let folder = plan.destination.with_file_name(name);
        let parent = folder.parent().unwrap_or(Path::new("/")).to_owned();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let id = plan.attempt.id.simple();
        Self {
            drafts: format!(".{name}.databridge-draft.{id}."),
            removed: format!(".{name}.databridge-removed.{id}."),
            epoch: plan.attempt.epoch,
            dir_mode: plan.policy.dir_mode,
            file_mode: plan.policy.file_mode,
            parent,
            folder,
        }
    }

    fn draft(&self, epoch: u64) -> PathBuf {
        self.parent.join(format!("{}{epoch}", self.drafts))
    }

    fn write(&self, files: &[(&str, &str)]) -> Result<(), Error> {
        let draft = self.draft(self.epoch);
        let file_mode = self.file_mode;
        for (name, text) in files {
            let path = draft.join(name);
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(file_mode)
                .open(&path)
                .map_err(fail(&path))?;
            file.write_all(text.as_bytes()).map_err(fail(&path))?;
            let mode = std::fs::Permissions::from_mode(file_mode);
            file.set_permissions(mode).map_err(fail(&path))?;
            file.sync_all().map_err(fail(&path))?;
        }
        let mode = std::fs::Permissions::from_mode(self.dir_mode);
        std::fs::set_permissions(&draft, mode).map_err(fail(&draft))?;
        File::open(&draft).and_then(|f| f.sync_all()).map_err(fail(&draft))?;
        reach("proof.written");
        rename_new(&draft, &self.folder)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let removed = self.parent.join(format!("{}{}", self.removed, Uuid::new_v4().simple()));
        gone(std::fs::rename(path, &removed)).map_err(fail(path))?;
        if self.parent.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            // A delivery that never got so far.
            return Ok(());
        }
        self.flush()?;
        self.delete(&removed)
    }

    /// Others may be deleting it, too.
    fn delete(&self, path: &Path) -> Result<(), Error> {
        gone(std::fs::remove_dir_all(path)).map_err(fail(path))
    }

    fn flush(&self) -> Result<(), Error> {
        File::open(&self.parent).and_then(|f| f.sync_all()).map_err(fail(&self.parent))
    }
}

impl Proof for FolderProof {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn find(&self) -> Result<Found, Error> {
        match self.folder.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            _ => {}
        }
        let path = self.folder.join(RECEIPT);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| {
            file.take(RECEIPT_BYTES).read_to_string(&mut text)?;
            Ok(())
        });
        match read.map_err(|error| (error.kind(), error)) {
            Ok(()) => Ok(Found::Receipt { text, maybe_late: false }),
            // Another thing than we would have put there; all else may pass.
            Err((
                ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::InvalidData,
                _,
            )) => Ok(Found::Foreign),
            Err((_, error)) => Err(fail(&path)(error)),
        }
    }

    fn fence(&self) -> Result<Result<(), Overtaken>, Error> {
        let at = || fail(&self.parent);
        let entries = match std::fs::read_dir(&self.parent) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(())),
            entries => entries.map_err(at())?,
        };
        for entry in entries {
            let entry = entry.map_err(at())?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.removed) {
                self.delete(&entry.path())?;
            }
            match name.strip_prefix(&self.drafts).map(str::parse::<u64>) {
                Some(Ok(epoch)) if epoch > self.epoch => return Ok(Err(Overtaken)),
                Some(_) => self.remove(&entry.path())?,
                None => {}
            }
        }
        Ok(Ok(()))
    }

    fn claim(&self) -> Result<Result<(), Overtaken>, Error> {
        if self.fence()?.is_err() {
            return Ok(Err(Overtaken));
        }
        let draft = self.draft(self.epoch);
        std::fs::create_dir(&draft).map_err(fail(&draft))?;
        Ok(Ok(()))
    }

    fn step_back(&self) {
        // What cannot be removed now is swept when the delivery is tidied up.
        let _ = self.remove(&self.draft(self.epoch));
    }

    fn publish(&self, files: &[(&str, &str)]) -> Result<Result<(), Overtaken>, Error> {
        let result = self.write(files);
        match result {
            Err(_) if self.draft(self.epoch).symlink_metadata().is_err() => Ok(Err(Overtaken)),
            Err(error) => {
                self.step_back();
                Err(error)
            }
            Ok(()) => {
                reach("proof.renamed");
                self.flush()?;
                Ok(Ok(()))
            }
        }
    }

    fn take_away(&self) -> Result<(), Error> {
        self.remove(&self.folder)
    }
}
