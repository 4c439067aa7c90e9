//! The door of every entry: no panic goes through it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use databridge_core::Error as AnyError;

use super::error::{Error, Status, remember};

/// Runs an entry's body; a failure or a panic of it becomes a status, and is remembered.
///
/// Unwind safety: what a panic left half done is dropped with the body; handles hold
/// nothing that can be left half done.
pub fn guard(body: impl FnOnce() -> Result<(), AnyError>) -> Status {
    let done = catch_unwind(AssertUnwindSafe(body));
    let failed = match done {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(error)) => error,
        Err(panic) => Error::Panicked(said(panic)).into(),
    };
    // What makes the message is not trusted either.
    catch_unwind(AssertUnwindSafe(|| remember(&failed))).unwrap_or(Status::Internal)
}

/// What a panic said.
fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    match text.or_else(|| panic.downcast_ref::<String>().cloned()) {
        Some(text) => text,
        None => {
            // Dropping something unknown could panic again.
            std::mem::forget(panic);
            "a panic without a message".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use std::ffi::CStr;

    use super::*;
    use crate::error::{databridge_error_code, databridge_error_message};

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard(|| panic!("at step {}", 3)), Status::Internal);
        // SAFETY: both are texts of this thread, and nothing fails in between.
        let (code, message) = unsafe {
            (CStr::from_ptr(databridge_error_code()), CStr::from_ptr(databridge_error_message()))
        };
        assert_eq!(code, c"c.panicked");
        assert!(message.to_str().unwrap().ends_with("at step 3"));
        assert_eq!(guard(|| std::panic::panic_any(Bomb)), Status::Internal);
        assert_eq!(guard(|| Ok(())), Status::Ok);
    }
}
