//! Starting scans, and deciding on what they leave open.

use serde_json::json;
use uuid::Uuid;

use super::review::{off_thread, reason};
use super::state::{Action, MATRIX, Permission};
use super::types::Transfer;
use super::{Error, Service, TransferView, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::media::scan;

impl Service {
    /// Starts the scan of an approved transfer, or another one.
    ///
    /// # Errors
    /// [`Error::ContentChanged`], not permitted, illegal state.
    pub async fn scan(&self, ctx: &Ctx, code: &str) -> Result<TransferView, AnyError> {
        let (mut unit, mut t) = self.begin(ctx, code, Action::Scan).await?;
        self.step(&mut unit, &mut t, Action::Scan).await?;
        self.done(unit, t, "transfer.scan_started", json!({})).await
    }

    /// Lets an undecided scan pass. The reason stands on the receipt.
    ///
    /// # Errors
    /// [`Error::NoReason`], not permitted, illegal state.
    pub async fn accept(&self, ctx: &Ctx, code: &str, why: &str) -> Result<TransferView, AnyError> {
        let why = reason(code, "accept", why)?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Accept).await?;
        self.step(&mut unit, &mut t, Action::Accept).await?;
        let scan = self.current_scan(&mut unit, &t).await?;
        let decision = json!({ "by": ctx.actor.username, "reason": why, "at": unit.now() });
        sql::set_scan_decision(unit.tx(), scan.0, decision).await?;
        let data = json!({ "verdict": scan.1.verdict, "reason": why });
        self.done(unit, t, "transfer.scan_accepted", data).await
    }

    /// Gives an undecided or infected transfer back to its artist.
    ///
    /// # Errors
    /// [`Error::NoReason`], not permitted, illegal state.
    pub async fn send_back(
        &self,
        ctx: &Ctx,
        code: &str,
        why: &str,
    ) -> Result<TransferView, AnyError> {
        let why = reason(code, "send back", why)?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::SendBack).await?;
        self.step(&mut unit, &mut t, Action::SendBack).await?;
        t.reason = Some(why.to_owned());
        self.done(unit, t, "transfer.sent_back", json!({ "reason": why })).await
    }

    /// Declares a finding wrong: the files come back out of quarantine and the scan
    /// is made again, in which what was released passes.
    ///
    /// # Errors
    /// [`Error::NoReason`], not permitted, illegal state.
    pub async fn release(
        &self,
        ctx: &Ctx,
        code: &str,
        why: &str,
    ) -> Result<TransferView, AnyError> {
        let why = reason(code, "release", why)?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Release).await?;
        self.step(&mut unit, &mut t, Action::Release).await?;
        self.keep_override(&mut unit, &t, "infection", why).await?;
        let files = self.quarantined(&mut unit, t.id, t.revision).await?;
        let data = json!({ "what": "infection", "reason": why, "files": files });
        self.done(unit, t, "transfer.overridden", data).await
    }

    /// Goes on without a scan.
    ///
    /// # Errors
    /// [`Error::NoReason`], [`Error::ContentChanged`], not permitted, illegal state.
    pub async fn override_scan(
        &self,
        ctx: &Ctx,
        code: &str,
        why: &str,
    ) -> Result<TransferView, AnyError> {
        let why = reason(code, "override the scan of", why)?;
        self.check_unchanged(ctx, code, Action::OverrideScan).await?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::OverrideScan).await?;
        self.step(&mut unit, &mut t, Action::OverrideScan).await?;
        self.keep_override(&mut unit, &t, "scan", why).await?;
        t.failure = None;
        self.done(unit, t, "transfer.overridden", json!({ "what": "scan", "reason": why })).await
    }

    /// The engines of this host, and how old their signatures are: what `/metrics`
    /// and people watch.
    ///
    /// # Errors
    /// Not permitted, [`scan::Error`].
    pub async fn engines(&self, ctx: &Ctx) -> Result<Vec<scan::Standing>, AnyError> {
        ctx.require(MATRIX, Permission::ViewAll, None)?;
        let policy = self.policy.clone();
        off_thread(move || Ok(scan::Engines::open(&policy.scan)?.standing()?)).await
    }

    async fn current_scan(
        &self,
        unit: &mut Unit,
        t: &Transfer,
    ) -> Result<(Uuid, scan::Report), AnyError> {
        let scan = sql::last_scan(unit.tx(), t.id, t.revision)
            .await?
            .ok_or(crate::control::db::Error::NoRow)?;
        Ok((scan.id, read_report(scan.report)?))
    }

    /// The files of a revision that its last scan found infected.
    pub(super) async fn quarantined(
        &self,
        unit: &mut Unit,
        transfer: Uuid,
        revision: i64,
    ) -> Result<Vec<String>, AnyError> {
        match sql::last_scan(unit.tx(), transfer, revision).await? {
            None => Ok(Vec::new()),
            Some(scan) => {
                let report = read_report(scan.report)?;
                let files = report.files.iter().filter(|f| f.verdict.is_infected());
                Ok(files.map(|f| f.path.to_string()).collect())
            }
        }
    }
}

/// A report as it was stored.
pub(super) fn read_report(json: serde_json::Value) -> Result<scan::Report, Error> {
    serde_json::from_value(json).map_err(|e| {
        Error::Db(crate::control::db::Error::Column { column: "report".into(), source: e.into() })
    })
}
