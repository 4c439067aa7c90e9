//! Taking a wrong delivery back. What was published is never deleted and nothing is
//! overwritten: payload and proof are moved aside, each by one rename, into a folder
//! beside them that only the service may enter, and a signed statement is put there.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::review::reason;
use super::service::visible;
use super::state::Action;
use super::{Error, Service, TransferView, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;

/// That a delivery was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recall {
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When they asked for it.
    pub asked_at: Timestamp,
    /// Whether whatever stood there was to be moved, also where it was not the delivery
    /// any more.
    #[serde(default)]
    pub force: bool,
    /// Whether every file was to be read first.
    #[serde(default)]
    pub digests: bool,
    /// How what stood there differed from what was delivered, where it was moved all the
    /// same; the first hundred differences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// The folder in production where it is kept, once it is there.
    pub place: Option<String>,
    /// When it was out of production.
    pub recalled_at: Option<Timestamp>,
}

/// A delivery to be taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecallRequest {
    /// `TRF-00042`.
    pub code: String,
    /// Up to 2,000 characters; kept and shown.
    pub reason: String,
    /// Moves whatever stands there, also where it is not the delivery any more; the reason
    /// says why.
    #[serde(default)]
    pub force: bool,
    /// Reads every file first; else names, lengths and the folder itself are looked at.
    #[serde(default)]
    pub digests: bool,
}

impl Service {
    /// Takes a wrong delivery back: its artist and whoever approved it are told, and it
    /// is moved aside, if it still is what was delivered. Another may then be delivered
    /// to its path.
    ///
    /// # Errors
    /// [`Error::NoReason`], [`Error::NoRecall`] on an object store, not permitted,
    /// illegal state.
    pub async fn recall(&self, ctx: &Ctx, wish: RecallRequest) -> Result<TransferView, AnyError> {
        let RecallRequest { code, reason: why, force, digests } = wish;
        let why = reason(&code, "recall", &why)?;
        let (mut unit, mut t) = self.begin(ctx, &code, Action::Recall).await?;
        self.step(&mut unit, &mut t, Action::Recall).await?;
        let payload = self.places.payload(&t.path);
        if payload.as_path().is_none() {
            return Err(Error::NoRecall { code: t.code.clone(), url: payload.url() }.into());
        }
        t.recall = Some(Recall {
            by: ctx.actor.username.clone(),
            reason: why.to_owned(),
            asked_at: unit.now(),
            force,
            digests,
            differences: Vec::new(),
            place: None,
            recalled_at: None,
        });
        t.failure = None;
        let data = json!({
            "reason": why, "destination": t.destination, "manifest_digest": t.manifest_digest,
            "force": force, "digests": digests,
        });
        self.done(unit, t, "transfer.recall_requested", data).await
    }

    /// The signed statement of a recall, as it stands beside what was moved aside.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotRecalled`].
    pub async fn recall_receipt(
        &self,
        ctx: &Ctx,
        code: &str,
    ) -> Result<serde_json::Value, AnyError> {
        let mut tx = self.store.db().read().await?;
        let t = visible(ctx, sql::by_code(&mut tx, ctx.org, code).await?, code)?;
        let none = || Error::NotRecalled { code: code.to_owned(), state: t.state_name() };
        let text = sql::recall_receipt(&mut tx, t.id).await?.ok_or_else(none)?;
        serde_json::from_str(&text).map_err(|e| {
            let (column, source) = ("recall_receipt".into(), e.into());
            Error::Db(crate::control::db::Error::Column { column, source }).into()
        })
    }
}
