//! API keys for scripts and services: shown once, kept as a hash.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, KeyView, MATRIX, Permission, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::Store;
use crate::control::ctx::Ctx;
use crate::control::ledger::Subject;
use crate::media::checksum::Sha256;

/// How a key begins, so that scanners for leaked secrets know it.
pub(super) const PREFIX: &str = "dbk_";

/// A key as it is told once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewKey {
    /// What to call it.
    pub name: String,
    /// The secret. It is not kept.
    pub secret: String,
    /// Until when it holds.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is kept of a secret. It has 256 random bits, so a plain hash is enough.
pub(super) fn digest(secret: &str) -> Vec<u8> {
    Sha256::of(secret.as_bytes()).0.to_vec()
}

async fn owner(
    store: &Store,
    ctx: &Ctx,
    username: Option<&str>,
) -> Result<sql::UserView, AnyError> {
    let name = username.unwrap_or(&ctx.actor.username);
    if name != ctx.actor.username {
        ctx.require(MATRIX, Permission::ManageUsers, None)?;
    }
    let mut tx = store.db().read().await?;
    let user = sql::user_by_name(&mut tx, ctx.org, name).await?;
    Ok(user.ok_or_else(|| Error::NoUser(name.to_owned()))?)
}

/// Makes a key for oneself, or for another where one manages users.
///
/// # Errors
/// [`Error::NoUser`], or not permitted.
pub async fn create_key(
    store: &Store,
    ctx: &Ctx,
    name: &str,
    username: Option<&str>,
    expires_at: Option<Timestamp>,
) -> Result<NewKey, AnyError> {
    let user = owner(store, ctx, username).await?;
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto("randomness"))?;
    let secret = format!("{PREFIX}{}", hex::encode(bytes));
    // The secret is told once, so it must not be kept as a replayable answer.
    let mut once = ctx.clone();
    once.idempotency = None;
    let mut unit = store.begin(&once).await?;
    let now = unit.now();
    sql::insert_key(unit.tx(), user.id, name, &digest(&secret), expires_at, now).await?;
    let subject = Subject { kind: "user".into(), id: user.id.0, code: user.username };
    unit.record(&subject, "user.key_created", json!({ "name": name, "expires_at": expires_at }));
    unit.commit(NewKey { name: name.to_owned(), secret, expires_at }).await
}

/// The keys of oneself or of another.
///
/// # Errors
/// [`Error::NoUser`], or not permitted.
pub async fn list_keys(
    store: &Store,
    ctx: &Ctx,
    username: Option<&str>,
) -> Result<Vec<KeyView>, AnyError> {
    let user = owner(store, ctx, username).await?;
    let mut tx = store.db().read().await?;
    Ok(sql::keys(&mut tx, user.id).await?)
}

/// Ends a key at once.
///
/// # Errors
/// [`Error::NoKey`], or not permitted.
pub async fn revoke_key(
    store: &Store,
    ctx: &Ctx,
    name: &str,
    username: Option<&str>,
) -> Result<(), AnyError> {
    let user = owner(store, ctx, username).await?;
    let mut unit = store.begin(ctx).await?;
    let now = unit.now();
    if sql::revoke_key(unit.tx(), user.id, name, now).await? == 0 {
        return Err(Error::NoKey(name.to_owned()).into());
    }
    let subject = Subject { kind: "user".into(), id: user.id.0, code: user.username };
    unit.record(&subject, "user.key_revoked", json!({ "name": name }));
    unit.commit(()).await
}
