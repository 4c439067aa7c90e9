//! Every command and query, as data: what a shell sends and the store answers.

mod decision;
mod house;
mod lineage;
mod places;
mod query;
mod session;
mod uploads;

pub use decision::Decision;
pub use house::TransferHook;
pub use lineage::*;
pub use places::*;
pub use session::*;
pub use uploads::*;

use query::{flag, number, yes};
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::control::identity::{
    KeyRequest, NewAbsence, NewOrganisation, NewUser, RoleChange, UserChange,
};
use crate::control::jobs;
use crate::domains::lineage::{NewDecision, NewFlow, NewLot, NewRun, Scenario};
use crate::domains::transfer::{Create, NewChain, Priority, RecallRequest};

/// One transfer, by its code.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// `TRF-00042`.
    pub code: String,
}

/// One transfer and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// `TRF-00042`.
    pub code: String,
    /// Up to 2,000 characters; kept and shown.
    pub reason: String,
}

/// What the store is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Call {
    /// Makes a transfer.
    TransferCreate(Create),
    /// Transfers that the caller may see, newest first.
    TransferList {
        /// In this state.
        #[serde(default)]
        state: Option<crate::domains::transfer::state::State>,
        /// Of this project.
        #[serde(default)]
        project: Option<String>,
        /// Of this artist.
        #[serde(default)]
        owner: Option<String>,
        /// Only what waits for the caller's decision.
        #[serde(default, deserialize_with = "flag")]
        waiting_for_me: Option<bool>,
        /// With this in their code or title, in either case.
        #[serde(default)]
        text: Option<String>,
        /// Made then or later.
        #[serde(default)]
        since: Option<Timestamp>,
        /// Made before.
        #[serde(default)]
        until: Option<Timestamp>,
        /// The last code of the page before.
        #[serde(default)]
        after: Option<String>,
        /// 1 to 200; 50 where it is not said.
        #[serde(default, deserialize_with = "number")]
        limit: Option<i64>,
    },
    /// Everything about a transfer.
    TransferShow(Code),
    /// Where it stands, since when, what it waits for, who does what next.
    TransferExplain(Code),
    /// Its files.
    TransferFiles(Code),
    /// Adds what lies below one of the daemon's own roots.
    TransferAdd(AddFrom),
    /// Takes a file out.
    TransferRemoveFile {
        /// The transfer.
        code: String,
        /// The file.
        path: String,
    },
    /// Its uploads in pieces that are not at their end.
    UploadList(Code),
    /// Gives an upload up.
    UploadEnd(UploadName),
    /// Removes unfinished uploads whose time is over.
    UploadCollect(Sweep),
    /// Asks for review.
    TransferSubmit(Code),
    /// Withdraws it.
    TransferCancel {
        /// The transfer.
        code: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What happened to it.
    TransferHistory {
        /// The transfer.
        code: String,
        /// After this position; -1 is from the beginning.
        #[serde(default, deserialize_with = "number")]
        after: Option<i64>,
        /// 1 to 1000.
        #[serde(default, deserialize_with = "number")]
        limit: Option<i64>,
        /// Waits up to so many seconds (at most 60) for an event to come.
        #[serde(default, deserialize_with = "number")]
        wait: Option<u64>,
    },
    /// Its signed receipt.
    TransferReceipt(Code),
    /// Where its files are, as a client's system calls the place.
    TransferWhere(Where),
    /// What one system calls a path of another.
    PathTranslate(PathTranslate),
    /// Takes a wrong delivery out of production.
    TransferRecall(RecallRequest),
    /// The signed statement of a recall.
    TransferRecallReceipt(Code),
    /// What waits for the caller's decision.
    ApprovalsWaiting {},
    /// Agrees, at the current stage.
    Approve {
        /// The transfer.
        code: String,
        /// The manifest digest that was looked at; refused where it is another now.
        #[serde(default)]
        manifest_digest: Option<String>,
        /// A word with it.
        #[serde(default)]
        comment: Option<String>,
    },
    /// Gives it back.
    Reject(Because),
    /// Stands in for the stages that are left.
    OverrideApproval(Because),
    /// Starts the scan.
    Scan(Code),
    /// How far the scan is, and what it came to.
    ScanReport(Code),
    /// The engines of the host that answers, and how old their signatures are.
    ScanEngines {},
    /// Decides on what a scan left open.
    Decide {
        /// The transfer.
        code: String,
        /// What.
        decision: Decision,
        /// Why.
        reason: String,
    },
    /// Starts the way to production.
    Start(Code),
    /// Takes a failed step up again.
    Retry(Code),
    /// Says how urgent a transfer is.
    TransferPriority {
        /// The transfer.
        code: String,
        /// `low`, `normal`, `high` or `urgent`.
        priority: Priority,
    },
    /// Lets the work on a transfer stand still.
    TransferPause {
        /// The transfer.
        code: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Lets it go on.
    TransferResume(Code),
    /// Lets a hook of a transfer run again that was given up.
    HookRetry(TransferHook),
    /// What housekeeping would remove from staging now.
    HousekeepingPlan {},
    /// Removes it.
    HousekeepingRun {},
    /// The limits of bandwidth that were set at run time.
    BandwidthList {},
    /// Limits the copies of a host, or of all.
    BandwidthSet(jobs::SetBandwidth),
    /// Approval chains, every version.
    ChainList {},
    /// Defines a chain or its next version.
    ChainDefine(NewChain),
    /// Registers a lot.
    LotRegister(NewLot),
    /// Registers up to 1,000 lots, all or none.
    LotRegisterAll {
        /// In order: a later one may name an earlier one as its parent.
        lots: Vec<NewLot>,
    },
    /// Lots, newest first.
    LotList(LotList),
    /// Everything about a lot.
    LotShow(LotCode),
    /// What happened to a lot.
    LotHistory(LotHistory),
    /// Links a lot to another parent.
    LotLink(LotLink),
    /// Moves a lot by hand.
    LotMove(LotMove),
    /// What a lot was made from.
    TraceAncestors(Trace),
    /// What was made from a lot.
    TraceDescendants(Trace),
    /// What is touched if a lot is recalled.
    TraceBlast(Trace),
    /// What two lots both come from.
    TraceCommon(TraceCommon),
    /// The shortest way between two lots.
    TracePath(TracePath),
    /// The lots around one, with edges; drawn, where that is asked for.
    TraceGraph(TraceGraph),
    /// Creates a production run.
    RunCreate(NewRun),
    /// Runs, newest first.
    RunList(RunList),
    /// A run with its steps and decisions.
    RunShow(RunCode),
    /// What happened to a run.
    RunHistory(RunHistory),
    /// The next step begins.
    RunAdvance(RunAdvance),
    /// The next step begins, and the one that is left was not done.
    RunSkip(RunSkip),
    /// Ends a run.
    RunEnd(RunCode),
    /// Pauses, resumes, aborts or archives a run.
    RunMove(RunMove),
    /// Decides on a lot at a gate.
    QcDecide(NewDecision),
    /// Gates of published flow versions.
    GateList {
        /// Of this flow.
        #[serde(default)]
        flow: Option<String>,
    },
    /// Decisions at gates, newest first.
    QcList(QcList),
    /// Begins a flow, or the next draft of one.
    FlowDraft(NewFlow),
    /// Every version of every flow.
    FlowList {},
    /// A version with what it says.
    FlowShow(FlowVersion),
    /// Writes a draft anew.
    FlowEdit(FlowEdit),
    /// Asks for review, publishes or deprecates a version.
    FlowMove(FlowMove),
    /// What a reviewer has to say.
    FlowNote(FlowNote),
    /// What changed between two versions.
    FlowDiff(FlowDiff),
    /// Defines a scenario, or its next version.
    ScenarioDefine(Scenario),
    /// Scenarios, every version.
    ScenarioList {},
    /// Lot types, flow and lanes of each line of business.
    ProfileList {},
    /// Writes a profile's scenario and the next draft of its flow.
    ProfileInstall {
        /// `food` or `vfx`.
        name: String,
    },
    /// What the caller may do with lots, runs, gates and flows.
    LineageAccess {},
    /// Everybody.
    UserList {},
    /// Makes somebody known.
    UserCreate(NewUser),
    /// Somebody.
    UserShow {
        /// Who.
        username: String,
    },
    /// Changes what people read of somebody.
    UserChange(UserChange),
    /// Gives or takes a role.
    UserRole(RoleChange),
    /// Lets somebody in, or no longer.
    UserActive {
        /// Who.
        username: String,
        /// Whether.
        active: bool,
    },
    /// Sets somebody's password.
    UserPassword {
        /// Who.
        username: String,
        /// At least 12 characters.
        new_password: String,
    },
    /// Lets somebody try again whom too many failures shut out.
    UserUnlock {
        /// Who.
        username: String,
    },
    /// Says that somebody who reviews is away, and who stands in.
    AbsenceSet(NewAbsence),
    /// Who is or will be away.
    AbsenceList {},
    /// Ends an absence.
    AbsenceEnd {
        /// Which.
        id: uuid::Uuid,
    },
    /// Who the caller is.
    Me {},
    /// Ends the caller's session, or all of theirs.
    Logout(Logout),
    /// Makes a further organisation, on an embedded store.
    OrganisationCreate(NewOrganisation),
    /// Makes an API key.
    KeyCreate(KeyRequest),
    /// API keys.
    KeyList {
        /// Of somebody else.
        #[serde(default)]
        username: Option<String>,
    },
    /// Ends an API key.
    KeyRevoke {
        /// Which.
        name: String,
        /// Of somebody else.
        #[serde(default)]
        username: Option<String>,
    },
    /// What happened, by filters.
    Activity {
        /// To whom or what: a transfer's code, a user's name.
        #[serde(default)]
        subject: Option<String>,
        /// `transfer.approved`, or `transfer` for all of them.
        #[serde(default)]
        kind: Option<String>,
        /// By whom.
        #[serde(default)]
        actor: Option<String>,
        /// Then or later.
        #[serde(default)]
        since: Option<Timestamp>,
        /// Before.
        #[serde(default)]
        until: Option<Timestamp>,
        /// After this position; -1 is from the beginning.
        #[serde(default, deserialize_with = "number")]
        after: Option<i64>,
        /// 1 to 1000.
        #[serde(default, deserialize_with = "number")]
        limit: Option<i64>,
    },
    /// What the caller is to know, newest first.
    NotificationList {
        /// Only what was not read.
        #[serde(default, deserialize_with = "flag")]
        unread: Option<bool>,
        /// Before this position: the last one of the page before.
        #[serde(default, deserialize_with = "number")]
        before: Option<i64>,
        /// 1 to 200; 50 where it is not said.
        #[serde(default, deserialize_with = "number")]
        limit: Option<i64>,
    },
    /// Marks as read what the caller was told, or as unread.
    NotificationRead {
        /// These; all up to the last one that was there where none is named.
        #[serde(default)]
        positions: Vec<i64>,
        /// `false` marks as unread.
        #[serde(default = "yes")]
        read: bool,
    },
    /// Jobs, newest first.
    JobList {
        /// In this state.
        #[serde(default)]
        state: Option<jobs::State>,
        /// 1 to 200.
        #[serde(default, deserialize_with = "number")]
        limit: Option<i64>,
    },
    /// The daemons that share the store.
    HostList {},
    /// Reads the whole ledger and proves it.
    LedgerVerify {
        /// Checkpoints kept elsewhere, as signed notes.
        #[serde(default)]
        checkpoints: Vec<String>,
    },
    /// The RFC 6962 proof that an event is in the ledger.
    LedgerProve {
        /// The event's position.
        #[serde(deserialize_with = "number")]
        position: Option<u64>,
    },
    /// The newest signed checkpoint, and the key that verifies it.
    LedgerCheckpoint {},
    /// The public key that verifies receipts.
    ReceiptKey {},
}

impl Call {
    /// Whether it changes anything: only then an idempotency key counts.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Self::TransferList { .. }
                | Self::TransferShow(_)
                | Self::TransferExplain(_)
                | Self::TransferFiles(_)
                | Self::UploadList(_)
                | Self::TransferHistory { .. }
                | Self::TransferReceipt(_)
                | Self::TransferWhere(_)
                | Self::PathTranslate(_)
                | Self::TransferRecallReceipt(_)
                | Self::ScanReport(_)
                | Self::ScanEngines {}
                | Self::ApprovalsWaiting {}
                | Self::ChainList {}
                | Self::LotList(_)
                | Self::LotShow(_)
                | Self::LotHistory(_)
                | Self::TraceAncestors(_)
                | Self::TraceDescendants(_)
                | Self::TraceBlast(_)
                | Self::TraceCommon(_)
                | Self::TracePath(_)
                | Self::TraceGraph(_)
                | Self::RunList(_)
                | Self::RunShow(_)
                | Self::RunHistory(_)
                | Self::GateList { .. }
                | Self::QcList(_)
                | Self::FlowList {}
                | Self::FlowShow(_)
                | Self::FlowDiff(_)
                | Self::ScenarioList {}
                | Self::ProfileList {}
                | Self::LineageAccess {}
                | Self::UserList {}
                | Self::UserShow { .. }
                | Self::Me {}
                | Self::AbsenceList {}
                | Self::KeyList { .. }
                | Self::Activity { .. }
                | Self::JobList { .. }
                | Self::NotificationList { .. }
                | Self::BandwidthList {}
                | Self::HousekeepingPlan {}
                | Self::HostList {}
                | Self::LedgerVerify { .. }
                | Self::LedgerProve { .. }
                | Self::LedgerCheckpoint {}
                | Self::ReceiptKey {}
        )
    }

    /// Whether it carries a password, of which a plain digest could be guessed.
    pub(super) fn has_secret(&self) -> bool {
        matches!(self, Self::UserCreate(_) | Self::UserPassword { .. })
    }
}
