//! The daemons that share a store: what each can do, and when it was last heard of. Work
//! goes to hosts that can do it; what they hold is told by leases, and never by this.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::sql;
use crate::base::clock::Timestamp;
use crate::base::error::Error;
use crate::control::commands::Store;
use crate::control::ctx::Ctx;
use crate::control::identity::{MATRIX, Permission};
use crate::symbols;

/// How often a host tells of itself.
pub const BEAT: Duration = Duration::from_secs(5);
/// A host that was not heard of for so long is taken for gone.
const SILENT: Duration = Duration::from_secs(20);
/// For so long it is still shown.
const SHOWN: Duration = Duration::from_secs(24 * 3600);

symbols! {
    /// What a host has that work may need.
    pub enum Capability {
        /// The staging mount.
        Staging = "staging",
        /// Production: its mount, or the way to its object store.
        Production = "production",
        /// A scan engine.
        Scan = "scan",
        /// rsync, where deliveries are filled by it.
        Rsync = "rsync",
        /// The way to an object store, where production is one.
        ObjectStore = "object_store",
        /// What hooks need: their commands, or the way to their receivers.
        Hooks = "hooks",
    }
}

/// A daemon as it tells of itself.
#[derive(Debug, Clone)]
pub struct Host {
    /// Another with each start.
    pub instance: Uuid,
    /// As receipts and leases name it.
    pub name: String,
    /// `serve`, `work` or `all`.
    pub role: String,
    /// What its workers can do.
    pub can: Vec<Capability>,
    /// Jobs at a time.
    pub workers: i64,
}

/// A daemon as others see it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostView {
    /// Another with each start.
    pub instance: Uuid,
    /// What it is called.
    pub name: String,
    /// `serve`, `work` or `all`.
    pub role: String,
    /// What its workers can do.
    pub can: Vec<Capability>,
    /// Jobs at a time.
    pub workers: i64,
    /// Of DataBridge.
    pub version: String,
    /// It was asked to end.
    pub draining: bool,
    /// It was heard of in the last 20 seconds.
    pub alive: bool,
    /// Jobs in hand: those of the caller's organisation.
    pub jobs: i64,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

impl Host {
    /// Tells the others that it is there.
    ///
    /// # Errors
    /// [`crate::control::db::Error`].
    pub async fn beat(&self, store: &Store, draining: bool) -> Result<(), Error> {
        let mut tx = store.write().await?;
        let then = tx.now().await? - SHOWN;
        sql::forget(&mut tx, then).await?;
        sql::beat(&mut tx, self, draining).await?;
        Ok(tx.commit().await?)
    }

    /// Tells them that it is gone.
    ///
    /// # Errors
    /// [`crate::control::db::Error`].
    pub async fn leave(&self, store: &Store) -> Result<(), Error> {
        let mut tx = store.write().await?;
        sql::leave(&mut tx, self).await?;
        Ok(tx.commit().await?)
    }

    /// Goes, and leaves the jobs that do not let go of it to the others: what it still does
    /// for them is fenced. Answers how many.
    ///
    /// # Errors
    /// [`crate::control::db::Error`].
    pub async fn hand_back(&self, store: &Store) -> Result<u64, Error> {
        let mut tx = store.write().await?;
        let jobs = sql::hand_back(&mut tx, self.instance).await?;
        sql::leave(&mut tx, self).await?;
        tx.commit().await?;
        Ok(jobs)
    }
}

/// Every host that was heard of in the last day.
///
/// # Errors
/// Not permitted; [`crate::control::db::Error`].
pub async fn hosts(store: &Store, ctx: &Ctx) -> Result<Vec<HostView>, Error> {
    ctx.require(MATRIX, Permission::ManageTraffic, None)?;
    let mut tx = store.db().read().await?;
    let silent = tx.now().await? - SILENT;
    Ok(sql::hosts(&mut tx, ctx.org, silent).await?)
}
