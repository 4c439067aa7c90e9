//! How many there are.

use crate::base::clock::Timestamp;
use crate::base::id::OrgId;
use crate::control::db::{Error, Tx};
use crate::domains::transfer::state::State;
use crate::params;
use crate::workflow::Symbol;

/// Transfers by state, those at their end aside: these are many and stay. And since
/// when the oldest review has not changed.
pub(crate) async fn count_by_state(
    tx: &mut Tx,
    org: OrgId,
) -> Result<(Vec<(String, i64)>, Option<Timestamp>), Error> {
    let open: Vec<State> = State::ALL.iter().copied().filter(|s| !s.is_over()).collect();
    let mut params = params![org];
    let mut places = Vec::new();
    for state in &open {
        params.push(state.name().into());
        places.push(format!("${}", params.len()));
    }
    let sql = format!(
        "SELECT state, COUNT(*) AS n FROM transfers WHERE org_id = $1 AND state IN ({})
         GROUP BY state",
        places.join(", ")
    );
    let rows = tx.all_built(sql, params).await?;
    let counted: Vec<(String, i64)> = rows
        .iter()
        .map(|row| Ok((row.get("state")?, row.get("n")?)))
        .collect::<Result<_, Error>>()?;
    // A state that is empty by now is told too: its graph would stand still else.
    let of = |state: &State| counted.iter().find(|(name, _)| name == state.name());
    let all = open.iter().map(|s| (s.name().to_owned(), of(s).map_or(0, |(_, n)| *n))).collect();
    let review = tx
        .one(
            "SELECT MIN(updated_at) AS at FROM transfers WHERE org_id = $1 AND state = $2",
            params![org, State::Review.name()],
        )
        .await?;
    Ok((all, review.opt("at")?))
}
