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
            | Self::NoReceipt { .. } => ErrorKind::NotFound,
            Self::BadField { .. } | Self::NoReason { .. } | Self::Collision { .. } => {
                ErrorKind::Invalid
            }
            Self::SeparationOfDuties { .. } => ErrorKind::Forbidden,
            Self::ContentChanged { .. } => ErrorKind::CheckFailed,
            Self::ScanTrouble { .. } => ErrorKind::Unavailable,
            Self::ProofExists { .. } => ErrorKind::Conflict,
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
