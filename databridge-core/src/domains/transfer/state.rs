//! The life of a transfer, and who may move it.

use crate::control::ctx::Matrix;
use crate::symbols;
use crate::workflow::{Machine, Symbol, Transition};

symbols! {
    /// Where a transfer stands.
    pub enum State {
        /// Created, nothing in it yet.
        Draft = "draft",
        /// Its artist adds and removes files.
        Uploading = "uploading",
        /// The files are being frozen: copied into a tree of the service's own.
        Submitting = "submitting",
        /// They could not be frozen.
        SubmitFailed = "submit_failed",
        /// One stage of its approval chain looks at it.
        Review = "review",
        /// Every stage agreed.
        Approved = "approved",
        /// Every byte is being scanned and hashed.
        Scanning = "scanning",
        /// The scan could not be carried out.
        ScanFailed = "scan_failed",
        /// The scan ended without a verdict that passes by itself.
        Undecided = "undecided",
        /// Malware was found and put in quarantine.
        Infected = "infected",
        /// Clean, or let through on record.
        Scanned = "scanned",
        /// A place in production is being made ready.
        Preparing = "preparing",
        /// It could not be.
        PrepareFailed = "prepare_failed",
        /// The bytes are on their way.
        Transferring = "transferring",
        /// They did not all arrive.
        TransferFailed = "transfer_failed",
        /// Every byte is read back from production.
        Verifying = "verifying",
        /// What was read back is not what was approved, or could not be published.
        VerifyFailed = "verify_failed",
        /// In production, with its proof beside it.
        Delivered = "delivered",
        /// Being taken out of production again.
        Recalling = "recalling",
        /// It could not be.
        RecallFailed = "recall_failed",
        /// Moved aside, out of everybody's way.
        Recalled = "recalled",
        /// Back with its artist.
        Rejected = "rejected",
        /// Being withdrawn from production's side.
        Cancelling = "cancelling",
        /// It could not be withdrawn.
        CancelFailed = "cancel_failed",
        /// Withdrawn for good.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Whether nothing moves unless a person or nobody moves it.
    pub const fn rests(self) -> bool {
        !matches!(
            self,
            Self::Submitting
                | Self::Scanning
                | Self::Preparing
                | Self::Transferring
                | Self::Verifying
                | Self::Recalling
                | Self::Cancelling
        )
    }

    /// Whether nothing more is to come of it by itself or by anybody's duty.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Delivered | Self::Recalled | Self::Cancelled)
    }

    /// Whether its work may be paused: what takes something back may not.
    pub const fn is_directed(self) -> bool {
        !matches!(self, Self::Cancelling | Self::Recalling)
    }

    /// As [`State::rests`], of a state as it is shown; a review's stage rests.
    pub fn shown_rests(shown: &str) -> bool {
        Self::parse(shown).is_none_or(Self::rests)
    }
}

symbols! {
    /// What moves a transfer.
    pub enum Action {
        /// Adds or removes a file.
        Upload = "upload",
        /// Asks for review.
        Submit = "submit",
        /// The files are frozen.
        Frozen = "frozen",
        /// The reviewer agrees.
        Approve = "approve",
        /// The reviewer does not.
        Reject = "reject",
        /// An admin stands in for the stages that are left.
        Override = "override",
        /// The frozen files are not those that were approved.
        Void = "void",
        /// Starts the scan.
        Scan = "scan",
        /// Nothing was found by an engine that may say so.
        Pass = "pass",
        /// No verdict that passes by itself.
        Hold = "hold",
        /// Malware was found.
        Infect = "infect",
        /// Lets an undecided scan pass, with a reason.
        Accept = "accept",
        /// Gives it back to its artist, with a reason.
        SendBack = "send_back",
        /// An admin declares the finding wrong, with a reason.
        Release = "release",
        /// An admin goes on without a scan, with a reason.
        OverrideScan = "override_scan",
        /// Starts the way to production.
        Start = "start",
        /// The place is ready.
        Prepared = "prepared",
        /// The bytes are written.
        Copied = "copied",
        /// Published, and the receipt is signed.
        Deliver = "deliver",
        /// Takes a wrong delivery back, with a reason.
        Recall = "recall",
        /// It is out of production.
        MovedAside = "moved_aside",
        /// A step's job was given up.
        Fail = "fail",
        /// Takes a failed step up again.
        Retry = "retry",
        /// Withdraws it.
        Cancel = "cancel",
        /// Nothing of it is left in production.
        Aborted = "aborted",
        /// The withdrawal came too late.
        TooLate = "too_late",
    }
}

