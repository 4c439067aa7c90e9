//! What can go wrong with a transfer.

use crate::base::error::{ErrorKind, Fault};
use crate::control::db;

/// Failures of the transfer domain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None that the caller may see.
    #[error("there is no transfer {0:?}")]
    NotFound(String),
    /// No such file in the current revision.
    #[error("{code} has no file {path:?}")]
    NoFile {
        /// The transfer.
        code: String,
        /// The path.
        path: String,
    },
    /// A field is not acceptable.
    #[error("{field} {value:?} is not acceptable: {reason}")]
    BadField {
        /// Which.
        field: &'static str,
        /// What was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// There is no such field of metadata.
    #[error("there is no field {name:?}; the fields are {known}")]
    UnknownField {
        /// As it was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The path in production asks for what was not given.
    #[error("deliveries of {delivery} go to {template}: without {missing} there is no such path")]
    MissingField {
        /// Project and category.
        delivery: String,
        /// Where such deliveries go.
        template: String,
        /// The fields without a value.
        missing: String,
    },
    /// The path in production cannot be.
    #[error("{path} cannot be a path in production: {reason}")]
    BadPath {
        /// Filled in.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The path in production is another transfer's, or inside it, or around it.
    #[error("{path} in production belongs to {}", holder.as_deref().unwrap_or("another transfer"))]
    PathTaken {
        /// Filled in.
        path: String,
        /// Whose, where the caller may know.
        holder: Option<String>,
    },
    /// There is not enough room.
    #[error(
        "{place} has not enough room: {needed_bytes} bytes are needed and {free_bytes} free, of which {reserve_bytes} are kept in reserve"
    )]
    InsufficientSpace {
        /// Where.
        place: String,
        /// What is still to be written.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
        /// What of it is to stay free.
        reserve_bytes: u64,
    },
    /// An object store knows no renaming.
    #[error("{code} stands in an object store ({url}), where nothing can be moved aside whole")]
    NoRecall {
        /// The transfer.
        code: String,
        /// Where it stands.
        url: String,
    },
    /// Neither payload nor proof is where it was delivered.
    #[error("{path} is not there, and neither is its proof")]
    NothingToRecall {
        /// Where it was delivered.
        path: String,
    },
    /// Something else stands where it was delivered.
    #[error("{path} is not what was delivered as {code}: {}", list(.found))]
    NotTheDelivery {
        /// The transfer.
        code: String,
        /// Where it was delivered.
        path: String,
        /// How it differs.
        found: Vec<String>,
    },
    /// Nobody took it out of production.
    #[error("{code} was not recalled: it is {state}")]
    NotRecalled {
        /// The transfer.
        code: String,
        /// Where it stands.
        state: String,
    },
    /// A decision without a reason.
    #[error("{code}: to {action} a transfer, a reason must be given")]
    NoReason {
        /// The transfer.
        code: String,
        /// The decision.
        action: &'static str,
    },
    /// Two names that some file systems take for one.
    #[error(
        "{path:?} and {other:?} differ only by case or Unicode form: some file systems take them for one"
    )]
    Collision {
        /// The new name.
        path: String,
        /// The one that is there.
        other: String,
    },
    /// Nobody approves their own transfer, nor two stages of one.
    #[error("{username} may not approve {code}: {why}")]
    SeparationOfDuties {
        /// The transfer.
        code: String,
        /// Who tried.
        username: String,
        /// The rule.
        why: &'static str,
    },
    /// The frozen files are no longer those that were approved.
    #[error("{code} was changed after it was submitted, so its approvals are void: {}", list(.files))]
    ContentChanged {
        /// The transfer.
        code: String,
        /// Which files, and how.
        files: Vec<String>,
    },
    /// There is no such approval chain.
    #[error("there is no approval chain {0:?}")]
    NoChain(String),
    /// There is no receipt yet.
    #[error("{code} has no receipt: it is {state}")]
    NoReceipt {
        /// The transfer.
        code: String,
        /// Where it stands.
        state: String,
    },
    /// The scan could not be carried out on every file.
    #[error("{code} could not be scanned: {message}")]
    ScanTrouble {
        /// The transfer.
        code: String,
        /// What the engine said.
        message: String,
    },
    /// Something stands where the proof belongs.
    #[error("{path} exists already and is not the proof of this delivery")]
    ProofExists {
        /// Where.
        path: String,
    },
    /// There is nothing to add at that path.
    #[error("there is no {path}")]
    NoSource {
        /// As it was given.
        path: String,
    },
    /// A file could not be read or written.
    #[error("{path} could not be read or written")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing is being done that could be directed.
    #[error("{code} is {state}: there is no work to direct")]
    NotUnderWay {
        /// The transfer.
        code: String,
        /// Where it stands.
        state: String,
    },
    /// Nobody paused it.
    #[error("{code} is not paused: it is {state}")]
    NotPaused {
        /// The transfer.
        code: String,
        /// Where it stands.
        state: String,
    },
    /// A long operation was stopped.
    #[error("the operation was stopped")]
    Stopped,
    /// The database failed.
    #[error("transfers could not be read or written")]
    Db(#[from] db::Error),
}

fn list(files: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = files.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN {
        text.push_str(&format!(" and {} more", files.len() - SHOWN));
    }
    text
}

