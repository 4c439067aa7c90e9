//! The lives of lots, runs and flow versions, as the source's tables have them.

mod access;

pub use access::{Access, MATRIX, PAGES, Page, PageAccess, Permission, access};

use crate::symbols;
use crate::workflow::{Machine, Transition};

/// The first and the last step of the canonical flow.
pub const FIRST_STEP: i64 = 0;
/// See [`FIRST_STEP`].
pub const LAST_STEP: i64 = 10;

symbols! {
    /// Where a lot stands.
    pub enum LotStatus {
        /// Just registered.
        Created = "CREATED",
        /// Awaits its quality check.
        Quarantine = "QUARANTINE",
        /// Approved, ready for use.
        Released = "RELEASED",
        /// Blocked until somebody has looked into it.
        Hold = "HOLD",
        /// Failed.
        Rejected = "REJECTED",
        /// Used downstream.
        Consumed = "CONSUMED",
        /// Production is complete.
        Finished = "FINISHED",
    }
}

symbols! {
    /// What moves a lot; each action leads to one status only.
    pub enum LotAction {
        /// Being registered: no lot comes back to that.
        Create = "create",
        /// Sets it aside for its check.
        Quarantine = "quarantine",
        /// Lets it be used.
        Release = "release",
        /// Blocks it.
        Hold = "hold",
        /// Refuses it for good.
        Reject = "reject",
        /// Says that it was used.
        Consume = "consume",
        /// Says that production is complete.
        Finish = "finish",
    }
}

impl LotStatus {
    /// The action that leads there.
    pub const fn action(self) -> LotAction {
        match self {
            Self::Created => LotAction::Create,
            Self::Quarantine => LotAction::Quarantine,
            Self::Released => LotAction::Release,
            Self::Hold => LotAction::Hold,
            Self::Rejected => LotAction::Reject,
            Self::Consumed => LotAction::Consume,
            Self::Finished => LotAction::Finish,
        }
    }
}

symbols! {
    /// What must hold besides.
    pub enum Guard {
        /// Leaving HOLD.
        Resolved = "a note says how the hold was resolved",
    }
}

symbols! {
    /// Where a run stands.
    pub enum RunStatus {
        /// Created, not started.
        Idle = "IDLE",
        /// Being executed.
        Running = "RUNNING",
        /// Paused: a failed control point, a shortage.
        Hold = "HOLD",
        /// Every step is done or skipped.
        Completed = "COMPLETED",
        /// Ended early.
        Aborted = "ABORTED",
        /// Out of the active views.
        Archived = "ARCHIVED",
    }
}

symbols! {
    /// What moves a run.
    pub enum RunAction {
        /// The first step begins.
        Start = "start",
        /// The next step begins.
        Advance = "advance",
        /// A step is passed over.
        Skip = "skip",
        /// Pauses it.
        Hold = "hold",
        /// Goes on.
        Resume = "resume",
        /// Ends it; what is not done is skipped.
        End = "end",
        /// Ends it early.
        Abort = "abort",
        /// Puts it away.
        Archive = "archive",
    }
}

symbols! {
    /// Where one step of one run stands.
    pub enum StepStatus {
        /// Not begun.
        Pending = "PENDING",
        /// Being executed.
        InProgress = "IN_PROGRESS",
        /// Done.
        Completed = "COMPLETED",
        /// Passed over.
        Skipped = "SKIPPED",
    }
}

symbols! {
    /// What is decided at a gate.
    pub enum Decision {
        /// Good: the lot is released.
        Pass = "PASS",
        /// In doubt: the lot is held.
        Hold = "HOLD",
        /// Bad: the lot is rejected.
        Fail = "FAIL",
    }
}

impl Decision {
    /// What the system then does with the lot.
    pub const fn action(self) -> LotAction {
        match self {
            Self::Pass => LotAction::Release,
            Self::Hold => LotAction::Hold,
            Self::Fail => LotAction::Reject,
        }
    }
}

