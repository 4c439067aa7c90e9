//! Folders that survive a power cut.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

/// Makes a folder and what is missing above it, and flushes the names of all of
/// them to the device: also of those that are there already, since whoever made
/// them may have been killed before he could.
///
/// # Errors
/// What the system said.
pub fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    DirBuilder::new().recursive(true).mode(mode).create(&path)?;
    let device = path.metadata()?.dev();
    for above in path.ancestors().skip(1) {
        let dir = match File::open(above) {
            // Where we may not write, nobody like us made a folder.
            Err(_) if rustix::fs::access(above, Access::WRITE_OK).is_err() => break,
            dir => dir?,
        };
        if dir.metadata()?.dev() != device {
            break;
        }
        flush_dir(&dir)?;
    }
    Ok(())
}

/// Flushes the names in a folder.
///
/// # Errors
/// What the system said.
pub fn flush_dir(dir: &File) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        // Some file systems know no such thing.
        Err(Errno::INVAL) => Ok(()),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("film/plates");
        for _ in 0..2 {
            make_dirs(&path, 0o700).unwrap();
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("file"), "").unwrap();
        let error = make_dirs(&path.join("file/below"), 0o700).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
