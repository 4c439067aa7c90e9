//! Why a hook did not succeed. No message has a URL's path, a secret or a header: hooks of
//! other services carry their password in the path.

use crate::base::error::{ErrorKind, Fault};
use crate::control::db;

/// Failures of hooks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The hook is not in this host's configuration.
    #[error("this host's configuration has no hook {0:?}")]
    Unknown(String),
    /// A build without an HTTP client.
    #[error("this build sends no webhooks")]
    NotBuilt,
    /// The secret or the certificates could not be read.
    #[error("the {what} of hook {hook} cannot be used: {reason}")]
    Material {
        /// Which hook.
        hook: String,
        /// `secret` or `ca_file`.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// The command could not be started or watched.
    #[error("{program} cannot be run")]
    NotRun {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended badly.
    #[error("{program} ended with {status}{}", said(.output))]
    Ended {
        /// The program.
        program: String,
        /// How.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// It took longer than it may.
    #[error("it was not done within {seconds} s{}", said(.output))]
    TooLong {
        /// The limit.
        seconds: u64,
        /// The end of what it said.
        output: String,
    },
    /// No answer.
    #[error("{host} does not answer: {reason}")]
    Unanswered {
        /// Scheme, host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// An answer that is no success.
    #[error("{host} answered {status}{}", said(.output))]
    Refused {
        /// Scheme, host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        output: String,
    },
    /// A redirect: what is signed for one receiver is sent to no other.
    #[error("{host} answered {status}: it wants the message sent elsewhere")]
    Redirected {
        /// Scheme, host and port.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The receiver wants no more (410).
    #[error("{host} answered 410: it wants no more messages")]
    Gone {
        /// Scheme, host and port.
        host: String,
    },
    /// The worker is asked to stop, or lost its lease.
    #[error("the hook was stopped")]
    Stopped,
    /// There is no such hook of this subject.
    #[error("{subject} has no hook {hook:?} that was given up")]
    NotGivenUp {
        /// Of what.
        subject: String,
        /// Which.
        hook: String,
    },
    /// The database failed.
    #[error("hooks could not be read or written")]
    Db(#[from] db::Error),
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(": {}", output.replace('\n', "; ")) }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Redirected { .. } => ErrorKind::Invalid,
            Self::Gone { .. } => ErrorKind::Conflict,
            Self::NotGivenUp { .. } => ErrorKind::NotFound,
            Self::Stopped => ErrorKind::Cancelled,
            Self::Material { .. } | Self::NotRun { .. } => ErrorKind::Io,
            Self::Db(error) => error.kind(),
            _ => ErrorKind::Unavailable,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Unknown(_) => "hook.unknown",
            Self::NotBuilt => "hook.not_built",
            Self::Material { .. } => "hook.material",
            Self::NotRun { .. } => "hook.not_run",
            Self::Ended { .. } => "hook.ended",
            Self::TooLong { .. } => "hook.too_long",
            Self::Unanswered { .. } => "hook.unanswered",
            Self::Refused { .. } => "hook.refused",
            Self::Redirected { .. } => "hook.redirected",
            Self::Gone { .. } => "hook.gone",
            Self::Stopped => "hook.stopped",
            Self::NotGivenUp { .. } => "hook.not_given_up",
            Self::Db(error) => error.code(),
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::Unknown(_) => "give every host that runs hooks the same `[[hooks]]`".into(),
            Self::NotBuilt => "build with the feature `remote`, or use a command".into(),
            Self::Material { .. } => "check the file, who may read it, and its format".into(),
            Self::NotRun { .. } => "check the path, and that the service may execute it".into(),
            Self::Ended { .. } => "what it said is above; it is run again by itself".into(),
            Self::TooLong { .. } => "make it quicker, or raise its `timeout_seconds`".into(),
            Self::Unanswered { .. } | Self::Refused { .. } => {
                "look at the receiver; it is told again by itself".into()
            }
            Self::Redirected { .. } => "write the final address into the configuration".into(),
            Self::Gone { .. } => "take the hook out of the configuration".into(),
            Self::Stopped => "nothing is to be done: it is run again".into(),
            Self::NotGivenUp { .. } => "`databridge transfer show` tells of its hooks".into(),
            Self::Db(error) => return error.hint(),
        })
    }
}
