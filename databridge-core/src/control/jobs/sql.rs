//! The statements of the job table.

mod hosts;

pub(super) use hosts::*;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::traffic::{Bandwidth, EVERY_HOST, Rate, URGENT};
use super::{Lease, NewJob, State};
use crate::base::clock::Timestamp;
use crate::base::id::{JobId, OrgId};
use crate::control::db::{Error, Row, Tx};
use crate::params;
use crate::workflow::Symbol;

/// A job as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Which work.
    pub kind: String,
    /// About what.
    pub subject_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// How often it was taken up.
    pub attempts: i64,
    /// Larger goes first.
    pub priority: i64,
    /// Whether it stands still until somebody lets it go.
    pub held: bool,
    /// How far it is, once a second: phase, files and bytes done and in all, rate
    /// and time left ([`Snapshot`](crate::media::monitor::Snapshot)), and `held`
    /// (`paused`, `window`) where it stands still by somebody's wish.
    pub progress: Option<serde_json::Value>,
    /// Why it did not succeed the last time.
    pub last_error: Option<String>,
    /// When it may run (again).
    pub run_at: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// 0 rows: it was asked for before.
pub(super) async fn insert(
    tx: &mut Tx,
    org: OrgId,
    now: Timestamp,
    job: NewJob,
) -> Result<u64, Error> {
    tx.exec(
        "INSERT INTO jobs (id, org_id, kind, subject_id, key, payload, state, priority, attempts,
                           run_at, epoch, created_at, held)
         VALUES ($1, $2, $3, $4, $5, $6, 'ready', $7, 0, $8, 0, $9, $10) ON CONFLICT (key) DO NOTHING",
        params![
            JobId::new(),
            org,
            job.kind,
            job.subject_id,
            job.key,
            job.payload,
            job.priority,
            now,
            now,
            job.held
        ],
    )
    .await
}

/// Takes the next job of these kinds. A lease or a retry that lies further ahead
/// than any we write was dated by a clock that has since gone back: it is due. Those
/// of `closed` only go where they are urgent.
pub(super) async fn claim(
    tx: &mut Tx,
    kinds: &[&'static str],
    closed: &[&'static str],
    owner: &str,
    lease: Duration,
    longest_wait: Duration,
) -> Result<Option<Lease>, Error> {
    let now = tx.now().await?;
    let mut params = params![owner, now + lease, now, now + lease * 2, now + longest_wait * 2];
    let mut places = |kinds: &[&'static str]| {
        let mut places = Vec::new();
        for kind in kinds {
            params.push((*kind).into());
            places.push(format!("${}", params.len()));
        }
        places.join(", ")
    };
    let kinds = places(kinds);
    let open = match closed {
        [] => String::new(),
        closed => format!("AND (priority >= {URGENT} OR kind NOT IN ({}))", places(closed)),
    };
    let sql = format!(
        "UPDATE jobs SET state = 'leased', lease_owner = $1, lease_until = $2, epoch = epoch + 1,
                attempts = attempts + 1, progress = NULL
         WHERE id = (SELECT id FROM jobs
             WHERE kind IN ({kinds}) AND NOT held {open} AND (
                 (state = 'ready' AND (run_at <= $3 OR run_at > $5))
                 OR (state = 'leased' AND (lease_until < $3 OR lease_until > $4)))
             ORDER BY priority DESC, run_at, id LIMIT 1 {})
         RETURNING id, org_id, kind, subject_id, payload, epoch, attempts",
        tx.dialect().skip_locked(),
    );
    tx.all_built(sql, params).await?.first().map(lease_of).transpose()
}

/// Jobs that are not finished, by kind and state, and since when the oldest is due.
///
/// # Errors
/// [`Error`].
pub async fn standing(
    tx: &mut Tx,
    org: OrgId,
) -> Result<(Vec<(String, String, i64)>, Option<Timestamp>), Error> {
    let rows = tx
        .all(
            "SELECT kind, state, COUNT(*) AS n FROM jobs
             WHERE state IN ('ready', 'leased', 'dead') AND org_id = $1
             GROUP BY kind, state ORDER BY kind, state",
            params![org],
        )
        .await?;
    let jobs = rows
        .iter()
        .map(|row| Ok((row.get("kind")?, row.get("state")?, row.get("n")?)))
        .collect::<Result<_, Error>>()?;
    let now = tx.now().await?;
    let due = tx
        .one(
            "SELECT MIN(run_at) AS at FROM jobs
             WHERE state = 'ready' AND NOT held AND org_id = $1 AND run_at <= $2",
            params![org, now],
        )
        .await?;
    Ok((jobs, due.opt("at")?))
}

fn lease_of(row: &Row) -> Result<Lease, Error> {
    Ok(Lease {
        job: row.get("id")?,
        org: row.get("org_id")?,
        kind: row.get("kind")?,
        subject_id: row.get("subject_id")?,
        payload: row.get("payload")?,
        epoch: row.get("epoch")?,
        attempts: row.get("attempts")?,
    })
}

/// Changes what the job knows; 0 rows: the lease is lost.
pub(super) async fn set_payload(
    tx: &mut Tx,
    lease: &Lease,
    payload: serde_json::Value,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE jobs SET payload = $1 WHERE id = $2 AND epoch = $3 AND state = 'leased'",
        params![payload, lease.job, lease.epoch],
    )
    .await
}

/// What a worker learns of a job that it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renewed {
    /// By the store's clock.
    pub now: Timestamp,
    /// Somebody wants it to stand still.
    pub held: bool,
    /// Its priority now.
    pub priority: i64,
    /// The host's limit, where one was set at run time.
    pub rate: Option<Rate>,
}

