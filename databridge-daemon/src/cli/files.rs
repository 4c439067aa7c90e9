//! `databridge checksum`, `copy`, `verify`, `manifest`, `sequences`: no store is involved.

mod checksum;
mod copy;
mod manifest;
mod object;
mod sequences;
mod units;
mod verify;

pub use checksum::Checksum;
pub use copy::Copy;
pub use manifest::Manifest;
pub use sequences::Sequences;
pub(super) use units::rate;
pub use verify::Verify;
