//! `databridge checksum`, `copy`, `verify`, `manifest`: no store is involved.

mod checksum;
mod copy;
mod manifest;
mod verify;

pub use checksum::Checksum;
pub use copy::{Copy, rate};
pub use manifest::Manifest;
pub use verify::Verify;
