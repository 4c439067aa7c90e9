//! Where a transfer's files are.
//!
//! ```text
//! staging/.uploads/                 bytes as they stream in
//! staging/TRF-00042/incoming-r1/    uploads of revision 1, by blob name
//! staging/TRF-00042/frozen-r1/      the tree everything after submit reads, 0700
//! staging/.housekeeping/            what is being deleted
//! staging/.quarantine/TRF-00042/r1/ what was found infected, mode 000, evidence beside it
//! production/PROJECT/CATEGORY/TRF-00042/        the payload, untouched
//! production/PROJECT/CATEGORY/TRF-00042.proof/  checksums, receipt, report
//! production/PROJECT/CATEGORY/.recalled/        what was taken out again
//! ```
//!
//! What is between production's root and a payload is the [layout](super::Layout)'s.

use std::path::PathBuf;

use crate::media::storage::Location;

/// What is being deleted, below staging.
pub(super) const ASIDE: &str = ".housekeeping";

/// The two roots, and the names below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Staging's root.
    pub staging: PathBuf,
    /// Production's root: a folder, or a prefix in an object store.
    pub production: Location,
}

impl Places {
    /// Where bytes stream in.
    pub fn uploads(&self) -> PathBuf {
        self.staging.join(".uploads")
    }
    /// Where what is to be deleted is moved out of everybody's reach.
    pub fn aside(&self) -> PathBuf {
        self.staging.join(ASIDE)
    }
    /// Everything of a transfer in staging.
    pub fn staging_of(&self, code: &str) -> PathBuf {
        self.staging.join(code)
    }
    /// The uploads of a revision.
    pub fn incoming(&self, code: &str, revision: i64) -> PathBuf {
        self.staging_of(code).join(format!("incoming-r{revision}"))
    }
    /// The frozen tree of a revision.
    pub fn frozen(&self, code: &str, revision: i64) -> PathBuf {
        self.staging_of(code).join(format!("frozen-r{revision}"))
    }
    /// What was taken out of a revision.
    pub fn quarantine(&self, code: &str, revision: i64) -> PathBuf {
        self.staging.join(".quarantine").join(code).join(format!("r{revision}"))
    }
    /// The payload in production, by the transfer's own path; its proof is beside it.
    pub fn payload(&self, path: &str) -> Location {
        self.production.join(path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn payloads_stand_below_production_wherever_that_is() {
        for (root, payload) in [
            ("/p", "/p/film/plates/TRF-00042"),
            ("s3://studio/p", "s3://studio/p/film/plates/TRF-00042"),
        ] {
            let places =
                Places { staging: "/s".into(), production: Location::parse(root).unwrap() };
            assert_eq!(places.payload("film/plates/TRF-00042").to_string(), payload);
        }
    }
}
