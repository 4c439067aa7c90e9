//! Room in staging and production: looked at when a transfer is submitted, long before
//! it is copied. The copy looks again, and does not begin where it would not fit.

use std::path::PathBuf;

use super::service::{authorise, visible};
use super::state::{Action, MACHINE, State};
use super::types::Transfer;
use super::{Error, Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;
use crate::control::looks;
use crate::media::storage::Space;

/// What is to stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserve {
    /// Of production, in bytes.
    pub production_bytes: u64,
    /// Of staging, in bytes.
    pub staging_bytes: u64,
    /// Whether this host has production at all: else its workers look.
    pub sees_production: bool,
}

/// What is asked of one file system.
struct Demand {
    /// What people call it.
    name: &'static str,
    root: PathBuf,
    path: PathBuf,
    needed_bytes: u64,
    reserve_bytes: u64,
    /// Whether bytes count only where no two files can share them.
    is_within: bool,
}

impl Demand {
    /// Why it cannot be met; nothing where the file system does not say.
    fn shortage(&self) -> Option<Error> {
        let space = Space::nearest(&self.root, &self.path).ok()?;
        let counts = !self.is_within || space.copies_take_room;
        let needed_bytes = if counts { self.needed_bytes } else { 0 };
        let wanted = needed_bytes.saturating_add(self.reserve_bytes);
        (wanted > space.free_bytes).then(|| Error::InsufficientSpace {
            place: self.name.to_owned(),
            needed_bytes,
            free_bytes: space.free_bytes,
            reserve_bytes: self.reserve_bytes,
        })
    }
}

impl Service {
    /// Refuses to submit what would not fit as things are.
    ///
    /// # Errors
    /// [`Error::InsufficientSpace`], not permitted.
    pub(super) async fn check_room(&self, ctx: &Ctx, code: &str) -> Result<(), AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        authorise(ctx, &t, Action::Submit)?;
        // Where the step is not legal, the command itself says so.
        if !MACHINE.actions(t.state).contains(&Action::Submit) {
            return Ok(());
        }
        let (_, bytes) = sql::totals(&mut tx, t.id, t.revision).await?;
        drop(tx);
        let demands = self.staging_demand(bytes).into_iter().chain(self.demand(&t, bytes));
        match look(demands.collect()).await {
            Some(shortage) => Err(shortage.into()),
            None => Ok(()),
        }
    }

    /// What is the matter with a transfer that waits on its way to production: that it
    /// would not fit.
    pub(super) async fn shortage(&self, t: &Transfer, bytes: u64) -> Option<String> {
        let is_on_its_way = matches!(
            t.state,
            State::Uploading
                | State::Review
                | State::Approved
                | State::Scanning
                | State::Undecided
                | State::Scanned
                | State::Preparing
                | State::PrepareFailed
        );
        if !is_on_its_way {
            return None;
        }
        look(self.demand(t, bytes).into_iter().collect()).await.map(|short| short.to_string())
    }

    fn demand(&self, t: &Transfer, bytes: u64) -> Option<Demand> {
        let root = self.places.production.as_path()?;
        let payload = self.places.payload(&t.path);
        self.policy.reserve.sees_production.then(|| Demand {
            name: "production",
            root: root.to_owned(),
            path: payload.as_path().unwrap_or(root).to_owned(),
            needed_bytes: bytes,
            reserve_bytes: self.policy.reserve.production_bytes,
            is_within: false,
        })
    }

    /// Freezing copies what was uploaded, unless the two can share it.
    fn staging_demand(&self, bytes: u64) -> Option<Demand> {
        Some(Demand {
            name: "staging",
            root: self.places.staging.clone(),
            path: self.places.staging.clone(),
            needed_bytes: bytes,
            reserve_bytes: self.policy.reserve.staging_bytes,
            is_within: true,
        })
    }
}

/// The first shortage, as far as the file systems tell in time.
async fn look(demands: Vec<Demand>) -> Option<Error> {
    for demand in demands {
        let root = demand.root.clone();
        if let Some(Some(shortage)) = looks::at(&root, move || demand.shortage()).await {
            return Some(shortage);
        }
    }
    None
}
