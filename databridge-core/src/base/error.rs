//! One vocabulary of failure. Each module has its own `Error`; what all of them
//! share is [`Fault`]: a kind, which alone decides the HTTP status, the exit code
//! and the Python exception, a stable code, and a hint that says what to do next.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a failure means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is wrong and will stay wrong.
    Invalid,
    /// Nobody is signed in, or the token is not accepted.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// There is no such thing, or none that the caller may see.
    NotFound,
    /// Somebody else was first, or something already stands there.
    Conflict,
    /// The subject was changed since the version that the caller names.
    Outdated,
    /// The caller must name the version that they looked at.
    Unconditional,
    /// The subject is in a state that does not allow this.
    IllegalState,
    /// A check ran and failed: mismatch, infected, tampered, missing.
    CheckFailed,
    /// A check could not come to a verdict: not scanned, unprovable.
    Undecided,
    /// Too many requests.
    RateLimited,
    /// A service or host that is needed does not answer now.
    Unavailable,
    /// Reading or writing failed.
    Io,
    /// Somebody asked to stop.
    Cancelled,
    /// A defect of DataBridge.
    Internal,
}

impl ErrorKind {
    /// All of them, for bindings that give each a number or a class of its own.
    pub const ALL: [Self; 15] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::IllegalState,
        Self::CheckFailed,
        Self::Undecided,
        Self::RateLimited,
        Self::Unavailable,
        Self::Io,
        Self::Cancelled,
        Self::Internal,
        Self::Outdated,
        Self::Unconditional,
    ];

    /// The HTTP status (RFC 9110) that carries this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 422,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::IllegalState | Self::Undecided => 409,
            Self::CheckFailed => 409,
            Self::Outdated => 412,
            Self::Unconditional => 428,
            Self::RateLimited => 429,
            Self::Unavailable | Self::Cancelled => 503,
            Self::Io | Self::Internal => 500,
        }
    }

    /// The exit code of the command line.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CheckFailed => 1,
            Self::Invalid | Self::NotFound | Self::Unconditional => 2,
            Self::Unauthenticated | Self::Forbidden => 3,
            Self::Conflict | Self::IllegalState | Self::Outdated => 4,
            Self::RateLimited | Self::Unavailable | Self::Io | Self::Internal => 5,
            Self::Undecided => 6,
            Self::Cancelled => 130,
        }
    }
}

/// A typed error of one of our modules.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// What the failure means to the caller.
    fn kind(&self) -> ErrorKind;
    /// Stable, `module.reason` in snake case; documented in `docs/errors.md`.
    fn code(&self) -> &str;
    /// What to do next, in one sentence.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
    /// Roles that would have been allowed, for [`ErrorKind::Forbidden`].
    fn required_roles(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Any of our errors, as it leaves the library.
pub struct Error(Box<dyn Fault>);

impl Error {
    /// What the failure means to the caller.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }
    /// The stable code.
    pub fn code(&self) -> &str {
        self.0.code()
    }
    /// What to do next.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        self.0.hint()
    }
    /// Roles that would have been allowed.
    pub fn required_roles(&self) -> Vec<String> {
        self.0.required_roles()
    }
    /// The message followed by its causes, as a log shows it.
    pub fn chain(&self) -> String {
        let mut text = self.0.to_string();
        let mut cause = std::error::Error::source(&*self.0);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
    /// The typed error, where a caller must tell one from another.
    pub fn downcast_ref<T: Fault>(&self) -> Option<&T> {
        let any: &(dyn std::error::Error + 'static) = &*self.0;
        any.downcast_ref::<T>()
    }
}

impl<T: Fault> From<T> for Error {
    fn from(fault: T) -> Self {
        Self(Box::new(fault))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("code", &self.code()).field("message", &self.chain()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is added does not compile until it is in this list, and then not
    /// pass until it is in [`ErrorKind::ALL`].
    const fn place(kind: ErrorKind) -> usize {
        match kind {
            ErrorKind::Invalid => 0,
            ErrorKind::Unauthenticated => 1,
            ErrorKind::Forbidden => 2,
            ErrorKind::NotFound => 3,
            ErrorKind::Conflict => 4,
            ErrorKind::IllegalState => 5,
            ErrorKind::CheckFailed => 6,
            ErrorKind::Undecided => 7,
            ErrorKind::RateLimited => 8,
            ErrorKind::Unavailable => 9,
            ErrorKind::Io => 10,
            ErrorKind::Cancelled => 11,
            ErrorKind::Internal => 12,
            ErrorKind::Outdated => 13,
            ErrorKind::Unconditional => 14,
        }
    }

    #[test]
    fn all_kinds_are_all() {
        for (at, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(place(kind), at);
        }
    }
}
