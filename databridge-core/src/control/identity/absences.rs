//! Out of office: whoever reviews names a deputy for a time, who then decides in their
//! place. A deputy uses the absent's roles to review, and for nothing else; a deputy's own
//! absence passes nothing on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::sessions::subject;
use super::sql::AbsenceView;
use super::{Error, MATRIX, Permission, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::Store;
use crate::control::ctx::Ctx;

/// Nobody is away for longer at a time.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Who is to be away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAbsence {
    /// Who; the caller where it is not said.
    #[serde(default)]
    pub username: Option<String>,
    /// Who decides meanwhile.
    pub deputy: String,
    /// From when; from now on where it is not said.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Until when, at most a year.
    pub until: Timestamp,
    /// Why; up to 200 characters, for everybody who manages users to read.
    #[serde(default)]
    pub reason: Option<String>,
}

fn bad(field: &'static str, value: impl ToString, reason: &str) -> AnyError {
    Error::BadField { field, value: value.to_string(), reason: reason.to_owned() }.into()
}

/// Says that somebody is away, and who stands in.
///
/// # Errors
/// [`Error::NoUser`], [`Error::BadField`], or not permitted for another.
pub async fn set_absence(
    store: &Store,
    ctx: &Ctx,
    new: NewAbsence,
) -> Result<AbsenceView, AnyError> {
    let name = new.username.as_deref().unwrap_or(&ctx.actor.username);
    if name != ctx.actor.username {
        ctx.require(MATRIX, Permission::ManageUsers, None)?;
    }
    if new.reason.as_ref().is_some_and(|r| r.chars().count() > 200 || r.contains(char::is_control))
    {
        return Err(bad("reason", "…", "up to 200 characters, none of them a control character"));
    }
    let mut unit = store.begin(ctx).await?;
    let (org, now) = (unit.org(), unit.now());
    let find = |name: &str| Error::NoUser(name.to_owned());
    let user = sql::user_by_name(unit.tx(), org, name).await?.ok_or_else(|| find(name))?;
    let deputy =
        sql::user_by_name(unit.tx(), org, &new.deputy).await?.ok_or_else(|| find(&new.deputy))?;
    if deputy.id == user.id {
        return Err(bad("deputy", &new.deputy, "nobody stands in for themselves"));
    }
    if !deputy.active || deputy.kind == "service" {
        return Err(bad("deputy", &new.deputy, "a deputy is a person who can sign in"));
    }
    let begins_at = new.from.unwrap_or(now);
    if new.until <= begins_at.max(now) {
        return Err(bad("until", new.until, "it is over before it begins"));
    }
    if new.until > begins_at + LONGEST {
        return Err(bad("until", new.until, "at most a year at a time"));
    }
    let view = AbsenceView {
        id: Uuid::now_v7(),
        username: user.username.clone(),
        deputy: deputy.username.clone(),
        begins_at,
        ends_at: new.until,
        reason: new.reason,
        set_by: ctx.actor.username.clone(),
        set_at: now,
    };
    sql::insert_absence(unit.tx(), org, (user.id, deputy.id), &view).await?;
    let data = json!({
        "id": view.id, "deputy": view.deputy, "from": begins_at, "until": view.ends_at,
    });
    unit.record(&subject(user.id, &user.username), "user.away", data);
    unit.commit(view).await
}

/// Who is or will be away: everybody for whoever manages users, else oneself, as absent or
/// as deputy.
///
/// # Errors
/// [`Error::Db`].
pub async fn absences(store: &Store, ctx: &Ctx) -> Result<Vec<AbsenceView>, AnyError> {
    let mut tx = store.db().read().await?;
    let now = tx.now().await?;
    let mut found = sql::absences(&mut tx, ctx.org, now).await?;
    if !ctx.may(MATRIX, Permission::ManageUsers, None) {
        let me = &ctx.actor.username;
        found.retain(|a| a.username == *me || a.deputy == *me);
    }
    Ok(found)
}

/// Ends an absence now.
///
/// # Errors
/// [`Error::NoAbsence`], also where it is another's and one does not manage users.
pub async fn end_absence(store: &Store, ctx: &Ctx, id: Uuid) -> Result<(), AnyError> {
    let mine = absences(store, ctx).await?;
    let found = mine.into_iter().find(|a| a.id == id).ok_or(Error::NoAbsence(id))?;
    if found.username != ctx.actor.username {
        ctx.require(MATRIX, Permission::ManageUsers, None)?;
    }
    let mut unit = store.begin(ctx).await?;
    let (org, now) = (unit.org(), unit.now());
    let user = sql::user_by_name(unit.tx(), org, &found.username)
        .await?
        .ok_or_else(|| Error::NoUser(found.username.clone()))?;
    if sql::end_absence(unit.tx(), id, now).await? == 0 {
        return Err(Error::NoAbsence(id).into());
    }
    let data = json!({ "id": id, "deputy": found.deputy });
    unit.record(&subject(user.id, &user.username), "user.back", data);
    unit.commit(()).await
}