symbols! {
    /// Where a version of a flow stands.
    pub enum VersionStatus {
        /// Being written.
        Draft = "DRAFT",
        /// Being looked at by somebody else.
        Review = "REVIEW",
        /// In force; nothing of it changes any more.
        Published = "PUBLISHED",
        /// Replaced or given up.
        Deprecated = "DEPRECATED",
    }
}

symbols! {
    /// What moves a version.
    pub enum VersionAction {
        /// Asks for review.
        RequestReview = "request review",
        /// A reviewer who is not its author puts it into force.
        Publish = "publish",
        /// Takes it out of use.
        Deprecate = "deprecate",
    }
}

use Permission as P;

type Row<S, A> = Transition<S, A, Guard, Permission>;

const fn row<S: Copy, A: Copy>(from: S, action: A, to: S, by: Permission) -> Row<S, A> {
    Row { from, action, to, permission: Some(by), guard: None, work: None }
}

impl<S, A> Row<S, A> {
    const fn resolved(mut self) -> Self {
        self.guard = Some(Guard::Resolved);
        self
    }
}

use LotAction as L;
use LotStatus as LS;

/// A lot's life. The prose "Any → HOLD" does not hold for CONSUMED: the table rules.
pub const LOTS: Machine<LotStatus, LotAction, Guard, Permission> = Machine {
    subject: "lot",
    initial: LS::Created,
    transitions: &[
        row(LS::Created, L::Quarantine, LS::Quarantine, P::UpdateLotStatus),
        row(LS::Created, L::Hold, LS::Hold, P::UpdateLotStatus),
        row(LS::Quarantine, L::Release, LS::Released, P::UpdateLotStatus),
        row(LS::Quarantine, L::Reject, LS::Rejected, P::UpdateLotStatus),
        row(LS::Quarantine, L::Hold, LS::Hold, P::UpdateLotStatus),
        row(LS::Released, L::Consume, LS::Consumed, P::UpdateLotStatus),
        row(LS::Released, L::Hold, LS::Hold, P::UpdateLotStatus),
        row(LS::Released, L::Reject, LS::Rejected, P::UpdateLotStatus),
        row(LS::Consumed, L::Finish, LS::Finished, P::UpdateLotStatus),
        row(LS::Hold, L::Release, LS::Released, P::UpdateLotStatus).resolved(),
        row(LS::Hold, L::Reject, LS::Rejected, P::UpdateLotStatus).resolved(),
    ],
};

use RunAction as R;
use RunStatus as RS;

/// A run's life.
pub const RUNS: Machine<RunStatus, RunAction, Guard, Permission> = Machine {
    subject: "run",
    initial: RS::Idle,
    transitions: &[
        row(RS::Idle, R::Start, RS::Running, P::AdvanceStep),
        row(RS::Idle, R::Abort, RS::Aborted, P::AdvanceStep),
        row(RS::Running, R::Advance, RS::Running, P::AdvanceStep),
        row(RS::Running, R::Skip, RS::Running, P::AdvanceStep),
        row(RS::Running, R::End, RS::Completed, P::AdvanceStep),
        row(RS::Running, R::Hold, RS::Hold, P::AdvanceStep),
        row(RS::Running, R::Abort, RS::Aborted, P::AdvanceStep),
        row(RS::Hold, R::Resume, RS::Running, P::AdvanceStep),
        row(RS::Hold, R::Abort, RS::Aborted, P::AdvanceStep),
        row(RS::Completed, R::Archive, RS::Archived, P::AdvanceStep),
    ],
};

use VersionAction as V;
use VersionStatus as VS;

/// A flow version's life.
pub const VERSIONS: Machine<VersionStatus, VersionAction, Guard, Permission> = Machine {
    subject: "flow version",
    initial: VS::Draft,
    transitions: &[
        row(VS::Draft, V::RequestReview, VS::Review, P::DesignFlow),
        row(VS::Draft, V::Deprecate, VS::Deprecated, P::DesignFlow),
        row(VS::Review, V::Publish, VS::Published, P::ApproveFlow),
        row(VS::Review, V::Deprecate, VS::Deprecated, P::ApproveFlow),
        row(VS::Published, V::Deprecate, VS::Deprecated, P::ApproveFlow),
    ],
};
