//! Why something on a mount of the service's is not added.

use crate::base::error::{ErrorKind, Fault};

/// Failures of adding by path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operator named no root.
    #[error("this store adds nothing by its path: no root is configured")]
    NoRoots,
    /// The path is below none of the roots.
    #[error("{path:?} is below none of the folders from which files may be added")]
    OutsideRoots {
        /// As it was given.
        path: String,
    },
    /// The path is relative, or climbs.
    #[error("{path:?} is no absolute path without `.` and `..`")]
    NotPlain {
        /// As it was given.
        path: String,
    },
    /// The root's mount hangs.
    #[error("the folder {root} does not answer")]
    NoAnswer {
        /// Which.
        root: String,
    },
    /// One file is longer than any may be.
    #[error("{path} has {size_bytes} bytes, and a file may have {limit}")]
    TooLong {
        /// Which, below what was to be added.
        path: String,
        /// Its length.
        size_bytes: u64,
        /// What it may be.
        limit: u64,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoRoots | Self::OutsideRoots { .. } => ErrorKind::Forbidden,
            Self::NotPlain { .. } | Self::TooLong { .. } => ErrorKind::Invalid,
            Self::NoAnswer { .. } => ErrorKind::Unavailable,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::NoRoots => "add.no_roots",
            Self::OutsideRoots { .. } => "add.outside_roots",
            Self::NotPlain { .. } => "add.not_plain",
            Self::NoAnswer { .. } => "add.no_answer",
            Self::TooLong { .. } => "add.too_long",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::NoRoots => "upload them, or ask IT: uploads.add_roots names such folders".into(),
            Self::OutsideRoots { .. } => {
                "name it as the daemon's host does; uploads.add_roots has the folders".into()
            }
            Self::NoAnswer { .. } => "try again, and tell IT: its mount hangs on this host".into(),
            Self::NotPlain { .. } => "write it out from the root".into(),
            Self::TooLong { .. } => "leave it out, or ask IT: max_upload_bytes is the limit".into(),
        })
    }
}
