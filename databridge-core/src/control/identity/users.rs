//! Users and their roles.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::people::keep_an_admin;
use super::{Error, MATRIX, Permission, UserView, password, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::{Store, exists};
use crate::control::ctx::Ctx;
use crate::control::ledger::Subject;

/// Somebody to be known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    pub username: String,
    /// What people read.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where mail goes.
    #[serde(default)]
    pub email: Option<String>,
    /// Their roles, in every project.
    #[serde(default)]
    pub roles: Vec<String>,
    /// At least 12 characters; without one the user signs in by API key only.
    #[serde(default)]
    pub password: Option<String>,
    /// A bcrypt or argon2 hash taken over from elsewhere, instead of a password.
    #[serde(default)]
    pub password_hash: Option<String>,
    /// An account for programs: it has no password and never will.
    #[serde(default)]
    pub service: bool,
}

impl NewUser {
    /// What is kept of the password.
    async fn hash(&self) -> Result<Option<String>, AnyError> {
        let both = |reason: &str| Error::BadField {
            field: "password",
            value: "…".into(),
            reason: reason.to_owned(),
        };
        match (&self.password, &self.password_hash) {
            (None, None) => Ok(None),
            _ if self.service => Err(both("a service account has none: make it an API key").into()),
            (Some(_), Some(_)) => Err(both("either it or its hash").into()),
            (Some(password), None) => {
                password::check_strength(password)?;
                Ok(Some(password::hash(password.clone()).await?))
            }
            (None, Some(hash)) => {
                password::check_foreign(hash)?;
                Ok(Some(hash.clone()))
            }
        }
    }
}

/// A role given or taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    /// Whose.
    pub username: String,
    /// Which.
    pub role: String,
    /// Only in this project.
    #[serde(default)]
    pub project: Option<String>,
    /// `false` takes it away.
    #[serde(default = "yes")]
    pub granted: bool,
    /// Forbids it instead, whatever else gives it.
    #[serde(default)]
    pub deny: bool,
    /// From when it holds; from now on where it is not said.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when it holds.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl RoleChange {
    /// That it holds at some time.
    fn check_term(&self) -> Result<(), Error> {
        match (self.from, self.until) {
            (Some(from), Some(until)) if until <= from => {
                let (value, reason) = (until.to_string(), "it ends before it begins".to_owned());
                Err(Error::BadField { field: "until", value, reason })
            }
            _ => Ok(()),
        }
    }

    /// Whether an admin may be none after it, or not for good: what was given before in
    /// the same place is replaced.
    fn takes_an_admin(&self) -> bool {
        let gives = self.granted && !self.deny && self.from.is_none() && self.until.is_none();
        let takes_back_a_denial = !self.granted && self.deny;
        self.role == "admin" && !gives && !takes_back_a_denial
    }
}

fn yes() -> bool {
    true
}

pub(super) fn check_username(name: &str) -> Result<(), Error> {
    let fine =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let reason = match name.chars().next() {
        _ if name.len() > 64 => "it is longer than 64 characters",
        Some(c) if !(c.is_ascii_lowercase() || c.is_ascii_digit()) => {
            "it must begin with a letter or digit"
        }
        Some(_) if name.chars().all(fine) => return Ok(()),
        Some(_) => "only a-z, 0-9, dot, underscore and hyphen",
        None => "it is empty",
    };
    Err(Error::BadField { field: "username", value: name.to_owned(), reason: reason.to_owned() })
}

fn check_role(role: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&role) {
        return Ok(());
    }
    let reason = format!("the roles are {}", known.join(", "));
    Err(Error::BadField { field: "role", value: role.to_owned(), reason })
}

fn subject(user: &UserView) -> Subject {
    Subject { kind: "user".into(), id: user.id.0, code: user.username.clone() }
}

