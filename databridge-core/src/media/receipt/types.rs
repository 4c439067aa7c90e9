//! What a receipt says. All of it is JSON in the statement's predicate, with
//! times in RFC 3339 and digests in lower-case hex.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::media::checksum::Sha256;
use crate::media::scan::{EngineInfo, Policy, Verdict};

/// One delivery, from approval to what was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What was delivered.
    pub transfer: Transfer,
    /// Who enforced the rules.
    pub authority: Authority,
    /// The content.
    pub manifest: ManifestFacts,
    /// Every stage's approval, in order.
    pub approvals: Vec<Approval>,
    /// Every rule that somebody set aside.
    pub overrides: Vec<Override>,
    /// The scan.
    pub scan: Scan,
    /// The copy.
    pub copy: Copy,
    /// The history that this rests on.
    pub ledger: Ledger,
    /// Who issued this.
    pub issuer: Issuer,
    /// When.
    pub issued_at: Timestamp,
}

/// What was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The code for people, `TRF-00042`.
    pub code: String,
    /// The identifier.
    pub id: String,
    /// Which revision of it, from 1.
    pub revision: u32,
    /// The project's code.
    pub project: String,
    /// The category, which is a folder's name in production.
    pub category: String,
    /// The title that the artist gave it.
    pub title: String,
    /// Where it belongs below production's root, as its approvers saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What else was known of it: `shot`, `version` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Who enforced the rules of the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// A daemon, apart from the people that it governs.
    Daemon,
    /// A store embedded in a program: the owner of its files could have written
    /// anything into it.
    Embedded,
}

/// The content as one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFacts {
    /// The manifest digest; also the statement's subject.
    pub sha256: Sha256,
    /// Digest of the SHA256SUMS that stands beside the receipt.
    pub sums_sha256: Sha256,
    /// Files.
    pub file_count: u64,
    /// Their length together.
    pub total_bytes: u64,
}

/// One stage's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The stage's name in the approval chain.
    pub stage: String,
    /// The role in which it was given.
    pub role: String,
    /// Who gave it.
    pub user: String,
    /// For whom, where a deputy or an administrator acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What was approved.
    pub manifest_digest: Sha256,
    /// Whether it satisfies the separation of duties.
    pub separation_of_duties: bool,
}

/// A rule that somebody set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Which rule or step.
    pub what: String,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// The scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The worst of all files'.
    pub verdict: Verdict,
    /// Who looked, with signatures of what version and date.
    pub engines: Vec<EngineInfo>,
    /// What the engines' word was worth.
    pub policy: Policy,
    /// How many files passed by that policy although they are not clean, for each of
    /// its reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<String, u64>,
    /// Why a verdict other than clean passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// When the scan ended.
    pub finished_at: Timestamp,
}

/// A person's word where an engine's did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// The copy into production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// `native` and the like.
    pub method: String,
    /// The URL of the folder where the payload stands.
    pub destination: String,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes read back and compared.
    pub read_back_bytes: u64,
    /// What reading back was worth: `direct` (from the device), `dropped` (after
    /// the page cache was emptied), `server` (a network mount), `memory`.
    pub read_back: String,
    /// When the copy began.
    pub started_at: Timestamp,
    /// When everything was read back. How it was published is told by the ledger's
    /// event that closes the delivery: the receipt is signed before that.
    pub finished_at: Timestamp,
}

/// Where the history stood when the receipt was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The log's name, the first line of its checkpoints.
    pub origin: String,
    /// How many events it held.
    pub size: u64,
    /// Its RFC 6962 root.
    pub root: Sha256,
    /// The signed checkpoint (C2SP signed note), whole.
    pub checkpoint: String,
}

/// Who issued a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The host.
    pub host: String,
    /// The version of DataBridge there.
    pub version: String,
}
