//! The statements of the table of hosts.

use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::{Error, Tx};
use crate::control::jobs::hosts::{Host, HostView};
use crate::params;

/// Tells of a host; it is new, or was told of before.
pub(in crate::control::jobs) async fn beat(
    tx: &mut Tx,
    host: &Host,
    draining: bool,
) -> Result<(), Error> {
    let now = tx.now().await?;
    tx.exec(
        "INSERT INTO hosts (instance, name, role, can, workers, version, draining, started_at,
                            seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (instance) DO UPDATE SET draining = excluded.draining,
             seen_at = excluded.seen_at",
        params![
            host.instance,
            &host.name,
            &host.role,
            serde_json::json!(host.can),
            host.workers,
            env!("CARGO_PKG_VERSION"),
            draining,
            now
        ],
    )
    .await?;
    Ok(())
}

pub(in crate::control::jobs) async fn leave(tx: &mut Tx, host: &Host) -> Result<(), Error> {
    tx.exec("DELETE FROM hosts WHERE instance = $1", params![host.instance]).await?;
    Ok(())
}

/// Forgets hosts that were not heard of since `then`.
pub(in crate::control::jobs) async fn forget(tx: &mut Tx, then: Timestamp) -> Result<(), Error> {
    tx.exec("DELETE FROM hosts WHERE seen_at < $1", params![then]).await?;
    Ok(())
}

/// Gives back, to whoever comes next, what the workers of a host hold.
pub(in crate::control::jobs) async fn hand_back(tx: &mut Tx, instance: Uuid) -> Result<u64, Error> {
    let now = tx.now().await?;
    tx.exec(
        "UPDATE jobs SET state = 'ready', run_at = $1, lease_owner = NULL, lease_until = NULL,
                attempts = attempts - 1
         WHERE state = 'leased' AND lease_owner LIKE $2",
        params![now, format!("%:{instance}:%")],
    )
    .await
}

/// All hosts, and how much of an organisation's work each has in hand.
pub(in crate::control::jobs) async fn hosts(
    tx: &mut Tx,
    org: OrgId,
    silent: Timestamp,
) -> Result<Vec<HostView>, Error> {
    tx.all(
        "SELECT h.instance, h.name, h.role, h.can, h.workers, h.version, h.draining, h.started_at,
                h.seen_at,
                (SELECT COUNT(*) FROM jobs j WHERE j.state = 'leased' AND j.org_id = $1
                   AND j.lease_owner LIKE '%' || CAST(h.instance AS TEXT) || '%') AS jobs
         FROM hosts h ORDER BY h.name, h.started_at",
        params![org],
    )
    .await?
    .iter()
    .map(|row| {
        let seen_at: Timestamp = row.get("seen_at")?;
        Ok(HostView {
            instance: row.get("instance")?,
            name: row.get("name")?,
            role: row.get("role")?,
            can: row.json("can")?,
            workers: row.get("workers")?,
            version: row.get("version")?,
            draining: row.get("draining")?,
            alive: seen_at > silent,
            jobs: row.get("jobs")?,
            started_at: row.get("started_at")?,
            seen_at,
        })
    })
    .collect()
}
