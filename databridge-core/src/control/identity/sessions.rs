//! Signing in, and what a token proves.
//!
//! Access tokens are JWTs (RFC 7519), HS256, algorithm, issuer and audience
//! pinned. Each names a session in the store, so that a logout, a deactivation or
//! a changed role holds at the next request on every host.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Error, MATRIX, Permission, keys, password, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::{OrgId, UserId};
use crate::control::commands::Store;
use crate::control::ctx::{Actor, Authority, Ctx};
use crate::control::ledger::Subject;

/// How long an access token holds.
const ACCESS: Duration = Duration::from_secs(8 * 3600);
const ISSUER: &str = "databridge";

/// Signs and reads access tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    org: Uuid,
    sid: Uuid,
    roles: Vec<String>,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// With this network's secret, at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    fn issue(&self, claims: &Claims) -> Result<String, Error> {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .map_err(|_| Error::Crypto("signing a token"))
    }

    fn read(&self, token: &str) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        match decode::<Claims>(token, &self.decoding, &validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => Err(Error::BadToken(match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => "it has expired",
                _ => "it was not issued here",
            })),
        }
    }
}

/// What signing in answers.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// The bearer token.
    pub access_token: String,
    /// Until when it holds.
    pub expires_at: Timestamp,
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

fn actor(user_id: UserId, username: String, grants: Vec<crate::control::ctx::Grant>) -> Actor {
    Actor { user_id, username, on_behalf_of: None, authority: Authority::Daemon, grants }
}

/// Signs somebody in by password; `new_password` changes it on the way.
///
/// # Errors
/// [`Error::WrongCredentials`], [`Error::MustChangePassword`].
pub async fn login(
    store: &Store,
    tokens: &Tokens,
    org: OrgId,
    username: &str,
    secret: String,
    new_password: Option<String>,
) -> Result<Session, AnyError> {
    let mut tx = store.db().read().await?;
    let user = sql::credentials(&mut tx, org, username).await?.filter(|u| u.active);
    drop(tx);
    let hash = user.as_ref().and_then(|u| u.password_hash.clone());
    let right = password::matches(secret, hash).await?;
    let Some(user) = user.filter(|_| right) else { return Err(Error::WrongCredentials.into()) };
    let new_hash = match new_password {
        None if user.must_change_password => return Err(Error::MustChangePassword.into()),
        None => None,
        Some(new) => {
            password::check_strength(&new)?;
            Some(password::hash(new).await?)
        }
    };
    let mut ctx = Ctx::system(org);
    ctx.actor = actor(user.id, username.to_owned(), Vec::new());
    let mut unit = store.begin(&ctx).await?;
    let (now, sid) = (unit.now(), Uuid::now_v7());
    let subject = Subject { kind: "user".into(), id: user.id.0, code: username.to_owned() };
    if let Some(hash) = new_hash {
        sql::set_password(unit.tx(), user.id, &hash).await?;
        unit.record(&subject, "user.password_changed", json!({}));
    }
    sql::insert_session(unit.tx(), sid, user.id, now, now + ACCESS).await?;
    unit.record(&subject, "user.signed_in", json!({}));
    ctx.actor.grants = sql::grants(unit.tx(), user.id).await?;
    unit.commit(()).await?;
    let roles: Vec<String> = ctx.roles(None).into_iter().map(str::to_owned).collect();
    let access_token = tokens.issue(&Claims {
        iss: ISSUER.into(),
        aud: ISSUER.into(),
        sub: user.id.0,
        org: org.0,
        sid,
        roles: roles.clone(),
        iat: now.as_micros() / 1_000_000,
        exp: (now + ACCESS).as_micros() / 1_000_000,
    })?;
    Ok(Session { access_token, expires_at: now + ACCESS, username: username.to_owned(), roles })
}

/// Who the bearer of a token or an API key is, with the roles in force now.
///
/// # Errors
/// [`Error::BadToken`].
pub async fn authenticate(store: &Store, tokens: &Tokens, bearer: &str) -> Result<Ctx, AnyError> {
    let mut tx = store.db().read().await?;
    let now = tx.now().await?;
    let user = if bearer.starts_with(keys::PREFIX) {
        sql::user_by_key(&mut tx, &keys::digest(bearer), now)
            .await?
            .ok_or(Error::BadToken("the API key is unknown, expired or revoked"))?
    } else {
        let claims = tokens.read(bearer)?;
        let user = sql::user_by_session(&mut tx, claims.sid, now).await?;
        user.filter(|u| u.id.0 == claims.sub && u.org.0 == claims.org)
            .ok_or(Error::BadToken("the session has ended"))?
    };
    let mut ctx = Ctx::system(user.org);
    ctx.actor = actor(user.id, user.username, sql::grants(&mut tx, user.id).await?);
    Ok(ctx)
}

/// Ends every session of the actor.
///
/// # Errors
/// [`Error::Db`].
pub async fn logout(store: &Store, ctx: &Ctx) -> Result<(), AnyError> {
    let mut unit = store.begin(ctx).await?;
    let (now, id) = (unit.now(), ctx.actor.user_id);
    sql::end_sessions(unit.tx(), id, now).await?;
    let subject = Subject { kind: "user".into(), id: id.0, code: ctx.actor.username.clone() };
    unit.record(&subject, "user.signed_out", json!({}));
    unit.commit(()).await
}

/// Sets somebody's password (who manages users); their sessions end.
///
/// # Errors
/// [`Error::NoUser`], [`Error::WeakPassword`].
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
    sql::set_password(unit.tx(), user.id, &hash).await?;
    sql::end_sessions(unit.tx(), user.id, now).await?;
    let subject = Subject { kind: "user".into(), id: user.id.0, code: user.username };
    unit.record(&subject, "user.password_set", json!({}));
    unit.commit(()).await
}
