//! The first start: one organisation, one admin, no default password.

use super::sql::FOR_GOOD;
use super::{Error, password, sql};
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;
use crate::control::commands::Store;
use crate::control::ctx::{Actor, Authority, Ctx};
use crate::control::ledger::Subject;

/// The organisation a new store has.
pub const DEFAULT_ORG: &str = "studio";

/// Makes the organisation and, where it has no admin yet, the first one; answers
/// the organisation and that admin's one-time password, which is told only now.
///
/// # Errors
/// [`Error`].
pub async fn first_start(store: &Store) -> Result<(OrgId, Option<String>), AnyError> {
    let mut tx = store.db().read().await?;
    if let Some(org) = sql::org_by_code(&mut tx, DEFAULT_ORG).await?
        && sql::has_password_admin(&mut tx, org).await?
    {
        return Ok((org, None));
    }
    drop(tx);
    let password = password::random()?;
    let hash = password::hash(password.clone()).await?;
    let mut unit = store.begin(&Ctx::system(OrgId(uuid::Uuid::nil()))).await?;
    let now = unit.now();
    // Two daemons may start at once: whoever comes second finds the rows.
    let org = match sql::org_by_code(unit.tx(), DEFAULT_ORG).await? {
        Some(org) => org,
        None => {
            let org = OrgId::new();
            sql::insert_org(unit.tx(), org, DEFAULT_ORG, "Studio", now).await?;
            org
        }
    };
    if sql::has_password_admin(unit.tx(), org).await? {
        return Ok((org, None));
    }
    let id = sql::insert_user(
        unit.tx(),
        org,
        &sql::UserRow {
            username: "admin",
            display_name: "Administrator",
            email: None,
            kind: "person",
            password_hash: Some(&hash),
            must_change_password: true,
        },
        now,
    )
    .await?;
    sql::insert_grant(unit.tx(), org, id, "admin", None, false, FOR_GOOD, id, now).await?;
    let subject = Subject { kind: "user".into(), id: id.0, code: "admin".into() };
    unit.record(&subject, "user.created", serde_json::json!({ "roles": ["admin"], "first": true }));
    unit.commit(()).await?;
    Ok((org, Some(password)))
}

/// The OS user as an actor of an embedded store, made known at first sight. Who can
/// open the files can do everything, and the receipts say so.
///
/// # Errors
/// [`Error::NoUser`] where `on_behalf_of` is not known.
pub async fn os_user(
    store: &Store,
    org: OrgId,
    login_name: &str,
    on_behalf_of: Option<&str>,
) -> Result<Ctx, AnyError> {
    let username = format!("os:{login_name}");
    let mut ctx = Ctx::system(org);
    let known = {
        let mut tx = store.db().read().await?;
        sql::user_by_name(&mut tx, org, &username).await?
    };
    let id = match known {
        Some(user) => user.id,
        None => {
            let mut unit = store.begin(&ctx).await?;
            let now = unit.now();
            let row = sql::UserRow {
                username: &username,
                display_name: login_name,
                email: None,
                kind: "os",
                password_hash: None,
                must_change_password: false,
            };
            let id = sql::insert_user(unit.tx(), org, &row, now).await?;
            sql::insert_grant(unit.tx(), org, id, "admin", None, false, FOR_GOOD, id, now).await?;
            let subject = Subject { kind: "user".into(), id: id.0, code: username.clone() };
            unit.record(
                &subject,
                "user.created",
                serde_json::json!({ "roles": ["admin"], "os": true }),
            );
            unit.commit(id).await?
        }
    };
    let mut tx = store.db().read().await?;
    let grants_of = match on_behalf_of {
        None => id,
        Some(name) => {
            let user = sql::user_by_name(&mut tx, org, name).await?;
            user.filter(|u| u.active).ok_or_else(|| Error::NoUser(name.to_owned()))?.id
        }
    };
    let grants = sql::grants(&mut tx, grants_of).await?;
    ctx.actor = Actor {
        user_id: id,
        username,
        on_behalf_of: on_behalf_of.map(str::to_owned),
        authority: Authority::Embedded,
        grants,
        scopes: None,
        session: None,
        stands_in_for: Vec::new(),
    };
    Ok(ctx)
}
