//! Calls on uploads that come in pieces.

use serde_json::Value;

use super::super::{App, Call};
use super::json;
use crate::base::error::Error;
use crate::control::ctx::Ctx;

impl App {
    pub(super) async fn answer_uploads(&self, ctx: &Ctx, call: Call) -> Result<Value, Error> {
        let t = &self.transfers;
        match call {
            Call::UploadList(c) => json(t.uploads(ctx, &c.code).await?),
            Call::UploadEnd(u) => json(t.end_upload(ctx, &u.code, u.id).await?),
            Call::UploadCollect(s) => json(t.collect_uploads(ctx, s.dry_run).await?),
            other => self.answer_lineage(ctx, other).await,
        }
    }
}
