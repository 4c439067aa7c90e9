//! ASC MHL version 2 (the American Society of Cinematographers' Media Hash List):
//! a chain of generations in `ascmhl/`, each a list of the files as they were then.

mod generation;
mod history;
mod write;

pub(super) use generation::parse;
pub(super) use history::{FOLDER, read};
pub use write::{Written, write};
