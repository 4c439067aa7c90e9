//! Why a path has no name on another system.

use std::borrow::Cow;

use super::System;
use crate::base::error::{ErrorKind, Fault};

/// Failures of translation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no absolute path of that system.
    #[error("{path:?} is no absolute path on {system}: {reason}")]
    Path {
        /// As it was given.
        path: String,
        /// Whose rules.
        system: System,
        /// Why not.
        reason: &'static str,
    },
    /// No mount of that system covers it.
    #[error("{path} is below no mount that {} has", side(*system, *is_server))]
    NotMounted {
        /// As it was given.
        path: String,
        /// Who lacks it.
        system: System,
        /// Whether that is DataBridge's own host.
        is_server: bool,
    },
    /// That system cannot have such a name.
    #[error("{path} cannot be a path on {system}")]
    Unfit {
        /// As it would be there.
        path: String,
        /// Which system.
        system: System,
    },
    /// Another mount stands where it would be.
    #[error("{path} would be {there} on {system}, where another mount stands")]
    Shadowed {
        /// As it was given.
        path: String,
        /// As it would be there.
        there: String,
        /// Which system.
        system: System,
    },
}

fn side(system: System, is_server: bool) -> String {
    if is_server { "DataBridge's host".into() } else { system.to_string() }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Path { .. } | Self::Unfit { .. } => ErrorKind::Invalid,
            Self::NotMounted { .. } | Self::Shadowed { .. } => ErrorKind::NotFound,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Path { .. } => "mounts.path",
            Self::NotMounted { .. } => "mounts.not_mounted",
            Self::Unfit { .. } => "mounts.unfit",
            Self::Shadowed { .. } => "mounts.shadowed",
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            match self {
                Self::Path { .. } => {
                    r"write it as the system does: /mnt/prod/a, P:\a or \\server\share\a"
                }
                Self::NotMounted { .. } => {
                    "the mounts are listed in the configuration, [[mounts]]: add this one"
                }
                Self::Unfit { .. } => "that system cannot reach it under this name",
                Self::Shadowed { .. } => "mount one of the two elsewhere on that system",
            }
            .into(),
        )
    }
}
