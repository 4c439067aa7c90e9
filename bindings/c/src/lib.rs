//! DataBridge as a C library. Each entry reads its arguments, calls DataBridge and
//! hands the answer over as a JSON text; no rule is here.
//!
//! What holds for every entry stands in `docs/c.md`: it answers a [`Status`]; what
//! went wrong is remembered for the calling thread ([`error`]); no panic leaves it
//! ([`guard`]); a pointer that must not be NULL is looked at before it is used.

// The one crate of the workspace that may: a C interface is pointers.
#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]

pub mod client;
pub mod error;
pub mod files;
mod guard;
mod text;
pub mod version;
pub mod watch;

pub use error::Status;
pub use text::{databridge_json_text, databridge_string_free};
