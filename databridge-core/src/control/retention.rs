//! What of the store's own bookkeeping is forgotten in time. Without this a store of some
//! years would be mostly answers to commands of long ago.
//!
//! What grows, and what bounds it: idempotency keys, finished jobs and notifications by
//! age, here; sessions, refresh tokens and failed sign-ins by their end
//! ([`Entrance::forget`](super::identity::Entrance::forget)); request windows by the next
//! minute; hosts a day after they were last heard of; the working of scans with their
//! transfer. The ledger, and what a domain keeps of its subjects, stays.

mod sql;

use std::time::Duration;

use super::commands::Store;
use crate::base::error::Error;

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Jobs that are done or withdrawn.
    pub jobs: Duration,
    /// Answers to commands, by their keys.
    pub idempotency: Duration,
    /// Notifications.
    pub notifications: Duration,
}

/// What is forgotten here.
pub const KINDS: [&str; 3] = ["jobs", "idempotency", "notifications"];

/// Rows removed at a time: nobody waits long for a lock.
const BATCH: i64 = 2000;

/// Forgets what is older than `keep` says; answers how many rows there were of each.
///
/// # Errors
/// Of the store.
pub async fn forget(store: &Store, keep: Settings) -> Result<[(&'static str, u64); 3], Error> {
    let all = [
        (sql::JOBS, keep.jobs),
        (sql::IDEMPOTENCY, keep.idempotency),
        (sql::NOTIFICATIONS, keep.notifications),
    ];
    let mut forgotten = KINDS.map(|what| (what, 0));
    for ((statement, age), (_, count)) in all.into_iter().zip(&mut forgotten) {
        loop {
            let mut tx = store.write().await?;
            let then = tx.now().await? - age;
            let rows = sql::forget(&mut tx, statement, then, BATCH).await?;
            tx.commit().await?;
            *count += rows;
            if rows < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    Ok(forgotten)
}
