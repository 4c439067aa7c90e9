//! Path safety, here and only here: which names are admitted ([`RelPath`],
//! [`collisions`]), and how they are reached without ever leaving their root
//! ([`Folder`]).

mod beneath;
mod collision;
mod durable;
mod error;
mod folder;
mod location;
mod path;
mod stat;

pub use collision::{Clash, Collision, collisions};
pub use durable::make_dirs;
pub use error::Error;
pub use folder::{Folder, NoReplace};
#[cfg(feature = "cloud")]
pub(in crate::media) use location::percent_decode;
pub use location::{Location, ObjectLocation};
pub use path::{Flaw, RESERVED_PREFIX, RelPath, escape};
pub use stat::{Kind, Stat};
