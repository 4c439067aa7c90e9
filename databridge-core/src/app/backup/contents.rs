//! What a backup consists of.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::base::clock::Timestamp;
use crate::media::checksum::{self, Sha256};
use crate::media::storage::make_dirs;

/// What this program writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 1;
const NAME: &str = "backup.json";
const CHUNK: usize = 1 << 20;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the backup.
    pub path: String,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// What a backup says of itself. Fields of a later format are no error here: the format
/// says so first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The layout's version.
    pub format: u64,
    /// Everything that was told before is in it.
    pub taken_at: Timestamp,
    /// Which version took it.
    pub databridge: String,
    /// Which host took it.
    pub host: String,
    /// `database.sqlite` or `database.pgdump`.
    pub database: String,
    /// The steps that its database was brought through.
    pub steps: Vec<i64>,
    /// Whether the secret keys are in it.
    pub keys: bool,
    /// Every file but this one.
    pub parts: Vec<Part>,
}

impl Contents {
    /// What a folder says that it is.
    ///
    /// # Errors
    /// [`Error::NotABackup`], [`Error::Newer`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let no = |why: String| Error::NotABackup { path: folder.display().to_string(), why };
        let text = std::fs::read(folder.join(NAME)).map_err(|e| no(format!("{NAME}: {e}")))?;
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let format: Format = serde_json::from_slice(&text).map_err(|e| no(e.to_string()))?;
        if format.format > FORMAT {
            return Err(Error::Newer(format!("its format is {}", format.format)));
        }
        serde_json::from_slice(&text).map_err(|e| no(e.to_string()))
    }

    /// Writes it, the last file of a backup, and flushes all; answers its digest.
    pub(super) fn write(&self, folder: &Path) -> Result<String, Error> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        let path = folder.join(NAME);
        let mut file = create(&path)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(|e| Error::io(&path, e))?;
        flush(folder)?;
        Ok(Sha256::of(&text).to_string())
    }
}

/// Reads a backup whole and holds it against what it says of itself.
///
/// # Errors
/// [`Error::NotABackup`], [`Error::Newer`], [`Error::Damaged`] with every file that is
/// not what it was.
pub fn look(folder: &Path) -> Result<Contents, Error> {
    let contents = Contents::read(folder)?;
    if let Some(step) = super::unknown(&contents.steps) {
        return Err(Error::Newer(format!("its database went through step {step}")));
    }
    let mut wrong = Vec::new();
    for part in &contents.parts {
        if !is_plain(&part.path) {
            wrong.push(format!("{:?} is no name", part.path));
            continue;
        }
        match open(folder, &part.path).and_then(|file| digest(file, std::io::sink())) {
            Err(error) => wrong.push(format!("{}: {error}", part.path)),
            Ok((size, _)) if size != part.size_bytes => {
                wrong.push(format!("{} has {size} bytes, not {}", part.path, part.size_bytes));
            }
            Ok((_, found)) if found != part.sha256 => {
                wrong.push(format!("{} has SHA-256 {found}, not {}", part.path, part.sha256));
            }
            Ok(_) => {}
        }
    }
    if !contents.parts.iter().any(|part| part.path == contents.database) {
        wrong.push("it has no database".into());
    }
    match wrong.is_empty() {
        true => Ok(contents),
        false => Err(Error::Damaged { path: folder.display().to_string(), wrong }),
    }
}

/// A backup is carried about: its names lead nowhere else.
fn is_plain(path: &str) -> bool {
    let fine = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    !path.is_empty() && Path::new(path).components().all(fine)
}

/// Whose backup it is: the name of the store's ledger, which no other store has.
pub(super) fn origin(folder: &Path) -> Option<String> {
    let mut text = String::new();
    let file = open(folder, "keys/ledger.origin").ok()?;
    file.take(1000).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Opens a file of a backup: by no link, and nothing that has no end.
fn open(folder: &Path, name: &str) -> std::io::Result<File> {
    let no = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, why.to_owned());
    let mut path = folder.to_owned();
    for part in Path::new(name).components() {
        path.push(part);
        if path.symlink_metadata()?.is_symlink() {
            return Err(no("it is a link"));
        }
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(&path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no("it is no file")),
    }
}

/// Reads to the end, and writes what was read.
fn digest(mut file: File, mut to: impl Write) -> std::io::Result<(u64, Sha256)> {
    let mut hasher = checksum::Hasher::new(&[]);
    let (mut buffer, mut size) = (vec![0; CHUNK], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hasher.finish().sha256())),
            count => {
                hasher.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
                size += count as u64;
            }
        }
    }
}

/// Copies a part of a backup, 0600 and durable; what is copied is what was listed.
pub(super) fn copy_part(folder: &Path, part: &Part, to: &Path) -> Result<(), Error> {
    if let Some(folder) = to.parent() {
        make_dirs(folder, 0o700).map_err(|e| Error::io(folder, e))?;
    }
    let source = open(folder, &part.path).map_err(|e| Error::io(&folder.join(&part.path), e))?;
    let file = create(to)?;
    let copied = digest(source, &file).and_then(|found| file.sync_all().map(|()| found));
    if copied.map_err(|e| Error::io(to, e))? == (part.size_bytes, part.sha256) {
        return Ok(());
    }
    let wrong = vec![format!("{} changed while it was put back", part.path)];
    Err(Error::Damaged { path: folder.display().to_string(), wrong })
}

fn create(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    let options = options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|e| Error::io(path, e))
}

/// Flushes a folder's names.
pub(super) fn flush(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| Error::io(folder, e))
}

/// Copies a file, 0600 and durable.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(folder) = to.parent() {
        make_dirs(folder, 0o700).map_err(|e| Error::io(folder, e))?;
    }
    let mut source = File::open(from).map_err(|e| Error::io(from, e))?;
    let mut file = create(to)?;
    std::io::copy(&mut source, &mut file)
        .and_then(|_| file.sync_all())
        .map_err(|e| Error::io(to, e))
}

/// Fills a backup's folder.
pub(super) struct Writer {
    folder: PathBuf,
    parts: Vec<Part>,
}

impl Writer {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), parts: Vec::new() }
    }

    /// Takes a file in.
    pub fn copy(&mut self, from: &Path, name: &str) -> Result<(), Error> {
        copy(from, &self.folder.join(name))?;
        self.add(name)
    }

    /// A file for somebody else to fill.
    pub fn empty(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        create(&path)?;
        Ok(path)
    }

    /// Lists a file that stands there, and flushes it.
    pub fn add(&mut self, name: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        let io = |e| Error::io(&path, e);
        File::open(&path).and_then(|file| file.sync_all()).map_err(io)?;
        let file = File::open(&path).map_err(io)?;
        let (size_bytes, sha256) = digest(file, std::io::sink()).map_err(io)?;
        flush(path.parent().unwrap_or(&self.folder))?;
        self.parts.push(Part { path: name.to_owned(), size_bytes, sha256 });
        Ok(())
    }

    pub fn done(self) -> Vec<Part> {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_backup_stay_in_it() {
        for fine in ["database.sqlite", "keys/token.key"] {
            assert!(is_plain(fine), "{fine}");
        }
        for wrong in ["", "/etc/passwd", "../keys", "keys/../../x", "./x"] {
            assert!(!is_plain(wrong), "{wrong}");
        }
    }
}
