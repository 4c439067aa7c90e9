//! Where a transfer's files are.
//!
//! ```text
//! staging/.uploads/                 bytes as they stream in
//! staging/TRF-00042/incoming-r1/    uploads of revision 1, by blob name
//! staging/TRF-00042/frozen-r1/      the tree everything after submit reads, 0700
//! staging/.quarantine/TRF-00042/r1/ what was found infected, mode 000, evidence beside it
//! production/PROJECT/CATEGORY/TRF-00042/        the payload, untouched
//! production/PROJECT/CATEGORY/TRF-00042.proof/  checksums, receipt, report
//! ```

use std::path::{Path, PathBuf};

/// The two roots, and the names below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Staging's root.
    pub staging: PathBuf,
    /// Production's root.
    pub production: PathBuf,
}

impl Places {
    /// Where bytes stream in.
    pub fn uploads(&self) -> PathBuf {
        self.staging.join(".uploads")
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
    /// The payload in production.
    pub fn payload(&self, project: &str, category: &str, code: &str) -> PathBuf {
        self.production.join(project).join(category).join(code)
    }
    /// The proof beside a payload.
    pub fn proof(payload: &Path) -> PathBuf {
        let mut name = payload.file_name().unwrap_or_default().to_owned();
        name.push(".proof");
        payload.with_file_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_stands_beside_the_payload() {
        let places = Places { staging: "/s".into(), production: "/p".into() };
        let payload = places.payload("film", "plates", "TRF-00042");
        assert_eq!(payload, Path::new("/p/film/plates/TRF-00042"));
        assert_eq!(Places::proof(&payload), Path::new("/p/film/plates/TRF-00042.proof"));
    }
}
