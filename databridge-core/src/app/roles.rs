//! Who may do what, of every domain together: the one table that pages and checks read.

use crate::control::ctx::Matrix;
use crate::control::identity;
use crate::domains::{lineage, transfer};
use crate::workflow::Symbol;

/// The seven roles of the source document, in its order.
pub const SOURCE: [&str; 7] =
    ["artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team", "admin"];

/// One thing that can be permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The part of DataBridge that asks for it.
    pub area: &'static str,
    /// What it permits.
    pub permission: &'static str,
    /// Whoever has it, in the order of [`all`].
    pub roles: Vec<&'static str>,
}

/// Every role that some domain knows, the source's first.
pub fn all() -> Vec<&'static str> {
    let mut roles = SOURCE.to_vec();
    let lineage = lineage::state::MATRIX.iter().map(|(role, _)| *role);
    for role in transfer::state::MATRIX.iter().map(|(role, _)| *role).chain(lineage) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles
}

fn rights<P: Symbol>(area: &'static str, matrix: Matrix<P>, rights: &mut Vec<Right>) {
    for permission in P::ALL {
        let has = |role: &&str| {
            matrix.iter().any(|(name, granted)| name == role && granted.contains(permission))
        };
        let roles = all().into_iter().filter(has).collect();
        rights.push(Right { area, permission: permission.name(), roles });
    }
}

/// Everything that can be permitted, and whoever has it.
pub fn table() -> Vec<Right> {
    let mut found = Vec::new();
    rights("transfer", transfer::state::MATRIX, &mut found);
    rights("lineage", lineage::state::MATRIX, &mut found);
    rights("store", identity::MATRIX, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Typed by hand from the source document's table of roles.
    const TYPED: [(&str, &[&str]); 7] = [
        ("create transfers", &["artist", "admin"]),
        ("review transfers", &["team_lead", "supervisor", "line_producer"]),
        ("scan transfers", &["data_team", "admin"]),
        ("execute transfers", &["it_team", "admin"]),
        (
            "view all transfers",
            &["team_lead", "supervisor", "line_producer", "data_team", "it_team", "admin"],
        ),
        ("override approvals", &["admin"]),
        ("manage users", &["admin"]),
    ];

    #[test]
    fn the_seven_roles_have_what_the_source_gives_them() {
        let table = table();
        for (permission, roles) in TYPED {
            let found: Vec<_> = table.iter().filter(|r| r.permission == permission).collect();
            assert_eq!(found.len(), 1, "{permission}");
            assert_eq!(found[0].roles, roles, "{permission}");
        }
    }
}