symbols! {
    /// What must hold besides.
    pub enum Guard {
        /// There is something in it.
        HasFiles = "it has files",
        /// The chain goes on.
        StagesLeft = "a further stage follows",
        /// This was the chain's end.
        LastStage = "this is the last stage",
    }
}

symbols! {
    /// What a role may permit.
    pub enum Permission {
        /// Create transfers, upload files to one's own, submit them.
        Create = "create transfers",
        /// Approve or reject at a stage of one's role.
        Review = "review transfers",
        /// Start scans, decide on what they leave open.
        Scan = "scan transfers",
        /// Carry approved and scanned transfers to production.
        Transfer = "execute transfers",
        /// See transfers of others.
        ViewAll = "view all transfers",
        /// Take a wrong delivery out of production.
        Recall = "recall deliveries",
        /// Withdraw a transfer: one's own, or any.
        Cancel = "cancel transfers",
        /// Stand in for an approval or a scan, on record.
        Override = "override approvals",
        /// Define approval chains.
        ManageChains = "manage approval chains",
    }
}

use Permission as P;

/// The capability table of the source document. `Create` and `Cancel` reach only
/// one's own transfers, unless `Override` comes with the one, `Transfer` with the other.
pub const MATRIX: Matrix<Permission> = &[
    ("artist", &[P::Create, P::Cancel]),
    ("team_lead", &[P::Review, P::ViewAll]),
    ("supervisor", &[P::Review, P::ViewAll]),
    ("line_producer", &[P::Review, P::ViewAll]),
    ("data_team", &[P::Scan, P::ViewAll]),
    ("it_team", &[P::Transfer, P::Recall, P::Cancel, P::ViewAll]),
    (
        "admin",
        &[
            P::Create,
            P::Scan,
            P::Transfer,
            P::Recall,
            P::ViewAll,
            P::Cancel,
            P::Override,
            P::ManageChains,
        ],
    ),
];

/// Kinds of job.
pub mod work {
    /// Takes in what lies on a mount.
    pub const TAKE_IN: &str = "transfer.take_in";
    /// Copies the uploads into the frozen tree.
    pub const FREEZE: &str = "transfer.freeze";
    /// Scans and hashes the frozen tree.
    pub const SCAN: &str = "transfer.scan";
    /// Makes the place in production ready.
    pub const PREPARE: &str = "transfer.prepare";
    /// Writes into production's hidden partial folder.
    pub const COPY: &str = "transfer.copy";
    /// Reads back, signs, publishes.
    pub const VERIFY: &str = "transfer.verify";
    /// Takes a cancelled transfer out of production.
    pub const ABORT: &str = "transfer.abort";
    /// Moves a delivery aside.
    pub const RECALL: &str = "transfer.recall";
    /// Removes what staging no longer needs.
    pub const TIDY: &str = "transfer.tidy";
}

/// A transfer's machine.
pub type TransferMachine = Machine<State, Action, Guard, Permission>;
type Row = Transition<State, Action, Guard, Permission>;

const fn row(from: State, action: Action, to: State) -> Row {
    Row { from, action, to, permission: None, guard: None, work: None }
}

impl Row {
    const fn by(mut self, permission: Permission) -> Self {
        self.permission = Some(permission);
        self
    }
    const fn when(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }
    const fn then(mut self, work: &'static str) -> Self {
        self.work = Some(work);
        self
    }
}

use Action as A;
use State as S;

