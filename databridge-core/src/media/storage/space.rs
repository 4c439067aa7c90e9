//! Room on a file system.

use std::io;
use std::path::Path;

/// What a file system has, as an ordinary user may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes in all.
    pub size_bytes: u64,
    /// Whether a copy within it takes its bytes again, for sure: here no two files share
    /// blocks.
    pub copies_take_room: bool,
}

/// `f_type` of ext2 to ext4 and of tmpfs (statfs(2)), which know no shared blocks.
const WITHOUT_CLONES: [u64; 2] = [0xef53, 0x0102_1994];

impl Space {
    /// Of the file system that has `path`, which must stand.
    ///
    /// # Errors
    /// What the system said.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let kind = rustix::fs::statfs(path)?.f_type;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            size_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            copies_take_room: u64::try_from(kind).is_ok_and(|kind| WITHOUT_CLONES.contains(&kind)),
        })
    }

    /// Of the file system that `path` would be on: of the nearest folder above that
    /// stands, but none outside of `root`.
    ///
    /// # Errors
    /// What the system said of `root`.
    pub fn nearest(root: &Path, path: &Path) -> io::Result<Self> {
        let mut inside = path.ancestors().take_while(|above| above.starts_with(root));
        let standing = inside.find(|above| above.symlink_metadata().is_ok());
        Self::of(standing.unwrap_or(root))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_nearest_folder_that_stands_is_asked_and_none_outside() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("film/plates/TRF-1");
        let here = Space::nearest(root.path(), &deep).unwrap();
        assert_eq!(here.size_bytes, Space::of(root.path()).unwrap().size_bytes);
        assert!(here.free_bytes <= here.size_bytes);
        let gone = root.path().join("not mounted");
        assert!(Space::nearest(&gone, &gone.join("film")).is_err());
    }
}
