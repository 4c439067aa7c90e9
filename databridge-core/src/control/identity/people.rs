//! One person: looking, changing, and who cannot go.

mod sql;

pub use sql::who_has;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, MATRIX, Permission, UserView, user_by_name};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::{Failure, Store, Unit, bound, moved};
use crate::control::ctx::{Authority, Ctx};
use crate::control::ledger::Subject;

/// A user with what changes are bound to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserDetail {
    /// The user.
    #[serde(flatten)]
    pub user: UserView,
    /// Grows with every change.
    pub version: i64,
    /// When they were made known.
    pub created_at: Timestamp,
    /// Every grant and denial, those too that hold no longer or not yet.
    pub terms: Vec<Granted>,
}

/// A role given or denied, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Granted {
    /// Which.
    pub role: String,
    /// Only in this project.
    pub project: Option<String>,
    /// Taken away instead, whatever else gives it.
    pub deny: bool,
    /// From when it holds.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// `local`, or `directory`.
    pub source: String,
    /// Whether it holds now.
    pub in_force: bool,
}

/// What is to be different about somebody; what is not said stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whose.
    pub username: String,
    /// What people read.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where mail goes; an empty text takes it away.
    #[serde(default)]
    pub email: Option<String>,
}

/// Somebody of the organisation.
///
/// # Errors
/// [`Error::NoUser`], or not permitted.
pub async fn show_user(store: &Store, ctx: &Ctx, username: &str) -> Result<UserDetail, AnyError> {
    if username != ctx.actor.username {
        ctx.require(MATRIX, Permission::ManageUsers, None)?;
    }
    let mut tx = store.db().read().await?;
    let no_user = || Error::NoUser(username.to_owned());
    let user = user_by_name(&mut tx, ctx.org, username).await?.ok_or_else(no_user)?;
    let (version, created_at) = sql::version(&mut tx, user.id).await?;
    let terms = sql::terms(&mut tx, user.id).await?;
    Ok(UserDetail { user, version, created_at, terms })
}

/// Changes what people read of somebody. Over a daemon it is bound to the version that
/// was looked at: two admins at one form do not undo each other's work.
///
/// # Errors
/// [`Error::NoUser`], [`Error::BadField`], [`Failure::Unconditional`],
/// [`Failure::Precondition`], not permitted.
pub async fn change_user(
    store: &Store,
    ctx: &Ctx,
    change: UserChange,
) -> Result<UserDetail, AnyError> {
    ctx.require(MATRIX, Permission::ManageUsers, None)?;
    let name = change.display_name.as_deref().map(str::trim);
    if name.is_some_and(str::is_empty) {
        return Err(bad("display_name", "", "it is empty").into());
    }
    let email = change.email.as_deref().map(str::trim);
    // What a mail server makes of it is its affair; this is for typing errors.
    let is_address =
        |mail: &str| mail.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if let Some(wrong) = email.filter(|m| !m.is_empty() && (!is_address(m) || m.contains(' '))) {
        return Err(bad("email", wrong, "it is no address").into());
    }
    if ctx.expected.is_none() && ctx.actor.authority == Authority::Daemon {
        return Err(Failure::Unconditional { subject: change.username }.into());
    }
    let mut unit = store.begin(ctx).await?;
    let org = unit.org();
    let no_user = || Error::NoUser(change.username.clone());
    let user = user_by_name(unit.tx(), org, &change.username).await?.ok_or_else(no_user)?;
    let (version, created_at) = sql::version(unit.tx(), user.id).await?;
    bound(ctx, &user.username, version)?;
    let name = name.unwrap_or(&user.display_name).to_owned();
    let email = match email {
        None => user.email.clone(),
        Some("") => None,
        Some(mail) => Some(mail.to_owned()),
    };
    let rows = sql::describe(unit.tx(), user.id, version, &name, email.as_deref()).await?;
    moved(rows, &user.username)?;
    let subject = Subject { kind: "user".into(), id: user.id.0, code: user.username.clone() };
    unit.record(&subject, "user.changed", json!({ "display_name": name, "email": email }));
    let terms = sql::terms(unit.tx(), user.id).await?;
    let user = UserView { display_name: name, email, ..user };
    unit.commit(UserDetail { user, version: version + 1, created_at, terms }).await
}

fn bad(field: &'static str, value: &str, reason: &str) -> Error {
    Error::BadField { field, value: value.to_owned(), reason: reason.to_owned() }
}

/// Refuses a change after which nobody could sign in who may let others in.
pub(super) async fn keep_an_admin(unit: &mut Unit) -> Result<(), AnyError> {
    let (org, now) = (unit.org(), unit.now());
    if sql::has_admin(unit.tx(), org, now).await? { Ok(()) } else { Err(Error::LastAdmin.into()) }
}
