//! What of production is shaped, named and kept free.

use serde::{Deserialize, Serialize};

use crate::domains::transfer::Reserve;

/// What is to stay free, `[space]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpaceConfig {
    /// Bytes of production.
    pub production_reserve_bytes: u64,
    /// Bytes of staging.
    pub staging_reserve_bytes: u64,
}

impl SpaceConfig {
    pub(super) fn reserve(self, sees_production: bool) -> Reserve {
        Reserve {
            production_bytes: self.production_reserve_bytes,
            staging_bytes: self.staging_reserve_bytes,
            sees_production,
        }
    }
}
