//! Who asked for work that is done later, in their name and by the roles that they have
//! by then.

use serde::{Deserialize, Serialize};

use super::{Error, sessions, user_by_name};
use crate::base::error::Error as AnyError;
use crate::base::id::UserId;
use crate::control::commands::Store;
use crate::control::ctx::{Authority, Ctx};

/// Somebody, as a job remembers them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asker {
    id: UserId,
    username: String,
    on_behalf_of: Option<String>,
    authority: Authority,
}

impl Asker {
    /// Who acts in `ctx`.
    pub fn of(ctx: &Ctx) -> Self {
        let actor = &ctx.actor;
        Self {
            id: actor.user_id,
            username: actor.username.clone(),
            on_behalf_of: actor.on_behalf_of.clone(),
            authority: actor.authority,
        }
    }

    /// Their name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// A context in their name, in the organisation of `of`.
    ///
    /// # Errors
    /// [`Error::NoUser`], [`Error::Inactive`]: who is let in no longer asks for nothing.
    pub async fn ctx(&self, store: &Store, of: &Ctx) -> Result<Ctx, AnyError> {
        let name = self.on_behalf_of.as_ref().unwrap_or(&self.username);
        let mut tx = store.db().read().await?;
        let user = user_by_name(&mut tx, of.org, name).await?;
        let user = user.ok_or_else(|| Error::NoUser(name.clone()))?;
        if !user.active {
            return Err(Error::Inactive(name.clone()).into());
        }
        let mut ctx = sessions::context(of.org, self.id, &self.username, user.grants);
        ctx.actor.on_behalf_of.clone_from(&self.on_behalf_of);
        ctx.actor.authority = self.authority;
        Ok(ctx)
    }
}
