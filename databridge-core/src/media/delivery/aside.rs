//! Where a delivery is kept that was taken out of production again.
//!
//! For the payload `film/plates/TRF-00042` of transfer `TRF-00042`:
//!
//! | name | what |
//! |---|---|
//! | `film/plates/.recalled/TRF-00042/` | a folder that only the service may enter |
//! | `….recalled/TRF-00042/TRF-00042/` | the payload |
//! | `….recalled/TRF-00042/TRF-00042.proof/` | its proof |
//! | `….recalled/TRF-00042/TRF-00042.recall.json` | the signed statement of the recall |
//!
//! It is a folder beside the payload, so each is moved by one rename in one file system,
//! and nothing is ever replaced there. That is also the fence: a worker that was
//! overtaken and comes back finds the name taken to which it would move whatever stands
//! at the path by now.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::proof::{fail, gone, rename_new};
use crate::base::steps::reach;
use crate::media::copy::Error;
use crate::media::storage::{Location, make_dirs};

/// The folder beside payloads.
const AREA: &str = ".recalled";

/// The place that one delivery is moved to.
#[derive(Debug, Clone)]
pub struct Aside {
    payload: PathBuf,
    proof: PathBuf,
    place: PathBuf,
    name: String,
}

/// What is there by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The payload.
    pub payload: bool,
    /// Its proof.
    pub proof: bool,
}

impl Aside {
    /// For the payload of the transfer of that code.
    pub fn of(payload: &Path, code: &str) -> Self {
        let name = payload.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            proof: payload.with_file_name(format!("{name}.proof")),
            place: payload.with_file_name(AREA).join(code),
            payload: payload.to_owned(),
            name,
        }
    }

    /// The folder, for people.
    pub fn place(&self) -> String {
        self.place.display().to_string()
    }

    /// The folder as a URL.
    pub fn url(&self) -> String {
        Location::Path(self.place.clone()).url()
    }

    /// Moves the payload, and then its proof. What is not there is not moved; what an
    /// earlier life moved is there. Nothing is replaced.
    ///
    /// # Errors
    /// What the system said, also where the folder that the payload stood in is gone:
    /// then production is not mounted.
    pub fn take(&self) -> Result<Moved, Error> {
        let parent = self.payload.parent().unwrap_or(Path::new("/"));
        parent.metadata().map_err(fail(parent))?;
        make_dirs(&self.place, 0o700).map_err(fail(&self.place))?;
        reach("recall.announced");
        let payload = self.take_one(&self.payload, &self.name)?;
        reach("recall.payload_moved");
        let proof = self.take_one(&self.proof, &format!("{}.proof", self.name))?;
        reach("recall.proof_moved");
        Ok(Moved { payload, proof })
    }

    fn take_one(&self, from: &Path, name: &str) -> Result<bool, Error> {
        let to = self.place.join(name);
        if !stands(&to)? {
            let Some(mode) = mode(from)? else { return Ok(false) };
            // A folder that its owner may not write to cannot get another parent.
            let unlock = |path: &Path, mode| {
                let _ = std::fs::set_permissions(path, Permissions::from_mode(mode));
            };
            if mode & 0o200 == 0 {
                unlock(from, mode | 0o200);
            }
            let moved = rename_new(from, &to);
            if mode & 0o200 == 0 {
                unlock(if moved.is_ok() { &to } else { from }, mode);
            }
            moved?;
        }
        // Also of what an earlier life moved, which may not have come so far.
        for folder in [Some(self.place.as_path()), from.parent()].into_iter().flatten() {
            flush(folder)?;
        }
        Ok(true)
    }

    /// Whether an earlier life moved the payload.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_payload(&self) -> Result<bool, Error> {
        stands(&self.place.join(&self.name))
    }

    fn statement_path(&self) -> PathBuf {
        self.place.join(format!("{}.recall.json", self.name))
    }

    /// The statement, if it stands.
    ///
    /// # Errors
    /// What the system said.
    pub fn statement(&self) -> Result<Option<String>, Error> {
        let path = self.statement_path();
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(fail(&path)),
        }
    }

    /// Puts the statement there: whole, durably, replacing nothing.
    ///
    /// # Errors
    /// [`Error::DestinationExists`], or what the system said.
    pub fn put_statement(&self, text: &str) -> Result<(), Error> {
        let path = self.statement_path();
        let drafts = format!(".{}.recall.json.", self.name);
        for entry in std::fs::read_dir(&self.place).map_err(fail(&self.place))? {
            let entry = entry.map_err(fail(&self.place))?;
            if entry.file_name().to_string_lossy().starts_with(&drafts) {
                gone(std::fs::remove_file(entry.path())).map_err(fail(&entry.path()))?;
            }
        }
        let draft = self.place.join(format!("{drafts}{}", Uuid::new_v4().simple()));
        let write = || {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(fail(&draft))?;
        rename_new(&draft, &path).inspect_err(|_| {
            let _ = std::fs::remove_file(&draft);
        })?;
        flush(&self.place)
    }
}