/// Keeps the lease; `None`: it is lost.
pub(super) async fn renew(
    tx: &mut Tx,
    lease: &Lease,
    length: Duration,
    progress: serde_json::Value,
    host: &str,
) -> Result<Option<Renewed>, Error> {
    let now = tx.now().await?;
    let rows = tx
        .exec(
            "UPDATE jobs SET lease_until = $1, progress = $2
             WHERE id = $3 AND epoch = $4 AND state = 'leased'",
            params![now + length, progress, lease.job, lease.epoch],
        )
        .await?;
    if rows == 0 { Ok(None) } else { look(tx, lease, host).await }
}

/// What holds for a job; `None`: its lease is lost.
pub(super) async fn look(tx: &mut Tx, lease: &Lease, host: &str) -> Result<Option<Renewed>, Error> {
    let now = tx.now().await?;
    let row = tx
        .opt(
            "SELECT held, priority FROM jobs WHERE id = $1 AND epoch = $2 AND state = 'leased'",
            params![lease.job, lease.epoch],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let set = bandwidth(tx, lease.org).await?;
    let of = |name: &str| set.iter().find(|limit| limit.host == name);
    let rate = of(host).or_else(|| of(EVERY_HOST));
    Ok(Some(Renewed {
        now,
        held: row.get("held")?,
        priority: row.get("priority")?,
        rate: rate.map(|limit| Rate { bytes_per_second: limit.bytes_per_second }),
    }))
}

/// The limits that were set at run time.
pub(super) async fn bandwidth(tx: &mut Tx, org: OrgId) -> Result<Vec<Bandwidth>, Error> {
    let rows = tx
        .all(
            "SELECT host, bytes_per_second, set_by, set_at FROM bandwidth
             WHERE org_id = $1 ORDER BY host",
            params![org],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let rate: Option<i64> = row.opt("bytes_per_second")?;
            Ok(Bandwidth {
                host: row.get("host")?,
                bytes_per_second: rate.and_then(|rate| u64::try_from(rate).ok()),
                set_by: row.get("set_by")?,
                set_at: row.get("set_at")?,
            })
        })
        .collect()
}

pub(super) async fn drop_bandwidth(tx: &mut Tx, org: OrgId, host: &str) -> Result<(), Error> {
    tx.exec("DELETE FROM bandwidth WHERE org_id = $1 AND host = $2", params![org, host]).await?;
    Ok(())
}

pub(super) async fn insert_bandwidth(
    tx: &mut Tx,
    org: OrgId,
    limit: &Bandwidth,
) -> Result<(), Error> {
    let rate = limit.bytes_per_second.map(|rate| i64::try_from(rate).unwrap_or(i64::MAX));
    tx.exec(
        "INSERT INTO bandwidth (org_id, host, bytes_per_second, set_by, set_at)
         VALUES ($1, $2, $3, $4, $5)",
        params![org, &limit.host, rate, &limit.set_by, limit.set_at],
    )
    .await?;
    Ok(())
}

/// Holds a subject's jobs or lets them go, and says how urgent they are. A job that
/// only tidies up (its priority is negative beyond any transfer's) is left alone.
pub(super) async fn direct(
    tx: &mut Tx,
    subject_id: Uuid,
    held: bool,
    priority: i64,
) -> Result<(), Error> {
    tx.exec(
        "UPDATE jobs SET held = $1, priority = $2
         WHERE subject_id = $3 AND state IN ('ready', 'leased') AND priority > -10",
        params![held, priority, subject_id],
    )
    .await?;
    Ok(())
}

pub(super) async fn is_held(tx: &mut Tx, lease: &Lease) -> Result<bool, Error> {
    // An update and not a select: on PostgreSQL it holds the row to the end of the
    // transaction, so that nobody takes the job over in between.
    let rows = tx
        .exec(
            "UPDATE jobs SET epoch = epoch WHERE id = $1 AND epoch = $2 AND state = 'leased'",
            params![lease.job, lease.epoch],
        )
        .await?;
    Ok(rows == 1)
}

