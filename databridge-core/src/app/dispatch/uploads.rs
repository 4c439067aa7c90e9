//! Calls on uploads that come in pieces.

use std::ops::ControlFlow::{Break, Continue};

use super::super::{App, Call};
use super::{Told, json};
use crate::control::ctx::Ctx;

impl App {
    pub(super) async fn answer_uploads(&self, ctx: &Ctx, call: Call) -> Told {
        let t = &self.transfers;
        let answer = match call {
            Call::TransferAdd(add) => json(t.add_from(ctx, &add.code, &add.from).await?),
            Call::UploadList(c) => json(t.uploads(ctx, &c.code).await?),
            Call::UploadEnd(u) => json(t.end_upload(ctx, &u.code, u.id).await?),
            Call::UploadCollect(s) => json(t.collect_uploads(ctx, s.dry_run).await?),
            other => return Ok(Continue(other)),
        };
        answer.map(Break)
    }
}
