//! The statements of the transfer domain.

mod counts;
mod files;
mod paths;
mod records;
mod scanned;
mod staging;
mod uploads;

pub(super) use counts::*;
pub(super) use files::*;
pub(super) use paths::*;
pub(super) use records::*;
pub(super) use scanned::*;
pub(super) use staging::*;
pub(super) use uploads::*;

use uuid::Uuid;

use super::chain::Chain;
use super::layout;
use super::types::Transfer;
use crate::base::clock::Timestamp;
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Authority;
use crate::control::db::{Error, Row, Tx};
use crate::media::checksum::Sha256;
use crate::params;
use crate::workflow::Symbol;

fn chain(row: &Row) -> Result<Chain, Error> {
    Ok(Chain {
        id: row.get("chain_id")?,
        name: row.get("chain_name")?,
        version: row.get("chain_version")?,
        stages: row.json("stages")?,
    })
}

pub(crate) async fn newest_chain(
    tx: &mut Tx,
    org: OrgId,
    name: &str,
) -> Result<Option<Chain>, Error> {
    tx.opt(
        "SELECT id AS chain_id, name AS chain_name, version AS chain_version, stages
         FROM approval_chains WHERE org_id = $1 AND name = $2 ORDER BY version DESC LIMIT 1",
        params![org, name],
    )
    .await?
    .map(|row| chain(&row))
    .transpose()
}

pub(crate) async fn chains(tx: &mut Tx, org: OrgId) -> Result<Vec<Chain>, Error> {
    tx.all(
        "SELECT id AS chain_id, name AS chain_name, version AS chain_version, stages
         FROM approval_chains WHERE org_id = $1 ORDER BY name, version DESC",
        params![org],
    )
    .await?
    .iter()
    .map(chain)
    .collect()
}

/// `false` if somebody else was faster with that version.
pub(crate) async fn insert_chain(
    tx: &mut Tx,
    org: OrgId,
    chain: &Chain,
    now: Timestamp,
) -> Result<bool, Error> {
    let stages = serde_json::to_value(&chain.stages).unwrap_or_default();
    let rows = tx
        .exec(
            "INSERT INTO approval_chains (id, org_id, name, version, stages, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (org_id, name, version) DO NOTHING",
            params![chain.id, org, &chain.name, chain.version, stages, now],
        )
        .await?;
    Ok(rows > 0)
}

macro_rules! select_transfer {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.code, t.title, t.project, t.category, t.owner_id, u.username AS owner,
                    t.state, t.stage, t.revision, t.version, t.manifest_digest, t.reason, t.failure,
                    t.priority, t.paused, t.destination, t.path, t.metadata, t.recall, t.parents,
                    t.created_at, t.updated_at,
                    t.delivered_at, t.authority,
                    c.id AS chain_id, c.name AS chain_name, c.version AS chain_version, c.stages
             FROM transfers t JOIN users u ON u.id = t.owner_id
             JOIN approval_chains c ON c.id = t.chain_id ",
            $rest
        )
    };
}

// Below the macro, which it uses.
mod listing;
pub(super) use listing::*;

fn transfer(row: &Row) -> Result<Transfer, Error> {
    let digest: Option<String> = row.opt("manifest_digest")?;
    Ok(Transfer {
        id: row.get("id")?,
        code: row.get("code")?,
        title: row.get("title")?,
        project: row.get("project")?,
        category: row.get("category")?,
        owner_id: row.get("owner_id")?,
        owner: row.get("owner")?,
        chain: chain(row)?,
        state: row.symbol("state")?,
        stage: row.get("stage")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        manifest_digest: digest.map(|d| parse_digest(&d)).transpose()?,
        reason: row.opt("reason")?,
        failure: row.opt("failure")?,
        priority: row.symbol("priority")?,
        paused: row
            .opt::<serde_json::Value>("paused")?
            .and_then(|p| serde_json::from_value(p).ok()),
        destination: row.opt("destination")?,
        path: row.get("path")?,
        metadata: row.json("metadata")?,
        recall: row.opt_json("recall")?,
        parents: row.json("parents")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        delivered_at: row.opt("delivered_at")?,
        authority: row.symbol("authority")?,
    })
}

pub(super) fn parse_digest(text: &str) -> Result<Sha256, Error> {
    text.parse()
        .map_err(|e: hex::FromHexError| Error::Column { column: "sha256".into(), source: e.into() })
}

