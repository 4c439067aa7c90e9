//! Who may do what with a transfer in which state, typed from the source document's role
//! table and the design's list of states; no line of it is computed from the program's own.

/// The seven roles.
pub const ROLES: [&str; 7] =
    ["artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team", "admin"];
/// Everything that somebody can do to a transfer.
pub const ACTIONS: [&str; 14] = [
    "upload",
    "submit",
    "approve",
    "reject",
    "override",
    "scan",
    "accept",
    "send_back",
    "release",
    "override_scan",
    "start",
    "retry",
    "recall",
    "cancel",
];

/// The artist whose it is, or an admin.
const MAKERS: &[&str] = &["artist", "admin"];
/// Who initiates scans, or an admin.
const DATA: &[&str] = &["data_team", "admin"];
/// Who executes transfers, or an admin.
const IT: &[&str] = &["it_team", "admin"];
const ADMIN: &[&str] = &["admin"];
/// Who may withdraw: its artist, those who execute, an admin.
const STOP: &[&str] = &["artist", "it_team", "admin"];

/// State, action, who may, and where it leads.
pub type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

/// State, action, who may, and where it leads.
pub const TABLE: &[Row] = &[
    ("draft", "upload", MAKERS, "uploading"),
    ("draft", "cancel", STOP, "cancelled"),
    ("uploading", "upload", MAKERS, "uploading"),
    ("uploading", "submit", MAKERS, "submitting"),
    ("uploading", "cancel", STOP, "cancelled"),
    ("submitting", "cancel", STOP, "cancelled"),
    ("submit_failed", "upload", MAKERS, "uploading"),
    ("submit_failed", "retry", MAKERS, "submitting"),
    ("submit_failed", "cancel", STOP, "cancelled"),
    ("team_lead_review", "approve", &["team_lead"], "supervisor_review"),
    ("team_lead_review", "reject", &["team_lead"], "rejected"),
    ("team_lead_review", "override", ADMIN, "approved"),
    ("team_lead_review", "cancel", STOP, "cancelled"),
    ("supervisor_review", "approve", &["supervisor"], "line_producer_review"),
    ("supervisor_review", "reject", &["supervisor"], "rejected"),
    ("supervisor_review", "override", ADMIN, "approved"),
    ("supervisor_review", "cancel", STOP, "cancelled"),
    ("line_producer_review", "approve", &["line_producer"], "approved"),
    ("line_producer_review", "reject", &["line_producer"], "rejected"),
    ("line_producer_review", "override", ADMIN, "approved"),
    ("line_producer_review", "cancel", STOP, "cancelled"),
    ("approved", "scan", DATA, "scanning"),
    ("approved", "override_scan", ADMIN, "scanned"),
    ("approved", "cancel", STOP, "cancelled"),
    ("scanning", "cancel", STOP, "cancelled"),
    ("scan_failed", "retry", DATA, "scanning"),
    ("scan_failed", "override_scan", ADMIN, "scanned"),
    ("scan_failed", "cancel", STOP, "cancelled"),
    ("undecided", "accept", DATA, "scanned"),
    ("undecided", "send_back", DATA, "rejected"),
    ("undecided", "scan", DATA, "scanning"),
    ("undecided", "cancel", STOP, "cancelled"),
    ("infected", "send_back", DATA, "rejected"),
    ("infected", "release", ADMIN, "scanning"),
    ("infected", "cancel", STOP, "cancelled"),
    ("scanned", "scan", DATA, "scanning"),
    ("scanned", "start", IT, "preparing"),
    ("scanned", "cancel", STOP, "cancelled"),
    ("preparing", "cancel", STOP, "cancelling"),
    ("prepare_failed", "retry", IT, "preparing"),
    ("prepare_failed", "cancel", STOP, "cancelling"),
    ("transferring", "cancel", STOP, "cancelling"),
    ("transfer_failed", "retry", IT, "transferring"),
    ("transfer_failed", "cancel", STOP, "cancelling"),
    ("verifying", "cancel", STOP, "cancelling"),
    ("verify_failed", "retry", IT, "transferring"),
    ("verify_failed", "cancel", STOP, "cancelling"),
    ("delivered", "recall", IT, "recalling"),
    ("recall_failed", "retry", IT, "recalling"),
    ("recall_failed", "recall", IT, "recalling"),
    ("rejected", "upload", MAKERS, "uploading"),
    ("rejected", "submit", MAKERS, "submitting"),
    ("rejected", "cancel", STOP, "cancelled"),
    ("cancel_failed", "retry", STOP, "cancelling"),
];

/// Every state, by the name that is shown.
pub const STATES: [&str; 27] = [
    "draft",
    "uploading",
    "submitting",
    "submit_failed",
    "team_lead_review",
    "supervisor_review",
    "line_producer_review",
    "approved",
    "scanning",
    "scan_failed",
    "undecided",
    "infected",
    "scanned",
    "preparing",
    "prepare_failed",
    "transferring",
    "transfer_failed",
    "verifying",
    "verify_failed",
    "delivered",
    "recalling",
    "recall_failed",
    "recalled",
    "rejected",
    "cancelling",
    "cancel_failed",
    "cancelled",
];
