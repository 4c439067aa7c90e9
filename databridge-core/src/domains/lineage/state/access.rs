//! Who may do what, as the source's tables have it.

use serde::Serialize;

use crate::control::ctx::{Ctx, Matrix};
use crate::symbols;
use crate::workflow::Symbol;

symbols! {
    /// What a role may permit.
    pub enum Permission {
        /// See lots, their status history and genealogy.
        ViewLots = "view lots",
        /// Register lots and name their parents.
        CreateLots = "create lots",
        /// Move a lot by hand.
        UpdateLotStatus = "update lot status",
        /// Decide at a gate.
        DecideQc = "make QC decisions",
        /// Create production runs.
        CreateRun = "create production runs",
        /// Advance, skip, hold, resume, end.
        AdvanceStep = "advance steps",
        /// See runs, step executions, gates and flows.
        ViewRuns = "view run step executions",
        /// Write flows, scenarios and drafts of versions.
        DesignFlow = "design flows",
        /// Put a version into force, or out of it.
        ApproveFlow = "approve flow versions",
    }
}

use Permission as P;

/// The source's operation matrix; what it leaves open (who designs flows) goes to
/// those who may approve them. `admin` is the store's own role of that name.
pub const MATRIX: Matrix<Permission> = &[
    (
        "admin",
        &[
            P::ViewLots,
            P::CreateLots,
            P::UpdateLotStatus,
            P::DecideQc,
            P::CreateRun,
            P::AdvanceStep,
            P::ViewRuns,
            P::DesignFlow,
            P::ApproveFlow,
        ],
    ),
    (
        "manager",
        &[
            P::ViewLots,
            P::CreateLots,
            P::UpdateLotStatus,
            P::DecideQc,
            P::CreateRun,
            P::AdvanceStep,
            P::ViewRuns,
            P::DesignFlow,
            P::ApproveFlow,
        ],
    ),
    (
        "operator",
        &[
            P::ViewLots,
            P::CreateLots,
            P::UpdateLotStatus,
            P::DecideQc,
            P::CreateRun,
            P::AdvanceStep,
            P::ViewRuns,
        ],
    ),
    ("auditor", &[P::ViewLots, P::DecideQc, P::ViewRuns]),
    ("viewer", &[P::ViewLots]),
];

symbols! {
    /// A page of the source's console.
    pub enum Page {
        /// Live view of the line.
        Dashboard = "dashboard",
        /// Lot forms, gates, control of production.
        Command = "command",
        /// Audit log and genealogy.
        Validator = "validator",
        /// Lanes and gates of the first flow.
        FirstFlow = "first_flow",
        /// Administration.
        Admin = "admin",
    }
}

symbols! {
    /// What a role does on a page.
    pub enum PageAccess {
        /// It is not shown.
        None = "none",
        /// Looks.
        View = "view",
        /// Looks and acts.
        Interact = "interact",
        /// Everything.
        Full = "full",
    }
}

use PageAccess as A;

/// The source's page matrix; columns in the order of [`Page`].
pub const PAGES: &[(&str, [PageAccess; 5])] = &[
    ("viewer", [A::View, A::None, A::None, A::View, A::None]),
    ("operator", [A::View, A::Interact, A::None, A::Interact, A::None]),
    ("manager", [A::View, A::Interact, A::View, A::Interact, A::None]),
    ("auditor", [A::View, A::None, A::View, A::View, A::None]),
    ("admin", [A::View, A::Interact, A::View, A::Interact, A::Full]),
];

/// What the caller may do here: for programs that show pages and buttons.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Access {
    /// Their roles of this domain.
    pub roles: Vec<&'static str>,
    /// What these permit.
    pub permissions: Vec<Permission>,
    /// How they see each page: the most that any role gives.
    pub pages: std::collections::BTreeMap<&'static str, PageAccess>,
}

/// What `ctx` may do here.
pub fn access(ctx: &Ctx) -> Access {
    let roles: Vec<&'static str> =
        MATRIX.iter().map(|(role, _)| *role).filter(|role| ctx.has_role(role, None)).collect();
    let permissions = P::ALL.iter().copied().filter(|p| ctx.may(MATRIX, *p, None)).collect();
    let most = |i: usize| {
        PAGES
            .iter()
            .filter(|(role, _)| roles.contains(role))
            .filter_map(|(_, cells)| cells.get(i).copied())
            .max()
            .unwrap_or(PageAccess::None)
    };
    let pages = Page::ALL.iter().enumerate().map(|(i, page)| (page.name(), most(i))).collect();
    Access { permissions, pages, roles }
}
