//! Starting the way to production.

use serde_json::json;

use super::state::Action;
use super::{Service, TransferView};
use crate::base::error::Error as AnyError;
use crate::control::ctx::Ctx;

impl Service {
    /// Starts the way to production: prepared, written, read back, published.
    ///
    /// # Errors
    /// [`super::Error::ContentChanged`], not permitted, illegal state.
    pub async fn start(&self, ctx: &Ctx, code: &str) -> Result<TransferView, AnyError> {
        self.check_unchanged(ctx, code, Action::Start).await?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Start).await?;
        self.step(&mut unit, &mut t, Action::Start).await?;
        self.done(unit, t, "transfer.started", json!({})).await
    }
}
