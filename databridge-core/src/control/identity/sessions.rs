//! Sessions: begun by signing in, prolonged by refresh tokens that are used once, ended
//! by signing out, by an admin, or by a refresh token that comes twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::signin::Entrance;
use super::tokens::{Claims, ISSUER};
use super::{Error, MATRIX, Permission, keys, password, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::{OrgId, UserId};
use crate::control::commands::{Store, Unit};
use crate::control::ctx::{Actor, Authority, Ctx, Grant};
use crate::control::ledger::Subject;

/// However often it is prolonged, a session ends so long after it began.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How a refresh token begins, so that scanners for leaked secrets know it.
const PREFIX: &str = "dbr_";
/// Sessions that are over are kept so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The last use of a key is written down so often.
const NOTED: Duration = Duration::from_secs(60);

/// What signing in answers.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// The bearer token.
    pub access_token: String,
    /// Until when it holds.
    pub expires_at: Timestamp,
    /// Gives the next pair of tokens, once.
    #[serde(default)]
    pub refresh_token: String,
    /// Until when that holds.
    #[serde(default)]
    pub refresh_until: Timestamp,
    /// Who signed in.
    pub username: String,
    /// Their roles, anywhere.
    pub roles: Vec<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A session that is being prolonged: which, whose, and since when it is.
pub(super) struct Begun {
    pub id: Uuid,
    pub at: Timestamp,
}

pub(super) fn subject(id: UserId, username: &str) -> Subject {
    Subject { kind: "user".into(), id: id.0, code: username.to_owned() }
}

pub(super) fn context(org: OrgId, id: UserId, username: &str, grants: Vec<Grant>) -> Ctx {
    let mut ctx = Ctx::system(org);
    ctx.actor = Actor {
        user_id: id,
        username: username.to_owned(),
        on_behalf_of: None,
        authority: Authority::Daemon,
        grants,
        scopes: None,
        session: None,
        stands_in_for: Vec::new(),
    };
    ctx
}

impl Entrance {
    /// The next pair of tokens of a session, whose row is in this unit.
    pub(super) async fn issue(
        &self,
        unit: &mut Unit,
        begun: Begun,
        user: UserId,
        username: &str,
    ) -> Result<Session, AnyError> {
        let (now, org) = (unit.now(), unit.org());
        let refresh_token = keys::secret(PREFIX)?;
        let refresh_until = (now + self.settings.refresh()).min(begun.at + LONGEST);
        let hash = keys::digest(&refresh_token);
        sql::prolong(unit.tx(), begun.id, &hash, now, refresh_until).await?;
        let grants = sql::grants(unit.tx(), user).await?;
        let ctx = context(org, user, username, grants);
        let roles: Vec<String> = ctx.roles(None).into_iter().map(str::to_owned).collect();
        let expires_at = (now + self.settings.access()).min(refresh_until);
        let access_token = self.tokens.issue(&Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: user.0,
            org: org.0,
            sid: begun.id,
            roles: roles.clone(),
            iat: now.as_micros() / 1_000_000,
            exp: expires_at.as_micros() / 1_000_000,
        })?;
        let username = username.to_owned();
        Ok(Session { access_token, expires_at, refresh_token, refresh_until, username, roles })
    }

    /// The next pair of tokens for a refresh token. One that was used before has been
    /// stolen, from us or by us: its session ends, whoever holds it.
    ///
    /// # Errors
    /// [`Error::BadToken`]; for somebody of the directory, that it does not answer.
    pub async fn refresh(&self, token: &str) -> Result<Session, AnyError> {
        const UNKNOWN: Error = Error::BadToken("the refresh token is unknown or has expired");
        let hash = keys::digest(token);
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        let found = sql::refresh_token(&mut tx, &hash, now).await?.ok_or(UNKNOWN)?;
        drop(tx);
        // A session of long after now is of a clock that has been set back since.
        if found.org != self.org || !found.holds || found.begun_at > now + self.settings.refresh() {
            return Err(UNKNOWN.into());
        }
        let ctx = context(found.org, found.user, &found.username, Vec::new());
        // What the directory has taken away, a refresh does not prolong.
        let looked = match (&self.directory, found.kind.as_str(), found.used) {
            (Some(directory), "directory", false) => directory.look_up(&found.username).await?,
            _ => super::directory::Looked::Unchanged,
        };
        let mut unit = self.store.begin(&ctx).await?;
        let now = unit.now();
        let subject = subject(found.user, &found.username);
        let again = sql::refresh_token(unit.tx(), &hash, now).await?;
        if again.is_none_or(|again| !again.holds) {
            return Err(UNKNOWN.into());
        }
        if sql::use_up(unit.tx(), &hash, now).await? == 0 {
            sql::end_session(unit.tx(), found.session, now).await?;
            unit.record(&subject, "user.refresh_token_reused", json!({ "session": found.session }));
            unit.commit(()).await?;
            return Err(Error::BadToken(
                "the refresh token was used before, so its session has ended",
            )
            .into());
        }
        match looked {
            super::directory::Looked::Unchanged => {}
            super::directory::Looked::Gone => {
                sql::end_sessions(unit.tx(), found.user, now).await?;
                unit.record(&subject, "user.gone_from_directory", json!({}));
                unit.commit(()).await?;
                return Err(Error::BadToken("the directory knows this person no more").into());
            }
            super::directory::Looked::Found(person) => {
                self.take_over(&mut unit, found.user, &found.username, &person).await?;
            }
        }
        let begun = Begun { id: found.session, at: found.begun_at };
        let session = self.issue(&mut unit, begun, found.user, &found.username).await?;
        unit.commit(()).await?;
        Ok(session)
    }

    /// Who the bearer of a token or an API key is, with the roles in force now.
    ///
    /// # Errors
    /// [`Error::BadToken`].
    pub async fn authenticate(&self, bearer: &str) -> Result<Ctx, AnyError> {
        let mut tx = self.store.db().read().await?;
        let now = tx.now().await?;
        let is_key = bearer.starts_with(keys::PREFIX);
        let mut session = None;
        let user = if is_key {
            sql::user_by_key(&mut tx, &keys::digest(bearer), now)
                .await?
                .ok_or(Error::BadToken("the API key is unknown, expired or revoked"))?
        } else {
            let claims = self.tokens.read(bearer, now, self.settings.access())?;
            session = Some(claims.sid);
            let user = sql::user_by_session(&mut tx, claims.sid, now).await?;
            user.filter(|u| u.id.0 == claims.sub && u.org.0 == claims.org)
                .ok_or(Error::BadToken("the session has ended"))?
        };
        let grants = sql::grants(&mut tx, user.id).await?;
        let mut ctx = context(user.org, user.id, &user.username, grants);
        ctx.actor.scopes = user.scopes;
        ctx.actor.session = session;
        ctx.actor.stands_in_for = sql::stands_in_for(&mut tx, user.id, now).await?;
        drop(tx);
        if is_key && user.last_used_at.is_none_or(|last| now.since(last) > NOTED) {
            let mut tx = self.store.write().await?;
            sql::key_was_used(&mut tx, &keys::digest(bearer), now).await?;
            tx.commit().await?;
        }
        Ok(ctx)
    }

    /// Forgets sessions and failures that are long over.
    ///
    /// # Errors
    /// [`Error::Db`].
    pub async fn forget(&self) -> Result<(), AnyError> {
        let mut tx = self.store.write().await?;
        let then = tx.now().await? - KEPT;
        sql::forget(&mut tx, then).await?;
        Ok(tx.commit().await?)
    }
}

