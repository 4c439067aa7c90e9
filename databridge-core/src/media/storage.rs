//! Path safety, here and only here: which names are admitted ([`RelPath`],
//! [`collisions`]), and how they are reached without ever leaving their root
//! ([`Folder`]).

mod aligned;
mod beneath;
mod collision;
mod device;
mod drive;
mod durable;
mod error;
mod folder;
mod location;
mod medium;
mod nearest;
mod path;
mod space;
mod stat;

pub(crate) use aligned::{ALIGN_BYTES, Aligned, aligned_down, aligned_up};
pub use collision::{Clash, Collision, collisions};
pub(crate) use device::DeviceFile;
pub(crate) use drive::Drive;
pub use durable::make_dirs;
pub use error::Error;
pub use folder::{Folder, NoReplace};
#[cfg(feature = "cloud")]
pub(in crate::media) use location::percent_decode;
pub use location::{Location, ObjectLocation};
pub use medium::{Medium, Worth};
pub(crate) use nearest::Nearest;
pub use path::{Flaw, RESERVED_PREFIX, RelPath, escape};
pub use space::Space;
pub use stat::{Kind, Stat};