/// Makes somebody known. `known_roles` are those of all domains.
///
/// # Errors
/// [`Error::UserExists`], [`Error::BadField`], [`Error::WeakPassword`].
pub async fn create_user(
    store: &Store,
    ctx: &Ctx,
    known_roles: &[&str],
    new: NewUser,
) -> Result<UserView, AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    check_username(&new.username)?;
    for role in &new.roles {
        check_role(role, known_roles)?;
    }
    let hash = new.hash().await?;
    let mut unit = store.begin(ctx).await?;
    let (org, now) = (unit.org(), unit.now());
    let row = sql::UserRow {
        username: &new.username,
        display_name: new.display_name.as_deref().unwrap_or(&new.username),
        email: new.email.as_deref(),
        kind: if new.service { "service" } else { "person" },
        password_hash: hash.as_deref(),
        must_change_password: false,
    };
    let id = match sql::insert_user(unit.tx(), org, &row, now).await {
        Err(error) if exists(&error) => return Err(Error::UserExists(new.username).into()),
        other => other?,
    };
    for role in &new.roles {
        let by = ctx.actor.user_id;
        sql::insert_grant(unit.tx(), org, id, role, None, false, sql::FOR_GOOD, by, now).await?;
    }
    let user = sql::user_by_name(unit.tx(), org, &new.username)
        .await?
        .ok_or_else(|| Error::NoUser(new.username.clone()))?;
    unit.record(&subject(&user), "user.created", json!({ "roles": new.roles, "kind": row.kind }));
    unit.commit(user).await
}

/// Everybody of the organisation.
///
/// # Errors
/// [`Error::Db`], or not permitted.
pub async fn list_users(store: &Store, ctx: &Ctx) -> Result<Vec<UserView>, AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    let mut tx = store.db().read().await?;
    Ok(sql::users(&mut tx, ctx.org).await?)
}

/// Gives or takes a role. It holds from the next request on, on every host.
///
/// # Errors
/// [`Error::NoUser`], [`Error::BadField`].
pub async fn set_role(
    store: &Store,
    ctx: &Ctx,
    known_roles: &[&str],
    change: RoleChange,
) -> Result<UserView, AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    check_role(&change.role, known_roles)?;
    change.check_term()?;
    let mut unit = store.begin(ctx).await?;
    let (org, now, by) = (unit.org(), unit.now(), ctx.actor.user_id);
    let user = sql::user_by_name(unit.tx(), org, &change.username)
        .await?
        .ok_or_else(|| Error::NoUser(change.username.clone()))?;
    let project = change.project.as_deref();
    sql::delete_grant(unit.tx(), user.id, &change.role, project, change.deny).await?;
    if change.granted {
        sql::insert_grant(
            unit.tx(),
            org,
            user.id,
            &change.role,
            project,
            change.deny,
            (change.from, change.until),
            by,
            now,
        )
        .await?;
    }
    if change.takes_an_admin() {
        keep_an_admin(&mut unit).await?;
    }
    let kind = if change.granted { "user.role_granted" } else { "user.role_taken" };
    unit.record(
        &subject(&user),
        kind,
        json!({ "role": change.role, "project": project, "deny": change.deny, "from": change.from,
               "until": change.until }),
    );
    let user = sql::user_by_name(unit.tx(), org, &change.username)
        .await?
        .ok_or_else(|| Error::NoUser(change.username.clone()))?;
    unit.commit(user).await
}

/// Lets somebody in, or no longer: their sessions end and their keys stop at once.
///
/// # Errors
/// [`Error::NoUser`].
pub async fn set_active(
    store: &Store,
    ctx: &Ctx,
    username: &str,
    active: bool,
) -> Result<UserView, AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    let mut unit = store.begin(ctx).await?;
    let (org, now) = (unit.org(), unit.now());
    let no_user = || Error::NoUser(username.to_owned());
    let user = sql::user_by_name(unit.tx(), org, username).await?.ok_or_else(no_user)?;
    sql::set_active(unit.tx(), user.id, active).await?;
    let mut keys = 0;
    if !active {
        keep_an_admin(&mut unit).await?;
        // So that whoever is let in again has to sign in again, and to make new keys.
        sql::end_sessions(unit.tx(), user.id, now).await?;
        keys = sql::revoke_keys(unit.tx(), user.id, now).await?;
    }
    let kind = if active { "user.activated" } else { "user.deactivated" };
    unit.record(&subject(&user), kind, json!({ "keys_revoked": keys }));
    let user = sql::user_by_name(unit.tx(), org, username).await?.ok_or_else(no_user)?;
    unit.commit(user).await
}