/// Ends the session that asks, with every token that came of it; or all of the actor's.
///
/// # Errors
/// [`Error::NoSession`], [`Error::Db`].
pub async fn logout(store: &Store, ctx: &Ctx, everywhere: bool) -> Result<(), AnyError> {
    let mut unit = store.begin(ctx).await?;
    let (now, id) = (unit.now(), ctx.actor.user_id);
    match (everywhere, ctx.actor.session) {
        (true, _) => sql::end_sessions(unit.tx(), id, now).await?,
        (false, Some(session)) => {
            sql::end_session(unit.tx(), session, now).await?;
        }
        (false, None) => return Err(Error::NoSession.into()),
    }
    let data = json!({ "everywhere": everywhere });
    unit.record(&subject(id, &ctx.actor.username), "user.signed_out", data);
    unit.commit(()).await
}

/// Sets somebody's password (who manages users); their sessions end.
///
/// # Errors
/// [`Error::NoUser`], [`Error::WeakPassword`], [`Error::BadField`] for a service account.
pub async fn set_password(
    store: &Store,
    ctx: &Ctx,
    username: &str,
    new_password: String,
) -> Result<(), AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    password::check_strength(&new_password)?;
    let hash = password::hash(new_password).await?;
    let mut unit = store.begin(ctx).await?;
    let (org, now) = (unit.org(), unit.now());
    let user = sql::user_by_name(unit.tx(), org, username)
        .await?
        .ok_or_else(|| Error::NoUser(username.to_owned()))?;
    if user.kind == "service" {
        let reason = "a service account has no password: make it an API key".to_owned();
        return Err(Error::BadField { field: "username", value: user.username, reason }.into());
    }
    sql::set_password(unit.tx(), user.id, &hash).await?;
    sql::end_sessions(unit.tx(), user.id, now).await?;
    unit.record(&subject(user.id, &user.username), "user.password_set", json!({}));
    unit.commit(()).await
}
