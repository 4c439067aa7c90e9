//! What an entry answers, and what is remembered of a failure.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr;

use databridge_core::{Error as AnyError, ErrorKind, Fault};

use super::text::c_string;

/// What came of a call. The numbers never change; a new one may come.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is done.
    Ok = 0,
    /// The input is wrong and will stay wrong.
    Invalid = 1,
    /// Nobody is signed in, or the token is not accepted.
    Unauthenticated = 2,
    /// Known, but not allowed.
    Forbidden = 3,
    /// There is no such thing, or none that the caller may see.
    NotFound = 4,
    /// Somebody else was first, or something already stands there.
    Conflict = 5,
    /// The subject is in a state that does not allow this.
    IllegalState = 6,
    /// A check ran and failed: mismatch, infected, tampered, missing.
    CheckFailed = 7,
    /// A check could not come to a verdict.
    Undecided = 8,
    /// Too many requests.
    RateLimited = 9,
    /// A service or host that is needed does not answer now.
    Unavailable = 10,
    /// Reading or writing failed.
    Io = 11,
    /// Somebody asked to stop, or the time was over.
    Cancelled = 12,
    /// A defect of DataBridge.
    Internal = 13,
    /// The subject was changed since the version that the caller names.
    Outdated = 14,
    /// The caller must name the version that they looked at.
    Unconditional = 15,
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Unauthenticated => Self::Unauthenticated,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::IllegalState => Self::IllegalState,
            ErrorKind::CheckFailed => Self::CheckFailed,
            ErrorKind::Undecided => Self::Undecided,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Io => Self::Io,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Outdated => Self::Outdated,
            ErrorKind::Unconditional => Self::Unconditional,
            _ => Self::Internal,
        }
    }
}

/// What can only go wrong on the way from and to C.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pointer that must not be NULL is.
    #[error("{name} is NULL")]
    Null {
        /// Which argument.
        name: &'static str,
    },
    /// A text that is none.
    #[error("{name} is not UTF-8")]
    NotUtf8 {
        /// Which argument.
        name: &'static str,
    },
    /// An argument is not acceptable.
    #[error("{name}: {reason}")]
    Argument {
        /// Which.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// The fields do not make a call.
    #[error("{op} does not take this: {source}")]
    Call {
        /// Which call.
        op: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// A JSON text has no text or number at that place.
    #[error("there is no value at {pointer:?}")]
    NoValue {
        /// The place (RFC 6901).
        pointer: String,
    },
    /// A folder is not what its list says.
    #[error("{root}: {differences} differences from the list")]
    Differs {
        /// The folder.
        root: String,
        /// How many.
        differences: usize,
    },
    /// Not everything of a folder could be held against its list.
    #[error("{root}: not all of it was verified")]
    Undecided {
        /// The folder.
        root: String,
    },
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// A defect: the work ended without an answer.
    #[error("the work ended without an answer: {0}")]
    Panicked(String),
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Null { .. }
            | Self::NotUtf8 { .. }
            | Self::Argument { .. }
            | Self::Call { .. } => ErrorKind::Invalid,
            Self::NoValue { .. } => ErrorKind::NotFound,
            Self::Differs { .. } => ErrorKind::CheckFailed,
            Self::Undecided { .. } => ErrorKind::Undecided,
            Self::Thread(_) => ErrorKind::Io,
            Self::Panicked(_) => ErrorKind::Internal,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Null { .. } => "c.null",
            Self::NotUtf8 { .. } => "c.not_utf8",
            Self::Argument { .. } => "c.argument",
            Self::Call { .. } => "c.call",
            Self::NoValue { .. } => "c.no_value",
            Self::Differs { .. } => "c.differs",
            Self::Undecided { .. } => "c.undecided",
            Self::Thread(_) => "c.thread",
            Self::Panicked(_) => "c.panicked",
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Null { .. } => "pass a pointer; only arguments that say so may be NULL",
            Self::NotUtf8 { .. } => "convert it; only paths may be any bytes",
            Self::Argument { .. } => "docs/c.md says what it takes",
            Self::Call { .. } => "docs/rest.md lists the calls",
            Self::NoValue { .. } => "look at the whole JSON text",
            Self::Differs { .. } => "the report names each difference",
            Self::Undecided { .. } => "verify again with more time, or by a list with more in it",
            Self::Thread(_) => "raise the limit of threads of this process",
            Self::Panicked(_) => "please report it, with what was asked",
        };
        Some(hint.into())
    }
}

/// The last failure on a thread.
#[derive(Default)]
struct Last {
    message: CString,
    code: CString,
    hint: Option<CString>,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Remembers a failure for this thread, and says what to answer.
pub(super) fn remember(error: &AnyError) -> Status {
    let last = Last {
        message: c_string(error.chain()),
        code: c_string(error.code()),
        hint: error.hint().map(|hint| c_string(&*hint)),
    };
    // A thread that is ending remembers nothing any more.
    let _ = LAST.try_with(|slot| slot.replace(Some(last)));
    error.kind().into()
}

fn recall(part: impl Fn(&Last) -> Option<*const c_char>) -> *const c_char {
    LAST.try_with(|slot| slot.borrow().as_ref().and_then(part))
        .ok()
        .flatten()
        .unwrap_or(ptr::null())
}

/// What went wrong in the last call of the calling thread that failed, with its causes;
/// NULL before the first. Stays valid until the next call that fails on this thread; not
/// to be freed. From any thread, each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn databridge_error_message() -> *const c_char {
    recall(|last| Some(last.message.as_ptr()))
}

/// The stable code of that failure, such as `copy.no_space` (docs/errors.md lists them).
/// Lives and is shared as the message.
#[unsafe(no_mangle)]
pub extern "C" fn databridge_error_code() -> *const c_char {
    recall(|last| Some(last.code.as_ptr()))
}

/// What to do next about that failure, in one sentence; may be NULL. Lives and is shared as
/// the message.
#[unsafe(no_mangle)]
pub extern "C" fn databridge_error_hint() -> *const c_char {
    recall(|last| last.hint.as_ref().map(|hint| hint.as_ptr()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_own() {
        let known: HashSet<Status> = ErrorKind::ALL.into_iter().map(Status::from).collect();
        assert_eq!(known.len(), ErrorKind::ALL.len());
        assert!(!known.contains(&Status::Ok));
    }
}
