//! Path safety, here and only here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A path inside a delivery: relative, `/`-separated UTF-8, normalised, without
/// `..`, NUL or control characters, within length limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelPath(String);

impl RelPath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
