//! Which keys a delivery to an object store uses.
//!
//! For `s3://studio/film/plates/TRF-00042`:
//!
//! | key | what |
//! |---|---|
//! | `film/plates/TRF-00042/…` | the payload, object by file |
//! | `film/plates/TRF-00042.manifest.json` | the manifest object: with it, and not before, there is a delivery |
//! | `film/plates/TRF-00042.proof/…` | the proof; it stands once `receipt.json` does |
//! | `film/plates/.TRF-00042.databridge-claim` | who works on it |
//! | `film/plates/.TRF-00042.databridge-uploads/X` | a note on an upload in parts that is under way |

use crate::media::storage::ObjectLocation;

/// The keys of one delivery.
#[derive(Debug, Clone)]
pub struct Names {
    at: ObjectLocation,
}

impl Names {
    pub fn of(at: &ObjectLocation) -> Self {
        Self { at: at.clone() }
    }
    /// The payload's prefix, without its last slash.
    pub fn payload(&self) -> &str {
        self.at.key()
    }
    pub fn entry(&self, path: &str) -> String {
        self.at.below(path)
    }
    /// The entry's path, of a key below the payload's prefix.
    pub fn path<'a>(&self, key: &'a str) -> Option<&'a str> {
        match self.at.key() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }
    pub fn manifest(&self) -> String {
        self.at.beside(&format!("{}.manifest.json", self.at.name()))
    }
    pub fn proof(&self) -> String {
        self.at.beside(&format!("{}.proof", self.at.name()))
    }
    pub fn claim(&self) -> String {
        self.at.beside(&format!(".{}.databridge-claim", self.at.name()))
    }
    /// The folder of the notes on uploads in parts.
    pub fn uploads(&self) -> String {
        self.at.beside(&format!(".{}.databridge-uploads", self.at.name()))
    }
}
