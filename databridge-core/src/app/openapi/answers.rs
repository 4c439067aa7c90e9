//! What each call answers.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::app::answers::{Me, Newest, Proof, Receipt, ReceiptKey};
use crate::control::identity::{AbsenceView, KeyView, NewKey, UserDetail, UserView};
use crate::control::inbox::Inbox;
use crate::control::jobs::hosts::HostView;
use crate::control::jobs::{Bandwidth, JobView};
use crate::control::ledger::{self, Page};
use crate::control::outbound::HookView;
use crate::domains::lineage as l;
use crate::domains::transfer as t;
use crate::media::scan::Standing;

type Make = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A call's name and what it answers; a test holds it against the routes.
pub(super) const ANSWERS: &[(&str, Make)] = &[
    ("transfer_create", of::<t::TransferView>),
    ("transfer_list", of::<Vec<t::TransferView>>),
    ("transfer_show", of::<t::Detail>),
    ("transfer_explain", of::<t::Explanation>),
    ("transfer_files", of::<Vec<t::FileView>>),
    ("transfer_remove_file", of::<t::TransferView>),
    ("upload_list", of::<Vec<t::UploadView>>),
    ("upload_end", of::<()>),
    ("upload_collect", of::<Vec<t::Collected>>),
    ("transfer_submit", of::<t::TransferView>),
    ("transfer_cancel", of::<t::TransferView>),
    ("transfer_history", of::<Vec<Page>>),
    ("transfer_receipt", of::<Receipt>),
    ("transfer_where", of::<t::Whereabouts>),
    ("transfer_add", of::<t::TransferView>),
    ("transfer_recall", of::<t::TransferView>),
    ("transfer_recall_receipt", of::<Receipt>),
    ("path_translate", of::<t::Translation>),
    ("approvals_waiting", of::<Vec<t::TransferView>>),
    ("approve", of::<t::TransferView>),
    ("reject", of::<t::TransferView>),
    ("override_approval", of::<t::TransferView>),
    ("absence_set", of::<AbsenceView>),
    ("absence_list", of::<Vec<AbsenceView>>),
    ("absence_end", of::<()>),
    ("chain_list", of::<Vec<t::Chain>>),
    ("chain_define", of::<t::Chain>),
    ("scan_engines", of::<Vec<Standing>>),
    ("scan_report", of::<t::ScanView>),
    ("scan", of::<t::TransferView>),
    ("decide", of::<t::TransferView>),
    ("start", of::<t::TransferView>),
    ("retry", of::<t::TransferView>),
    ("transfer_priority", of::<t::TransferView>),
    ("transfer_pause", of::<t::TransferView>),
    ("transfer_resume", of::<t::TransferView>),
    ("hook_retry", of::<Vec<HookView>>),
    ("housekeeping_plan", of::<t::Leftovers>),
    ("housekeeping_run", of::<JobView>),
    ("bandwidth_list", of::<Vec<Bandwidth>>),
    ("bandwidth_set", of::<Vec<Bandwidth>>),
    ("host_list", of::<Vec<HostView>>),
    ("job_list", of::<Vec<JobView>>),
    ("receipt_key", of::<ReceiptKey>),
    ("lot_register", of::<l::LotView>),
    ("lot_register_all", of::<Vec<l::LotView>>),
    ("lot_list", of::<l::List<l::LotView>>),
    ("lot_show", of::<l::LotDetail>),
    ("lot_history", of::<Vec<Page>>),
    ("lot_link", of::<l::LotView>),
    ("lot_move", of::<l::LotView>),
    ("lineage_access", of::<l::state::Access>),
    ("trace_ancestors", of::<l::Walk>),
    ("trace_descendants", of::<l::Walk>),
    ("trace_blast", of::<l::Blast>),
    ("trace_common", of::<l::Common>),
    ("trace_path", of::<l::Path>),
    ("trace_graph", of::<l::Graph>),
    ("run_create", of::<l::RunView>),
    ("run_list", of::<l::List<l::RunView>>),
    ("run_show", of::<l::RunDetail>),
    ("run_history", of::<Vec<Page>>),
    ("run_advance", of::<l::RunDetail>),
    ("run_skip", of::<l::RunDetail>),
    ("run_end", of::<l::RunDetail>),
    ("run_move", of::<l::RunView>),
    ("gate_list", of::<Vec<l::GateView>>),
    ("qc_decide", of::<l::DecisionView>),
    ("qc_list", of::<l::List<l::DecisionView>>),
    ("flow_draft", of::<l::VersionDetail>),
    ("flow_list", of::<Vec<l::VersionView>>),
    ("flow_show", of::<l::VersionDetail>),
    ("flow_edit", of::<l::VersionDetail>),
    ("flow_move", of::<l::VersionView>),
    ("flow_note", of::<l::VersionView>),
    ("flow_diff", of::<Vec<l::schema::Change>>),
    ("scenario_list", of::<Vec<l::Scenario>>),
    ("scenario_define", of::<l::Scenario>),
    ("profile_list", of::<Vec<l::profiles::Profile>>),
    ("profile_install", of::<l::VersionDetail>),
    ("ledger_verify", of::<ledger::Report>),
    ("ledger_checkpoint", of::<Newest>),
    ("ledger_prove", of::<Proof>),
    ("notification_list", of::<Inbox>),
    ("notification_read", of::<Inbox>),
    ("activity", of::<Vec<Page>>),
    ("user_list", of::<Vec<UserView>>),
    ("user_create", of::<UserView>),
    ("user_show", of::<UserDetail>),
    ("user_change", of::<UserDetail>),
    ("user_role", of::<UserView>),
    ("user_active", of::<UserView>),
    ("user_unlock", of::<()>),
    ("user_password", of::<()>),
    ("me", of::<Me>),
    ("logout", of::<()>),
    ("key_list", of::<Vec<KeyView>>),
    ("key_create", of::<NewKey>),
    ("key_revoke", of::<()>),
];

/// What `op` answers.
pub(super) fn answer(op: &str, generator: &mut SchemaGenerator) -> Schema {
    match ANSWERS.iter().find(|(name, _)| *name == op) {
        Some((_, make)) => make(generator),
        None => Schema::default(),
    }
}
