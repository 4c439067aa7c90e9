//! API keys for scripts and services: shown once, kept as a hash.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, KeyView, MATRIX, Permission, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::Store;
use crate::control::ctx::{Ctx, Scope};
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
    /// What it is limited to.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
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

/// A secret of 256 random bits.
pub(super) fn secret(prefix: &str) -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto("randomness"))?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}

/// What to make a key with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What to call it.
    pub name: String,
    /// For somebody else.
    #[serde(default)]
    pub username: Option<String>,
    /// Until when it holds.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What it reaches: `transfers`, `lots:read`, `*:read`; without it all that its user
    /// may.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
}

/// A key made by a key reaches no further; scopes name parts that there are.
fn check_scopes(ctx: &Ctx, scopes: Option<&[Scope]>, parts: &[&str]) -> Result<(), AnyError> {
    let every = [Scope { part: "*".into(), read_only: false }];
    for scope in scopes.unwrap_or(&every) {
        if scope.part != "*" && !parts.contains(&scope.part.as_str()) {
            let reason = format!("the parts are {}", parts.join(", "));
            let value = scope.to_string();
            return Err(Error::BadField { field: "scopes", value, reason }.into());
        }
        let within = |has: &Vec<Scope>| has.iter().any(|has| has.covers(scope));
        if ctx.actor.scopes.as_ref().is_some_and(|has| !within(has)) {
            ctx.within_scope(&scope.part, !scope.read_only)?;
        }
    }
    Ok(())
}

/// Makes a key for oneself, or for another where one manages users. `parts` are those
/// of the interface.
///
/// # Errors
/// [`Error::NoUser`], [`Error::BadField`], or not permitted.
pub async fn create_key(
    store: &Store,
    ctx: &Ctx,
    parts: &[&str],
    wish: KeyRequest,
) -> Result<NewKey, AnyError> {
    check_scopes(ctx, wish.scopes.as_deref(), parts)?;
    check_name("name", &wish.name)?;
    let user = owner(store, ctx, wish.username.as_deref()).await?;
    if !user.active {
        // It would be dead, and seem to be none.
        return Err(Error::Inactive(user.username).into());
    }
    let secret = secret(PREFIX)?;
    // The secret is told once, so it must not be kept as a replayable answer.
    let mut once = ctx.clone();
    once.idempotency = None;
    let mut unit = store.begin(&once).await?;
    let KeyRequest { name, expires_at, scopes, .. } = wish;
    let view = KeyView {
        name: name.clone(),
        scopes: scopes.clone(),
        created_at: unit.now(),
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    sql::insert_key(unit.tx(), user.id, &view, &digest(&secret)).await?;
    let subject = Subject { kind: "user".into(), id: user.id.0, code: user.username };
    unit.record(
        &subject,
        "user.key_created",
        json!({ "name": name, "expires_at": expires_at, "scopes": scopes }),
    );
    unit.commit(NewKey { name, secret, scopes, expires_at }).await
}

/// A name that people and logs can read.
pub(super) fn check_name(field: &'static str, text: &str) -> Result<(), Error> {
    let reason = match text {
        "" => "it is empty",
        _ if text.chars().count() > 100 => "it is longer than 100 characters",
        _ if text.chars().any(char::is_control) => "it has control characters",
        _ => return Ok(()),
    };
    Err(Error::BadField { field, value: text.chars().take(100).collect(), reason: reason.into() })
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
