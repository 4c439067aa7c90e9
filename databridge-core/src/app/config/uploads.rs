//! How much may be put into transfers.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domains::transfer::Limits;

const DAY: u64 = 24 * 3600;

/// Quotas, and how long an unfinished upload waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadsConfig {
    /// Seconds that an upload in pieces waits for its next one, 1 to 604,800.
    pub keep_seconds: u64,
    /// Bytes that a user's transfers may have in staging together, until they are
    /// delivered or cancelled.
    pub user_bytes: Option<u64>,
    /// Bytes that one transfer's files may come to.
    pub transfer_bytes: Option<u64>,
    /// Folders of this host below which whoever may upload may also add files by their
    /// path, as the daemon's user can read them; none where none is named.
    pub add_roots: Vec<PathBuf>,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            keep_seconds: 2 * DAY,
            user_bytes: None,
            transfer_bytes: None,
            add_roots: Vec::new(),
        }
    }
}

impl UploadsConfig {
    /// Whether all of it can work beside these folders of the service's own; else which
    /// setting, and why not.
    pub(super) fn check(&self, own: &[PathBuf]) -> Result<(), (&'static str, &'static str)> {
        // After seven days nobody comes back.
        if !(1..=7 * DAY).contains(&self.keep_seconds) {
            return Err(("uploads.keep_seconds", "1 to 604800"));
        }
        if !self.add_roots.iter().all(|root| is_plain(root)) {
            return Err(("uploads.add_roots", "absolute folders, without `.` and `..`"));
        }
        // From there the service's own keys, and what is on its way, could be added.
        let overlaps =
            |root: &PathBuf| own.iter().any(|own| own.starts_with(root) || root.starts_with(own));
        if self.add_roots.iter().any(overlaps) {
            return Err((
                "uploads.add_roots",
                "data, staging, production and these folders must not be inside each other",
            ));
        }
        Ok(())
    }

    pub(super) fn limits(&self, max_bytes: u64) -> Limits {
        Limits {
            keep: Duration::from_secs(self.keep_seconds),
            max_bytes,
            user_bytes: self.user_bytes,
            transfer_bytes: self.transfer_bytes,
            roots: self.add_roots.clone(),
        }
    }
}

fn is_plain(root: &Path) -> bool {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    root.is_absolute() && root.components().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_service_s_own_is_no_root() {
        let own = ["/srv/db/data".into(), "/srv/db/staging".into()];
        let check = |root: &str| {
            let config = UploadsConfig { add_roots: vec![root.into()], ..UploadsConfig::default() };
            config.check(&own).is_ok()
        };
        for fine in ["/mnt/renders", "/srv/db/plates", "/srv/db/data2"] {
            assert!(check(fine), "{fine}");
        }
        for wrong in ["/", "/srv", "/srv/db/data", "/srv/db/data/keys", "renders", "/mnt/../srv/x"]
        {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
