//! Which events, by what is asked of them.

use super::Error;
use super::sql::{self, Page};
use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::Tx;

/// What is asked; what is not said is all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// To whom or what, by its code.
    pub subject: Option<String>,
    /// The kind, or its first part.
    pub kind: Option<String>,
    /// By whom.
    pub actor: Option<String>,
    /// Then or later.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// Sealed events of an organisation after a position, oldest first.
///
/// # Errors
/// [`Error::Db`].
pub async fn search(
    tx: &mut Tx,
    org: OrgId,
    filter: &Filter,
    after: i64,
    limit: i64,
) -> Result<Vec<Page>, Error> {
    sql::search(tx, org, filter, after, limit).await
}