pub(crate) async fn by_code(
    tx: &mut Tx,
    org: OrgId,
    code: &str,
) -> Result<Option<Transfer>, Error> {
    tx.opt(select_transfer!("WHERE t.org_id = $1 AND t.code = $2"), params![org, code])
        .await?
        .map(|row| transfer(&row))
        .transpose()
}

pub(crate) async fn by_id(tx: &mut Tx, org: OrgId, id: Uuid) -> Result<Option<Transfer>, Error> {
    tx.opt(select_transfer!("WHERE t.org_id = $1 AND t.id = $2"), params![org, id])
        .await?
        .map(|row| transfer(&row))
        .transpose()
}

pub(crate) struct NewTransfer<'a> {
    pub id: Uuid,
    pub code: &'a str,
    pub create: &'a super::Create,
    pub owner: UserId,
    pub chain: Uuid,
    pub destination: &'a str,
    pub path: &'a str,
    pub authority: Authority,
}

pub(crate) async fn insert(
    tx: &mut Tx,
    org: OrgId,
    new: NewTransfer<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    tx.exec(
        "INSERT INTO transfers (id, org_id, code, title, project, category, owner_id, chain_id,
                                state, stage, revision, version, fence, destination, authority,
                                parents, created_at, updated_at, priority, path, path_key,
                                metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'draft', 0, 1, 1, 0, $9, $10, $11, $12, $13, $14,
                 $15, $16, $17)",
        params![
            new.id,
            org,
            new.code,
            &new.create.title,
            &new.create.project,
            &new.create.category,
            new.owner,
            new.chain,
            new.destination,
            new.authority.name(),
            serde_json::to_value(&new.create.parents).unwrap_or_default(),
            now,
            now,
            new.create.priority.unwrap_or_default().name(),
            new.path,
            layout::key(new.path),
            serde_json::to_value(&new.create.metadata).unwrap_or_default()
        ],
    )
    .await?;
    Ok(())
}

/// Writes what a step changes, if nobody changed the transfer since it was read.
pub(crate) async fn update(tx: &mut Tx, t: &Transfer, now: Timestamp) -> Result<u64, Error> {
    tx.exec(
        "UPDATE transfers SET state = $1, stage = $2, revision = $3, manifest_digest = $4,
                reason = $5, failure = $6, updated_at = $7, delivered_at = $8, authority = $9,
                priority = $10, paused = $11, recall = $12, version = version + 1
         WHERE id = $13 AND version = $14",
        params![
            t.state.name(),
            t.stage,
            t.revision,
            t.manifest_digest.map(|d| d.to_string()),
            t.reason.as_deref(),
            t.failure.clone(),
            now,
            t.delivered_at,
            t.authority.name(),
            t.priority.name(),
            t.paused.as_ref().and_then(|paused| serde_json::to_value(paused).ok()),
            t.recall.as_ref().and_then(|recall| serde_json::to_value(recall).ok()),
            t.id,
            t.version
        ],
    )
    .await
}

/// The next fence: whoever holds the highest one may touch the delivery's files.
pub(crate) async fn next_fence(tx: &mut Tx, id: Uuid) -> Result<i64, Error> {
    tx.one("UPDATE transfers SET fence = fence + 1 WHERE id = $1 RETURNING fence", params![id])
        .await?
        .get("fence")
}

/// After this nobody who took a delivery up before holds the highest fence of it.
pub(crate) async fn raise_fences(tx: &mut Tx, by: i64) -> Result<u64, Error> {
    tx.exec("UPDATE transfers SET fence = fence + $1", params![by]).await
}

pub(crate) async fn set_copy_report(
    tx: &mut Tx,
    id: Uuid,
    report: &serde_json::Value,
) -> Result<(), Error> {
    tx.exec("UPDATE transfers SET copy_report = $1 WHERE id = $2", params![report, id]).await?;
    Ok(())
}

pub(crate) async fn copy_report(tx: &mut Tx, id: Uuid) -> Result<Option<serde_json::Value>, Error> {
    tx.one("SELECT copy_report FROM transfers WHERE id = $1", params![id]).await?.opt("copy_report")
}

pub(crate) async fn set_receipt(tx: &mut Tx, id: Uuid, receipt: &str) -> Result<(), Error> {
    tx.exec("UPDATE transfers SET receipt = $1 WHERE id = $2", params![receipt, id]).await?;
    Ok(())
}

pub(crate) async fn receipt(tx: &mut Tx, id: Uuid) -> Result<Option<String>, Error> {
    tx.one("SELECT receipt FROM transfers WHERE id = $1", params![id]).await?.opt("receipt")
}
