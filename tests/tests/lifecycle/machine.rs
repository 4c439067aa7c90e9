//! The machine by itself, and the schema it is kept in.

use std::collections::BTreeSet;

use databridge_core::app::App;
use databridge_core::base::error::ErrorKind;
use databridge_core::domains::transfer::state::{Action, Guard, MACHINE, State};
use databridge_core::workflow::{Refusal, Symbol};
use databridge_tests::tree::Random;
use proptest::prelude::*;
use serde_json::json;

use crate::lab::{Kind, Lab, PEOPLE, call};
use crate::matrix::{ACTIONS, TABLE, act};

on_both!(
    random_people_never_leave_the_table,
    opening_again_changes_nothing,
    a_store_opened_twice_loses_nothing_to_another_process,
    a_database_of_a_newer_version_is_refused,
);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is tried in whatever order, each step is a row of the table, and a
    /// refusal says what would have been one.
    #[test]
    fn random_actions_never_leave_the_table(
        actions in prop::collection::vec((0..Action::ALL.len(), any::<[bool; 3]>()), 0..200)
    ) {
        let mut state = MACHINE.initial;
        for (action, held) in actions {
            let action = Action::ALL[action];
            let holds = |guard: Guard| held[Guard::ALL.iter().position(|g| *g == guard).unwrap()];
            let rows = || MACHINE.transitions.iter().filter(|r| r.from == state && r.action == action);
            match MACHINE.step(state, action, holds) {
                Ok(row) => {
                    prop_assert!(rows().any(|r| r.to == row.to && r.guard == row.guard));
                    prop_assert!(row.guard.is_none_or(holds));
                    state = row.to;
                }
                Err(Refusal::Illegal { allowed, .. }) => {
                    prop_assert_eq!(rows().count(), 0);
                    // What people can do; what jobs do is no choice.
                    let mut legal: Vec<_> = MACHINE
                        .transitions
                        .iter()
                        .filter(|r| r.from == state && r.permission.is_some())
                        .map(|r| r.action.name())
                        .collect();
                    legal.dedup();
                    prop_assert_eq!(allowed, legal);
                }
                Err(Refusal::Guarded { .. }) => {
                    prop_assert!(rows().all(|r| r.guard.is_some_and(|guard| !holds(guard))));
                    prop_assert!(rows().count() > 0);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

#[test]
fn every_state_is_reached_and_every_action_used() {
    for state in State::ALL {
        let reached = MACHINE.transitions.iter().any(|row| row.to == *state && row.from != *state);
        assert!(reached || *state == MACHINE.initial, "{state} is never reached");
    }
    for action in Action::ALL {
        assert!(MACHINE.transitions.iter().any(|row| row.action == *action), "{action}");
    }
    for state in [State::Recalled, State::Cancelled] {
        assert!(MACHINE.is_final(state), "{state}");
    }
    assert_eq!(State::ALL.iter().filter(|state| MACHINE.is_final(**state)).count(), 2);
    // Without an admin nothing that was not scanned or approved gets out.
    assert!(State::ALL.iter().all(|state| !MACHINE.is_final(*state) || state.is_over()));
    for row in MACHINE.transitions.iter().filter(|row| row.to == State::Preparing) {
        assert!([State::Scanned, State::PrepareFailed].contains(&row.from), "{}", row.from);
    }
}

#[test]
fn the_diagram_has_every_state_and_every_step() {
    let diagram = MACHINE.mermaid();
    assert!(diagram.starts_with("stateDiagram-v2\n"));
    let words: Vec<&str> = diagram.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for state in State::ALL {
        assert!(words.contains(&state.name()), "{state}\n{diagram}");
    }
    assert_eq!(diagram.lines().count(), 2 + MACHINE.transitions.len() + 2);
    assert!(diagram.contains("    recalled --> [*]\n") && diagram.contains("[*] --> draft\n"));
}

/// Where a job may take a transfer by itself.
const BY_ITSELF: &[(&str, &[&str])] = &[
    ("submitting", &["team_lead_review", "submit_failed"]),
    ("scanning", &["undecided", "infected", "rejected", "scan_failed"]),
    ("preparing", &["transferring", "prepare_failed", "rejected"]),
    ("transferring", &["verifying", "transfer_failed", "rejected"]),
    ("verifying", &["delivered", "verify_failed"]),
    ("recalling", &["recalled", "recall_failed"]),
    ("cancelling", &["cancelled", "verifying", "cancel_failed"]),
];

/// Real people on a real store, without sense: whatever moves is in the tables
/// typed by hand, and the ledger stands at the end.
async fn random_people_never_leave_the_table(kind: Kind) {
    let lab = Lab::open(kind).await;
    let seed = 2;
    let mut random = Random::new(seed);
    let mut pick = |count: usize| usize::try_from(random.below(count as u64)).unwrap();
    let mut code = lab.create().await;
    let mut seen = BTreeSet::new();
    for turn in 0..400 {
        let before = lab.state(&code).await;
        seen.insert(before.clone());
        if pick(3) == 0 {
            lab.step().await;
            let after = lab.state(&code).await;
            let fine = BY_ITSELF.iter().any(|(from, to)| *from == before && to.contains(&&*after));
            assert!(fine || after == before, "seed {seed}, turn {turn}: {before} to {after}");
            continue;
        }
        let (mut who, mut role) = PEOPLE[pick(PEOPLE.len())];
        let mut action = ACTIONS[pick(ACTIONS.len())];
        // Half of the time with some sense, or nobody would come far.
        let legal: Vec<_> = TABLE.iter().filter(|row| row.0 == before).collect();
        if pick(2) == 0 && !legal.is_empty() {
            let row = legal[pick(legal.len())];
            action = row.1;
            role = row.2[pick(row.2.len())];
            who = if role == "admin" { "chief" } else { role };
        }
        if action == "cancel" && pick(8) > 0 {
            continue;
        }
        let row = TABLE.iter().find(|row| row.0 == before && row.1 == action);
        let what = format!("seed {seed}, turn {turn}: {who} {action} in {before}");
        let done = act(&lab, who, &code, action).await;
        let after = lab.state(&code).await;
        match (row, done) {
            (Some((_, _, roles, to)), Ok(_)) => {
                assert!(roles.contains(&role), "{what}");
                assert_eq!(after, *to, "{what}");
            }
            (None, Ok(_)) => panic!("{what} was let through"),
            (_, Err(_)) => assert_eq!(after, before, "{what}"),
        }
        if ["cancelled", "recalled"].contains(&&*after) || (after == "delivered" && pick(4) > 0) {
            code = lab.create().await;
        }
    }
    assert!(seen.len() >= 12, "the walk went nowhere: {seen:?}");
    lab.seal().await;
    assert_eq!(lab.ok("chief", "ledger_verify", json!({})).await["findings"], json!([]));
}

async fn opening_again_changes_nothing(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.deliver(&code).await;
    lab.seal().await;
    let before = (lab.show(&code).await, lab.history(&code).await);
    let steps = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
    let applied = lab.sql(steps);
    let again = App::open(lab.app.config().clone()).await.unwrap();
    assert_eq!(again.one_time_password, None);
    assert_eq!(again.app.org(), lab.app.org());
    assert_eq!(lab.sql(steps), applied);
    assert_eq!((lab.show(&code).await, lab.history(&code).await), before);
    let shown = again.app.authenticate("dbk_wrong").await.unwrap_err();
    assert_eq!(shown.kind(), ErrorKind::Unauthenticated);
    assert_eq!(lab.ok("chief", "ledger_verify", json!({})).await["findings"], json!([]));
    again.app.close().await;
}

/// SQLite's locks are the process's: closing any descriptor of the file drops them
/// all, and then another process takes itself for the last user and removes the
/// journal that is being written.
async fn a_store_opened_twice_loses_nothing_to_another_process(kind: Kind) {
    let lab = Lab::open(kind).await;
    let again = App::open(lab.app.config().clone()).await.unwrap();
    let count = "SELECT count(*) FROM transfers";
    assert_eq!(lab.sql(count).trim(), "0");
    lab.create().await;
    assert_eq!(lab.sql(count).trim(), "1", "a commit that was told is not there");
    let seen = again.app.call(lab.who("chief"), call("transfer_list", json!({})), None);
    assert_eq!(seen.await.unwrap().as_array().unwrap().len(), 1);
}

async fn a_database_of_a_newer_version_is_refused(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.sql(
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         SELECT 999999, 'from the future', installed_on, success, checksum, execution_time
         FROM _sqlx_migrations WHERE version = 1001",
    );
    let error = App::open(lab.app.config().clone()).await.unwrap_err();
    assert_eq!(error.code(), "db.migration", "{error:?}");
    assert!(error.chain().contains("999999"), "{error:?}");
    assert!(error.hint().unwrap().contains("newer"));
    assert_eq!(lab.state(&code).await, "draft", "and nothing was changed");
    // A step that was edited after it was applied is refused as well.
    lab.sql("DELETE FROM _sqlx_migrations WHERE version = 999999");
    lab.sql("UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1001) WHERE version = 2001");
    let error = App::open(lab.app.config().clone()).await.unwrap_err();
    assert_eq!(error.code(), "db.migration", "{error:?}");
}
