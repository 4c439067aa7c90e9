//! What can go wrong with an upload that comes in pieces.

use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::error::{ErrorKind, Fault};

/// Failures of uploads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None of this transfer's.
    #[error("there is no upload {0}")]
    NotFound(Uuid),
    /// It waited for its next piece too long.
    #[error("the upload {id} expired at {at}")]
    Expired {
        /// Which.
        id: Uuid,
        /// When.
        at: Timestamp,
    },
    /// Its file in staging is not there, or shorter than what was kept.
    #[error("of the upload {id} less is left in staging than was kept")]
    Lost {
        /// Which.
        id: Uuid,
    },
    /// Somebody else writes to it.
    #[error("somebody else is sending the upload {id}")]
    Busy {
        /// Which.
        id: Uuid,
    },
    /// The piece begins elsewhere than where the upload goes on.
    #[error("the upload {id} goes on at byte {kept}, not at {offset}")]
    WrongOffset {
        /// Which.
        id: Uuid,
        /// Where it goes on.
        kept: u64,
        /// What the piece says.
        offset: u64,
    },
    /// The length is known, and another; or so much has come already.
    #[error("the upload {id} has {known} bytes, and cannot be of {told}")]
    WrongLength {
        /// Which.
        id: Uuid,
        /// How many it has, or has kept.
        known: u64,
        /// What the piece says.
        told: u64,
    },
    /// More than was announced, or than one file may have.
    #[error("this is more than the {limit} bytes that the file may have")]
    TooLong {
        /// How many.
        limit: u64,
    },
    /// The piece is not what its sender took the checksum of.
    #[error("the piece at byte {offset} has the {algorithm} {found}, not {expected}")]
    Checksum {
        /// Where it began.
        offset: u64,
        /// Of which kind.
        algorithm: &'static str,
        /// What was sent with it, in hex.
        expected: String,
        /// What came in, in hex.
        found: String,
    },
    /// The sender did not go on.
    #[error("the piece ended before its end")]
    Interrupted {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// More than a transfer or a user may have in staging.
    #[error("{whose} may have {limit} bytes in staging: there is room for {left} more")]
    Quota {
        /// A transfer's code, or a user's name.
        whose: String,
        /// Whether it is the user's.
        is_user: bool,
        /// How many at all.
        limit: u64,
        /// How many are left.
        left: u64,
    },
    /// The file is part of the transfer.
    #[error("the upload of {path:?} is finished: the file is part of {code}")]
    Done {
        /// The transfer.
        code: String,
        /// The file.
        path: String,
    },
    /// Files are still on their way.
    #[error("{code} has unfinished uploads: {}", .uploads.join(", "))]
    Unfinished {
        /// The transfer.
        code: String,
        /// Which, and how far they are.
        uploads: Vec<String>,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::Expired { .. } | Self::Lost { .. } => ErrorKind::NotFound,
            Self::Busy { .. } | Self::WrongOffset { .. } | Self::WrongLength { .. } => {
                ErrorKind::Conflict
            }
            Self::Done { .. } | Self::Unfinished { .. } => ErrorKind::IllegalState,
            Self::TooLong { .. } | Self::Quota { .. } | Self::Interrupted { .. } => {
                ErrorKind::Invalid
            }
            Self::Checksum { .. } => ErrorKind::CheckFailed,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::NotFound(_) => "upload.not_found",
            Self::Expired { .. } => "upload.expired",
            Self::Lost { .. } => "upload.lost",
            Self::Busy { .. } => "upload.busy",
            Self::WrongLength { .. } => "upload.wrong_length",
            Self::WrongOffset { .. } => "upload.wrong_offset",
            Self::TooLong { .. } => "upload.too_long",
            Self::Checksum { .. } => "upload.checksum",
            Self::Interrupted { .. } => "upload.interrupted",
            Self::Quota { is_user: false, .. } => "upload.transfer_quota",
            Self::Quota { is_user: true, .. } => "upload.user_quota",
            Self::Done { .. } => "upload.done",
            Self::Unfinished { .. } => "upload.unfinished",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::NotFound(_) => "`databridge upload list CODE` shows what there is".into(),
            Self::Expired { .. } | Self::Lost { .. } => "begin the upload anew".into(),
            Self::Busy { .. } => "wait for its end, ask for the offset, then go on".into(),
            Self::WrongOffset { .. } => "ask for the offset (HEAD), then go on from there".into(),
            Self::WrongLength { .. } => "ask for the length (HEAD), or begin anew".into(),
            Self::TooLong { .. } => "begin an upload of the right length".into(),
            Self::Checksum { .. } => "send the piece again: nothing of it was kept".into(),
            Self::Interrupted { .. } => "ask for the offset (HEAD), then go on from there".into(),
            Self::Quota { is_user: false, .. } => {
                "split the delivery, or ask IT: uploads.transfer_bytes is the limit".into()
            }
            Self::Quota { is_user: true, .. } => {
                "wait for deliveries, cancel old transfers, or ask IT: uploads.user_bytes is the limit"
                    .into()
            }
            Self::Done { .. } => "take the file out of the transfer".into(),
            Self::Unfinished { .. } => {
                "send the rest, or give them up by `databridge upload end CODE ID`".into()
            }
        })
    }
}