/// Every legal step of a transfer.
pub const MACHINE: TransferMachine = Machine {
    subject: "transfer",
    initial: S::Draft,
    transitions: &[
        // Upload
        row(S::Draft, A::Upload, S::Uploading).by(P::Create),
        row(S::Uploading, A::Upload, S::Uploading).by(P::Create),
        row(S::SubmitFailed, A::Upload, S::Uploading).by(P::Create),
        row(S::Rejected, A::Upload, S::Uploading).by(P::Create),
        row(S::Uploading, A::Submit, S::Submitting)
            .by(P::Create)
            .when(Guard::HasFiles)
            .then(work::FREEZE),
        row(S::Rejected, A::Submit, S::Submitting)
            .by(P::Create)
            .when(Guard::HasFiles)
            .then(work::FREEZE),
        row(S::Submitting, A::Frozen, S::Review).then(work::TIDY),
        row(S::Submitting, A::Fail, S::SubmitFailed),
        row(S::SubmitFailed, A::Retry, S::Submitting).by(P::Create).then(work::FREEZE),
        // Approval chain
        row(S::Review, A::Approve, S::Review).by(P::Review).when(Guard::StagesLeft),
        row(S::Review, A::Approve, S::Approved).by(P::Review).when(Guard::LastStage),
        row(S::Review, A::Reject, S::Rejected).by(P::Review),
        row(S::Review, A::Override, S::Approved).by(P::Override),
        row(S::Review, A::Void, S::Rejected),
        row(S::Approved, A::Void, S::Rejected),
        // Scanning
        row(S::Approved, A::Scan, S::Scanning).by(P::Scan).then(work::SCAN),
        row(S::Approved, A::OverrideScan, S::Scanned).by(P::Override),
        row(S::Scanning, A::Pass, S::Scanned),
        row(S::Scanning, A::Hold, S::Undecided),
        row(S::Scanning, A::Infect, S::Infected),
        row(S::Scanning, A::Void, S::Rejected),
        row(S::Scanning, A::Fail, S::ScanFailed),
        row(S::ScanFailed, A::Retry, S::Scanning).by(P::Scan).then(work::SCAN),
        row(S::ScanFailed, A::Void, S::Rejected),
        row(S::ScanFailed, A::OverrideScan, S::Scanned).by(P::Override),
        row(S::Undecided, A::Accept, S::Scanned).by(P::Scan),
        row(S::Undecided, A::SendBack, S::Rejected).by(P::Scan),
        row(S::Undecided, A::Scan, S::Scanning).by(P::Scan).then(work::SCAN),
        row(S::Infected, A::SendBack, S::Rejected).by(P::Scan),
        row(S::Infected, A::Release, S::Scanning).by(P::Override).then(work::SCAN),
        row(S::Scanned, A::Scan, S::Scanning).by(P::Scan).then(work::SCAN),
        row(S::Scanned, A::Void, S::Rejected),
        // Preparation, transfer, verification, delivery
        row(S::Scanned, A::Start, S::Preparing).by(P::Transfer).then(work::PREPARE),
        row(S::Preparing, A::Prepared, S::Transferring).then(work::COPY),
        row(S::Preparing, A::Void, S::Rejected),
        row(S::Preparing, A::Fail, S::PrepareFailed),
        row(S::PrepareFailed, A::Retry, S::Preparing).by(P::Transfer).then(work::PREPARE),
        row(S::Transferring, A::Copied, S::Verifying).then(work::VERIFY),
        row(S::Transferring, A::Void, S::Rejected),
        row(S::Transferring, A::Fail, S::TransferFailed),
        row(S::TransferFailed, A::Retry, S::Transferring).by(P::Transfer).then(work::COPY),
        row(S::Verifying, A::Deliver, S::Delivered).then(work::TIDY),
        row(S::Verifying, A::Fail, S::VerifyFailed),
        // What was read back wrong has to be written again.
        row(S::VerifyFailed, A::Retry, S::Transferring).by(P::Transfer).then(work::COPY),
        // Recall
        row(S::Delivered, A::Recall, S::Recalling).by(P::Recall).then(work::RECALL),
        row(S::Recalling, A::MovedAside, S::Recalled),
        row(S::Recalling, A::Fail, S::RecallFailed),
        row(S::RecallFailed, A::Retry, S::Recalling).by(P::Recall).then(work::RECALL),
        // With another reason, or by force.
        row(S::RecallFailed, A::Recall, S::Recalling).by(P::Recall).then(work::RECALL),
        // Cancel: before production is touched at once, after that through a fence
        row(S::Draft, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Uploading, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Submitting, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::SubmitFailed, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Review, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Approved, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Scanning, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::ScanFailed, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Undecided, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Infected, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Scanned, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Rejected, A::Cancel, S::Cancelled).by(P::Cancel).then(work::TIDY),
        row(S::Preparing, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::PrepareFailed, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::Transferring, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::TransferFailed, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::Verifying, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::VerifyFailed, A::Cancel, S::Cancelling).by(P::Cancel).then(work::ABORT),
        row(S::Cancelling, A::Aborted, S::Cancelled).then(work::TIDY),
        row(S::Cancelling, A::TooLate, S::Verifying).then(work::VERIFY),
        row(S::Cancelling, A::Fail, S::CancelFailed),
        row(S::CancelFailed, A::Retry, S::Cancelling).by(P::Cancel).then(work::ABORT),
    ],
};
