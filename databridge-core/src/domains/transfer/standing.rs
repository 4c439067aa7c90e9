//! As much of a transfer as it takes to know who may see it, and how many there are.

use uuid::Uuid;

use super::service::visible;
use super::state::{MATRIX, Permission};
use super::{Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Ctx;
use crate::control::db::Tx;

/// Whose a transfer is, and where.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its id.
    pub id: Uuid,
    owner_id: UserId,
    project: String,
}

impl Standing {
    /// Whether `ctx` may see it.
    pub fn is_visible(&self, ctx: &Ctx) -> bool {
        self.owner_id == ctx.actor.user_id
            || ctx.may(MATRIX, Permission::ViewAll, Some(&self.project))
    }
}

impl Service {
    /// Of the transfer of that code, if the caller may see it.
    ///
    /// # Errors
    /// [`super::Error::NotFound`].
    pub async fn standing(&self, ctx: &Ctx, code: &str) -> Result<Standing, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        Ok(Standing { id: t.id, owner_id: t.owner_id, project: t.project })
    }

    /// Of any transfer.
    ///
    /// # Errors
    /// Of the store.
    pub async fn standing_of(&self, org: OrgId, id: Uuid) -> Result<Option<Standing>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let found = sql::by_id(&mut tx, org, id).await?;
        Ok(found.map(|t| Standing { id: t.id, owner_id: t.owner_id, project: t.project }))
    }

    /// Transfers by state, those at their end aside, and since when the oldest review
    /// has waited.
    ///
    /// # Errors
    /// Of the store.
    pub async fn measure(
        &self,
        tx: &mut Tx,
        org: OrgId,
    ) -> Result<(Vec<(String, i64)>, Option<Timestamp>), AnyError> {
        Ok(sql::count_by_state(tx, org).await?)
    }
}