fn stands(path: &Path) -> Result<bool, Error> {
    Ok(mode(path)?.is_some())
}

/// The permissions of what stands there, not following a link.
fn mode(path: &Path) -> Result<Option<u32>, Error> {
    match path.symlink_metadata() {
        // Of a link nothing is changed.
        Ok(meta) if meta.is_symlink() => Ok(Some(0o777)),
        Ok(meta) => Ok(Some(meta.permissions().mode() & 0o7777)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(path)(error)),
    }
}

fn flush(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(fail(folder))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::base::error::Fault;

    struct Lab {
        dir: tempfile::TempDir,
        aside: Aside,
    }

    fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let payload = dir.path().join("film/sh010");
        std::fs::create_dir_all(payload.join("sub")).unwrap();
        std::fs::write(payload.join("sub/a.exr"), "a").unwrap();
        std::fs::create_dir(dir.path().join("film/sh010.proof")).unwrap();
        std::fs::write(dir.path().join("film/sh010.proof/receipt.json"), "{}").unwrap();
        let aside = Aside::of(&payload, "TRF-00042");
        Lab { dir, aside }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn payload_and_proof_are_kept_whole_and_only_for_the_service() {
        let lab = lab();
        let film = lab.dir.path().join("film");
        std::fs::set_permissions(film.join("sh010"), Permissions::from_mode(0o555)).unwrap();
        let all = Moved { payload: true, proof: true };
        assert_eq!(lab.aside.take().unwrap(), all);
        assert_eq!(names(&film), [".recalled"]);
        let place = film.join(".recalled/TRF-00042");
        assert_eq!(lab.aside.place(), place.display().to_string());
        assert_eq!(names(&place), ["sh010", "sh010.proof"]);
        assert_eq!(std::fs::read(place.join("sh010/sub/a.exr")).unwrap(), b"a");
        assert_eq!(mode(&place.join("sh010")).unwrap(), Some(0o555));
        for folder in [film.join(".recalled"), place.clone()] {
            assert_eq!(mode(&folder).unwrap(), Some(0o700));
        }
        // What comes to the path later is not touched, however late a worker is.
        std::fs::create_dir(film.join("sh010")).unwrap();
        assert_eq!(lab.aside.take().unwrap(), all);
        assert_eq!(names(&film), [".recalled", "sh010"]);
        std::fs::set_permissions(place.join("sh010"), Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_moved() {
        let lab = lab();
        let film = lab.dir.path().join("film");
        std::fs::remove_dir_all(film.join("sh010")).unwrap();
        assert_eq!(lab.aside.take().unwrap(), Moved { payload: false, proof: true });
        std::fs::remove_dir_all(&film).unwrap();
        let error = lab.aside.take().unwrap_err();
        assert_eq!(error.code(), "copy.io", "{error}");
        assert!(!film.exists(), "nothing is made where production is not");
    }

    #[test]
    fn a_statement_is_put_there_once() {
        let lab = lab();
        lab.aside.take().unwrap();
        assert_eq!(lab.aside.statement().unwrap(), None);
        let place = lab.dir.path().join("film/.recalled/TRF-00042");
        std::fs::write(place.join(".sh010.recall.json.dead"), "half").unwrap();
        lab.aside.put_statement("one").unwrap();
        assert_eq!(lab.aside.statement().unwrap().as_deref(), Some("one"));
        let error = lab.aside.put_statement("two").unwrap_err();
        assert_eq!(error.code(), "copy.destination_exists");
        assert_eq!(lab.aside.statement().unwrap().as_deref(), Some("one"));
        assert_eq!(names(&place), ["sh010", "sh010.proof", "sh010.recall.json"]);
    }
}