pub(super) async fn close(
    tx: &mut Tx,
    lease: &Lease,
    state: State,
    error: Option<&str>,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE jobs SET state = $1, last_error = COALESCE($2, last_error), lease_owner = NULL,
                lease_until = NULL, finished_at = $3
         WHERE id = $4 AND epoch = $5 AND state = 'leased'",
        params![state.name(), error, now, lease.job, lease.epoch],
    )
    .await
}

/// Puts the job back, to be taken up at `run_at`; the attempt `counts` or does not.
pub(super) async fn put_back(
    tx: &mut Tx,
    lease: &Lease,
    run_at: Timestamp,
    error: Option<&str>,
    counts: bool,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE jobs SET state = 'ready', run_at = $1, last_error = COALESCE($2, last_error),
                lease_owner = NULL, lease_until = NULL, attempts = attempts - $3
         WHERE id = $4 AND epoch = $5 AND state = 'leased'",
        params![run_at, error, i64::from(!counts), lease.job, lease.epoch],
    )
    .await
}

pub(super) async fn withdraw(tx: &mut Tx, subject_id: Uuid, now: Timestamp) -> Result<(), Error> {
    tx.exec(
        "UPDATE jobs SET state = 'withdrawn', epoch = epoch + 1, lease_owner = NULL,
                lease_until = NULL, finished_at = $1
         WHERE subject_id = $2 AND state IN ('ready', 'leased', 'dead')",
        params![now, subject_id],
    )
    .await?;
    Ok(())
}

pub(super) async fn withdraw_one(
    tx: &mut Tx,
    (id, subject_id, kind): (Uuid, Uuid, &str),
    now: Timestamp,
) -> Result<u64, Error> {
    tx.exec(
        "UPDATE jobs SET state = 'withdrawn', epoch = epoch + 1, lease_owner = NULL,
                lease_until = NULL, finished_at = $1
         WHERE id = $2 AND subject_id = $3 AND kind = $4 AND state IN ('ready', 'leased')",
        params![now, id, subject_id, kind],
    )
    .await
}

pub(super) async fn withdraw_dead(tx: &mut Tx, subject_id: Uuid, kind: &str) -> Result<(), Error> {
    tx.exec(
        "UPDATE jobs SET state = 'withdrawn' WHERE subject_id = $1 AND kind = $2 AND state = 'dead'",
        params![subject_id, kind],
    )
    .await?;
    Ok(())
}

/// Withdraws an organisation's jobs of a kind that were given up.
pub(super) async fn withdraw_dead_of(tx: &mut Tx, org: OrgId, kind: &str) -> Result<(), Error> {
    tx.exec(
        "UPDATE jobs SET state = 'withdrawn' WHERE org_id = $1 AND kind = $2 AND state = 'dead'",
        params![org, kind],
    )
    .await?;
    Ok(())
}

/// Jobs of an organisation, newest first; in one state or about one subject where
/// that is asked.
///
/// # Errors
/// [`Error`].
pub async fn list(
    tx: &mut Tx,
    org: OrgId,
    state: Option<State>,
    subject: Option<Uuid>,
    limit: i64,
) -> Result<Vec<JobView>, Error> {
    tx.all(
        "SELECT id, kind, subject_id, state, attempts, priority, held, progress, last_error, run_at, created_at,
                finished_at
         FROM jobs WHERE org_id = $1 AND ($2 IS NULL OR state = $2)
           AND (CAST($3 AS TEXT) IS NULL OR CAST(subject_id AS TEXT) = $3)
         ORDER BY id DESC LIMIT $4",
        params![org, state.map(Symbol::name), subject.map(|s| s.to_string()), limit],
    )
    .await?
    .iter()
    .map(view)
    .collect()
}

/// Jobs in hand, of every organisation.
///
/// # Errors
/// [`Error`].
pub async fn in_hand(tx: &mut Tx, limit: i64) -> Result<Vec<(OrgId, JobView)>, Error> {
    tx.all(
        "SELECT org_id, id, kind, subject_id, state, attempts, priority, held, progress, last_error,
                run_at, created_at, finished_at
         FROM jobs WHERE state = 'leased' ORDER BY id DESC LIMIT $1",
        params![limit],
    )
    .await?
    .iter()
    .map(|row| Ok((row.get("org_id")?, view(row)?)))
    .collect()
}

fn view(row: &Row) -> Result<JobView, Error> {
    Ok(JobView {
        id: row.get("id")?,
        kind: row.get("kind")?,
        subject_id: row.get("subject_id")?,
        state: row.symbol("state")?,
        attempts: row.get("attempts")?,
        priority: row.get("priority")?,
        held: row.get("held")?,
        progress: row.opt("progress")?,
        last_error: row.opt("last_error")?,
        run_at: row.get("run_at")?,
        created_at: row.get("created_at")?,
        finished_at: row.opt("finished_at")?,
    })
}
