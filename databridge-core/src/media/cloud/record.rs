//! The manifest object.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::media::checksum::Sha256;
use crate::media::copy::Attempt;
use crate::media::manifest::{Entry, Manifest};
use crate::media::storage::RelPath;

/// What a manifest object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `databridge-delivery-v1`.
    pub format: String,
    /// The delivery's attempt.
    pub attempt: Uuid,
    /// The epoch that wrote this.
    pub epoch: u64,
    /// The manifest digest.
    pub manifest_sha256: Sha256,
    /// When the last file had been read back.
    pub verified_at: Timestamp,
    /// Every file.
    pub files: Vec<RecordedFile>,
    /// Every folder without files; there is no object for it.
    pub empty_folders: Vec<RelPath>,
}

/// A file of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Relative to the payload's prefix.
    pub path: RelPath,
    /// Length.
    pub size_bytes: u64,
    /// Digest of what was read back.
    pub sha256: Sha256,
    /// The object's ETag when it was read back.
    pub etag: Option<String>,
}

impl Record {
    /// The only format so far.
    pub const FORMAT: &'static str = "databridge-delivery-v1";

    /// Of a delivery whose objects were read back with these ETags.
    pub(super) fn of(
        manifest: &Manifest,
        attempt: Attempt,
        verified_at: Timestamp,
        etag: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let (mut files, mut empty_folders) = (Vec::new(), Vec::new());
        for entry in manifest.entries() {
            match entry {
                Entry::EmptyDir { path } => empty_folders.push(path.clone()),
                Entry::File { path, size_bytes, sha256 } => files.push(RecordedFile {
                    path: path.clone(),
                    size_bytes: *size_bytes,
                    sha256: *sha256,
                    etag: etag(path.as_str()),
                }),
            }
        }
        Self {
            format: Self::FORMAT.into(),
            attempt: attempt.id,
            epoch: attempt.epoch,
            manifest_sha256: manifest.digest(),
            verified_at,
            files,
            empty_folders,
        }
    }

    /// The manifest that it tells of; `None` if it contradicts itself.
    pub fn manifest(&self) -> Option<Manifest> {
        let files = self.files.iter().map(|file| Entry::File {
            path: file.path.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256,
        });
        let dirs = self.empty_folders.iter().map(|path| Entry::EmptyDir { path: path.clone() });
        let manifest = Manifest::from_entries(files.chain(dirs).collect()).ok()?;
        (self.format == Self::FORMAT && manifest.digest() == self.manifest_sha256)
            .then_some(manifest)
    }
}
