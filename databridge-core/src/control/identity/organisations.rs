//! Organisations beside the one that a store begins with. They share hosts, production
//! and the ledger's tree, and nothing of one is there for another.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::sql::FOR_GOOD;
use super::users::check_username;
use super::{Error, KeyView, keys, sql};
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;
use crate::control::commands::{Store, exists};
use crate::control::ctx::{Authority, Ctx};
use crate::control::ledger::Subject;

/// What the first key of an organisation is called.
const FIRST_KEY: &str = "first";

/// An organisation to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOrganisation {
    /// Its short name: 1 to 64 of `a-z 0-9 . _ -`.
    pub code: String,
    /// What people read; the short name where it is not said.
    #[serde(default)]
    pub name: Option<String>,
}

/// An organisation that was made, and the way into it, which is told once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Organisation {
    /// Its id.
    pub id: OrgId,
    /// Its short name.
    pub code: String,
    /// What people read.
    pub name: String,
    /// Its first admin.
    pub admin: String,
    /// That admin's API key. It is not kept.
    pub api_key: String,
}

impl std::fmt::Debug for Organisation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Organisation").field("code", &self.code).finish_non_exhaustive()
    }
}

/// Makes an organisation with one admin, for who has the store's files: no role of one
/// organisation reaches beyond it.
///
/// # Errors
/// [`Error::BadField`], [`Error::OrganisationExists`], or not permitted.
pub async fn create_organisation(
    store: &Store,
    ctx: &Ctx,
    new: NewOrganisation,
) -> Result<Organisation, AnyError> {
    if ctx.actor.authority != Authority::Embedded {
        return Err(ctx.forbidden("make organisations", Vec::new()).into());
    }
    let NewOrganisation { code, name } = new;
    check_username(&code).map_err(|error| match error {
        Error::BadField { value, reason, .. } => Error::BadField { field: "code", value, reason },
        other => other,
    })?;
    let name = name.unwrap_or_else(|| code.clone());
    keys::check_name("name", &name)?;
    let api_key = keys::secret(keys::PREFIX)?;
    let id = OrgId::new();
    // What happens in it is its own, from the first event on; the secret is told once, and
    // so is no answer to be told again.
    let mut inside = ctx.clone();
    (inside.org, inside.idempotency) = (id, None);
    let mut unit = store.begin(&inside).await?;
    let now = unit.now();
    match sql::insert_org(unit.tx(), id, &code, &name, now).await {
        Err(error) if exists(&error) => return Err(Error::OrganisationExists(code).into()),
        other => other?,
    }
    let row = sql::UserRow {
        username: "admin",
        display_name: "Administrator",
        email: None,
        kind: "service",
        password_hash: None,
        must_change_password: false,
    };
    let admin = sql::insert_user(unit.tx(), id, &row, now).await?;
    sql::insert_grant(unit.tx(), id, admin, "admin", None, false, FOR_GOOD, admin, now).await?;
    let key = KeyView {
        name: FIRST_KEY.into(),
        scopes: None,
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    sql::insert_key(unit.tx(), admin, &key, &keys::digest(&api_key)).await?;
    let subject =
        |kind: &str, id: Uuid, code: &str| Subject { kind: kind.into(), id, code: code.into() };
    let made = json!({ "name": name });
    unit.record(&subject("organisation", id.0, &code), "organisation.created", made);
    let data = json!({ "roles": ["admin"], "first": true, "key": FIRST_KEY });
    unit.record(&subject("user", admin.0, "admin"), "user.created", data);
    unit.commit(()).await?;
    Ok(Organisation { id, code, name, admin: "admin".into(), api_key })
}
