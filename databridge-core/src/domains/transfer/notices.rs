//! Who is to know what happened to a transfer: its artist of what others did, and those
//! whose turn it is now.

use std::collections::BTreeMap;
use std::pin::Pin;

use super::state::{MATRIX, Permission, State};
use super::{Service, sql};
use crate::base::error::Error as AnyError;
use crate::base::id::UserId;
use crate::control::commands::Unit;
use crate::control::identity;
use crate::control::inbox::Rule;
use crate::control::ledger::Event;

/// What its artist is told of.
const TOLD: &[&str] = &[
    "transfer.approved",
    "transfer.rejected",
    "transfer.voided",
    "transfer.overridden",
    "transfer.infected",
    "transfer.sent_back",
    "transfer.failed",
    "transfer.cancelled",
    "transfer.paused",
    "transfer.delivered",
    "transfer.recall_requested",
    "transfer.recalled",
];
/// What is to know of it besides whoever approved the revision.
const UNDONE: &[&str] = &["transfer.recall_requested", "transfer.recalled"];

type Concerned<'a> =
    Pin<Box<dyn Future<Output = Result<BTreeMap<UserId, &'static str>, AnyError>> + Send + 'a>>;

impl Rule for Service {
    fn concerns<'a>(&'a self, unit: &'a mut Unit, event: &'a Event) -> Concerned<'a> {
        Box::pin(async move {
            let mut concerned = BTreeMap::new();
            if event.subject.kind != "transfer" {
                return Ok(concerned);
            }
            let org = unit.org();
            let Some(t) = sql::by_id(unit.tx(), org, event.subject.id).await? else {
                return Ok(concerned);
            };
            let failed = event.kind.ends_with("_failed");
            if (TOLD.contains(&event.kind.as_str()) || failed) && event.by.username != t.owner {
                concerned.insert(t.owner_id, "yours");
            }
            if UNDONE.contains(&event.kind.as_str()) {
                for (user, approval) in sql::approvals(unit.tx(), t.id).await? {
                    let approved =
                        approval.revision == t.revision && approval.decision == "approve";
                    if approved && user != t.owner_id && event.by.username != approval.username {
                        concerned.insert(user, "approved");
                    }
                }
            }
            if event.kind == "transfer.hook_given_up" {
                for role in having(Permission::Transfer) {
                    for user in identity::who_has(unit.tx(), org, role, &t.project).await? {
                        concerned.entry(user).or_insert("your_turn");
                    }
                }
            }
            // Only where it still stands as the event left it: a reader who comes late
            // tells nobody to do what is done.
            if event.data["state"] != t.state_name() {
                return Ok(concerned);
            }
            let roles: Vec<&str> = match (t.stage(), t.state) {
                (Some(stage), _) => vec![stage.role.as_str()],
                (
                    None,
                    State::Approved | State::Undecided | State::Infected | State::ScanFailed,
                ) => having(Permission::Scan),
                (
                    None,
                    State::Scanned
                    | State::PrepareFailed
                    | State::TransferFailed
                    | State::VerifyFailed
                    | State::RecallFailed
                    | State::CancelFailed,
                ) => having(Permission::Transfer),
                _ => Vec::new(),
            };
            for role in roles {
                for user in identity::who_has(unit.tx(), org, role, &t.project).await? {
                    if user != t.owner_id {
                        concerned.entry(user).or_insert("your_turn");
                    }
                }
            }
            Ok(concerned)
        })
    }
}

/// The roles whose work it is; an admin may do it all and is not told of each.
fn having(permission: Permission) -> Vec<&'static str> {
    MATRIX
        .iter()
        .filter(|(role, granted)| *role != "admin" && granted.contains(&permission))
        .map(|(role, _)| *role)
        .collect()
}
