//! Uploads that nobody came back for.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::ctx::{Authority, Ctx};
use crate::control::identity::{MATRIX, Permission};

/// An upload that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Collected {
    /// Its name.
    pub id: Uuid,
    /// The transfer it was for.
    pub code: String,
    /// Where the file would have been.
    pub path: String,
    /// Who began it.
    pub username: String,
    /// What had come of it, in bytes.
    pub kept_bytes: u64,
    /// When its time was over.
    pub expired_at: Timestamp,
}

impl Service {
    /// Removes unfinished uploads whose time is over, with their bytes, and forgets
    /// finished ones; answers the unfinished. A dry run only answers.
    ///
    /// # Errors
    /// Not permitted; of the store.
    pub async fn collect_uploads(
        &self,
        ctx: &Ctx,
        dry_run: bool,
    ) -> Result<Vec<Collected>, AnyError> {
        if ctx.actor.authority != Authority::System {
            ctx.require(MATRIX, Permission::ManageJobs, None)?;
        }
        let mut unit = self.store.begin(ctx).await?;
        let now = unit.now();
        let expired = sql::expired_uploads(unit.tx(), ctx.org, now).await?;
        let mut collected = Vec::new();
        for upload in expired {
            // Somebody may have come back since.
            let gone = dry_run || sql::delete_expired(unit.tx(), upload.id, now).await? > 0;
            if gone && !upload.done {
                collected.push(Collected {
                    id: upload.id,
                    code: upload.code,
                    path: upload.path.to_string(),
                    username: upload.username,
                    kept_bytes: upload.kept_bytes,
                    expired_at: upload.expires_at,
                });
            }
        }
        let collected = unit.commit(collected).await?;
        if !dry_run {
            let ids: Vec<Uuid> = collected.iter().map(|upload| upload.id).collect();
            self.forget_blobs(&ids);
        }
        Ok(collected)
    }
}
