//! A page of transfers. The conditions are put together from constant parts, so that
//! each database sees only those that are asked and walks the index from the page's end.

use super::{Transfer, by_code, transfer};
use crate::base::id::{OrgId, UserId};
use crate::control::ctx::Reach;
use crate::control::db::{Error, Tx, Value};
use crate::domains::transfer::Filter;
use crate::domains::transfer::state::State;
use crate::params;
use crate::workflow::Symbol;

/// What the caller may see.
pub(crate) struct Sight<'a> {
    /// Their own is always theirs to see.
    pub me: UserId,
    /// And that of these projects.
    pub all: Reach,
    /// Only what waits for one of these roles.
    pub decides: Option<Vec<&'a str>>,
    /// The roles of those who are away, whose deputy the caller is: what waits for one of
    /// these is seen besides.
    pub stands_in: Vec<&'a str>,
}

struct Query {
    text: String,
    params: Vec<Value>,
}

impl Query {
    fn place(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    fn places<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> String {
        let places: Vec<String> = values.into_iter().map(|value| self.place(value)).collect();
        places.join(", ")
    }

    fn and(&mut self, clause: &str, value: impl Into<Value>) {
        let place = self.place(value);
        self.text.push_str(" AND ");
        self.text.push_str(&clause.replace('?', &place));
    }
}

/// Newest first.
pub(crate) async fn list(
    tx: &mut Tx,
    org: OrgId,
    sight: &Sight<'_>,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Transfer>, Error> {
    let text = select_transfer!("WHERE t.org_id = $1").to_owned();
    let mut query = Query { text, params: params![org] };
    // `stages` is the chain's, by their order.
    let role = match tx.dialect() {
        crate::control::db::dialect::Dialect::Sqlite => {
            "json_extract(c.stages, '$[' || t.stage || '].role')"
        }
        crate::control::db::dialect::Dialect::Postgres => {
            "c.stages -> CAST(t.stage AS INTEGER) ->> 'role'"
        }
    };
    see(&mut query, sight, role);
    if let Some(roles) = &sight.decides {
        query.and("t.state = ?", State::Review.name());
        let roles = query.places(roles.iter().copied());
        let clause = if roles.is_empty() { "FALSE".into() } else { format!("{role} IN ({roles})") };
        query.text.push_str(&format!(" AND {clause}"));
    }
    if let Some(state) = filter.state {
        query.and("t.state = ?", state.name());
    }
    if let Some(project) = &filter.project {
        query.and("t.project = ?", project);
    }
    if let Some(owner) = &filter.owner {
        query.and("u.username = ?", owner);
    }
    if let Some(text) = &filter.text {
        // What is typed is text, not a pattern.
        let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        let place = query.place(format!("%{}%", escaped.to_lowercase()));
        query.text.push_str(&format!(
            " AND (LOWER(t.title) LIKE {place} ESCAPE '!' OR LOWER(t.code) LIKE {place} ESCAPE '!')"
        ));
    }
    if let Some(since) = filter.since {
        query.and("t.created_at >= ?", since);
    }
    if let Some(until) = filter.until {
        query.and("t.created_at < ?", until);
    }
    if let Some(code) = &filter.after
        && let Some(last) = by_code(tx, org, code).await?
    {
        query.and("t.id < ?", last.id);
    }
    let most = query.place(limit);
    query.text.push_str(&format!(" ORDER BY t.id DESC LIMIT {most}"));
    tx.all_built(query.text, query.params).await?.iter().map(transfer).collect()
}

fn see(query: &mut Query, sight: &Sight<'_>, role: &str) {
    let (projects, not) = match &sight.all {
        Reach::AllBut(none) if none.is_empty() => return,
        Reach::AllBut(projects) => (projects, "NOT "),
        Reach::Only(projects) => (projects, ""),
    };
    let me = query.place(sight.me);
    let seen = match projects.is_empty() {
        true => String::new(),
        false => {
            let places = query.places(projects.iter().map(String::as_str));
            format!(" OR t.project {not}IN ({places})")
        }
    };
    let deputy = match sight.stands_in.is_empty() {
        true => String::new(),
        false => {
            let state = query.place(State::Review.name());
            let roles = query.places(sight.stands_in.iter().copied());
            format!(" OR (t.state = {state} AND {role} IN ({roles}))")
        }
    };
    query.text.push_str(&format!(" AND (t.owner_id = {me}{seen}{deputy})"));
}