/// What passes once there is room.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_)
            | Self::NoFile { .. }
            | Self::NoSource { .. }
            | Self::NoChain(_)
            | Self::NotRecalled { .. }
            | Self::NoReceipt { .. } => ErrorKind::NotFound,
            Self::BadField { .. }
            | Self::UnknownField { .. }
            | Self::MissingField { .. }
            | Self::BadPath { .. }
            | Self::NoReason { .. }
            | Self::Collision { .. } => ErrorKind::Invalid,
            Self::SeparationOfDuties { .. } => ErrorKind::Forbidden,
            Self::ContentChanged { .. } => ErrorKind::CheckFailed,
            Self::ScanTrouble { .. } | Self::InsufficientSpace { .. } => ErrorKind::Unavailable,
            Self::ProofExists { .. }
            | Self::PathTaken { .. }
            | Self::NoRecall { .. }
            | Self::NotTheDelivery { .. }
            | Self::NothingToRecall { .. } => ErrorKind::Conflict,
            Self::Io { source, .. } if is_full(source) => ErrorKind::Unavailable,
            Self::Io { .. } => ErrorKind::Io,
            Self::NotUnderWay { .. } | Self::NotPaused { .. } => ErrorKind::IllegalState,
            Self::Stopped => ErrorKind::Cancelled,
            Self::Db(error) => error.kind(),
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::NotFound(_) => "transfer.not_found",
            Self::NoFile { .. } => "transfer.no_file",
            Self::BadField { .. } => "transfer.bad_field",
            Self::UnknownField { .. } => "transfer.unknown_field",
            Self::MissingField { .. } => "transfer.missing_field",
            Self::BadPath { .. } => "transfer.bad_path",
            Self::PathTaken { .. } => "transfer.path_taken",
            Self::InsufficientSpace { .. } => "transfer.insufficient_space",
            Self::NoRecall { .. } => "transfer.no_recall",
            Self::NothingToRecall { .. } => "transfer.nothing_to_recall",
            Self::NotTheDelivery { .. } => "transfer.not_the_delivery",
            Self::NotRecalled { .. } => "transfer.not_recalled",
            Self::NoReason { .. } => "transfer.no_reason",
            Self::Collision { .. } => "transfer.collision",
            Self::SeparationOfDuties { .. } => "transfer.separation_of_duties",
            Self::ContentChanged { .. } => "transfer.content_changed",
            Self::NoChain(_) => "transfer.no_chain",
            Self::NoReceipt { .. } => "transfer.no_receipt",
            Self::ScanTrouble { .. } => "transfer.scan_trouble",
            Self::ProofExists { .. } => "transfer.proof_exists",
            Self::NoSource { .. } => "transfer.no_source",
            Self::Io { source, .. } if is_full(source) => "transfer.no_space",
            Self::Io { .. } => "transfer.io",
            Self::NotUnderWay { .. } => "transfer.not_under_way",
            Self::NotPaused { .. } => "transfer.not_paused",
            Self::Stopped => "transfer.stopped",
            Self::Db(error) => error.code(),
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::NotFound(_) => "`databridge transfer list` shows what there is".into(),
            Self::NoFile { .. } => "`databridge transfer show` lists its files".into(),
            Self::NoSource { .. } => "name a file or a folder that this process can read".into(),
            Self::UnknownField { .. } => {
                "name one of them; the studio's own are defined in [layout.fields]".into()
            }
            Self::MissingField { .. } => "give them as metadata (`--meta NAME=VALUE`)".into(),
            Self::BadPath { .. } => "give other values; the template is IT's, in [layout]".into(),
            Self::PathTaken { .. } => {
                "give another version, say; or have the other one cancelled or recalled".into()
            }
            Self::InsufficientSpace { .. } => {
                "make room there, then try again: what was written already is kept".into()
            }
            Self::NoRecall { .. } => {
                "take the manifest object away by the store's own tools, and deliver anew".into()
            }
            Self::NothingToRecall { .. } => {
                "look whether production is mounted and where it was moved, then retry".into()
            }
            Self::NotTheDelivery { .. } => {
                "look who changed it; to have what stands there moved all the same, recall it \
                 again with --force and the reason"
                    .into()
            }
            Self::NotRecalled { .. } => "`databridge transfer recall` takes a delivery back".into(),
            Self::NoReason { .. } => "say why: it is kept and shown".into(),
            Self::Collision { .. } => "rename one of them".into(),
            Self::SeparationOfDuties { .. } => "somebody else has to decide".into(),
            Self::ContentChanged { .. } => "its artist looks at the files and submits again".into(),
            Self::NoChain(_) => "`databridge chain list` shows what there is".into(),
            Self::NoReceipt { .. } => "a receipt is written when the transfer is delivered".into(),
            Self::ScanTrouble { .. } => {
                "`databridge doctor` tells how the engine is; then retry".into()
            }
            Self::NotUnderWay { .. } | Self::NotPaused { .. } => {
                "`databridge transfer show` tells where it stands".into()
            }
            Self::ProofExists { .. } => "look at what it is, move it away, then retry".into(),
            Self::Io { source, .. } if is_full(source) => {
                "make room on the disk or raise the quota, then try again".into()
            }
            Self::Io { .. } => "check the disk and the permissions of the service's user".into(),
            Self::Db(error) => return error.hint(),
            Self::BadField { field, .. } => format!("give another {field}").into(),
            Self::Stopped => {
                "`databridge transfer watch` follows it further; what is done stays done".into()
            }
        })
    }
}
