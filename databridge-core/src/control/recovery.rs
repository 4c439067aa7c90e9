//! A store that was put back to an earlier time. The world around it was not: numbers
//! were told, sessions ended and jobs taken up that it knows nothing of.

mod sql;

use crate::base::clock::Timestamp;
use crate::base::error::Error;
use crate::control::commands::Unit;
use crate::control::db::backup;
use crate::control::ledger::{self, Subject};

/// Codes that are left out: none that people were told since is given to another thing.
pub const NUMBERS: i64 = 1000;
/// By how much leases and fences are raised: whoever held a later one is behind.
pub const EPOCHS: i64 = 1_000_000;
/// By what code the store's own events are found.
pub const SUBJECT: &str = "store";

/// Makes it safe to go on with, and records that it was put back, by the name `aside` of
/// where what stood there was laid: no other restore has it.
///
/// Every session is ended: one that was revoked since would hold again. Jobs in hand
/// are free at once, under an epoch that no worker of the time since has.
///
/// # Errors
/// [`crate::control::db::Error`].
pub async fn leap(unit: &mut Unit, taken_at: Timestamp, aside: &str) -> Result<(), Error> {
    let now = unit.now();
    sql::skip_numbers(unit.tx(), NUMBERS).await?;
    sql::end_sessions(unit.tx(), now).await?;
    sql::free_jobs(unit.tx(), EPOCHS, now).await?;
    sql::forget_hosts(unit.tx()).await?;
    // From here on it is a store again.
    backup::restored(unit.tx()).await?;
    let events = ledger::size(unit.tx()).await?;
    let subject = Subject { kind: "store".into(), id: unit.org().0, code: SUBJECT.into() };
    unit.record(
        &subject,
        "store.restored",
        serde_json::json!({ "taken_at": taken_at, "events": events, "aside": aside }),
    );
    Ok(())
}
