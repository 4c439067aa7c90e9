//! What is told to other programs after the fact: hooks, each a command or a webhook, run
//! as jobs beside the work that they follow and never in its way.

mod command;
mod error;
mod hook;
mod look;
mod runner;
mod secret;
mod sql;
#[cfg(feature = "remote")]
mod webhook;

pub use error::Error;
pub use hook::{Hook, Kind};
pub use runner::{HookView, Hooks, KIND, Message, enqueue, of_subject, retry};

/// So much of what a hook says is kept: the end of it.
const SAID_BYTES: usize = 2000;

/// The end of what was said, as one text without control characters.
fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(SAID_BYTES);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    let shown = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.trim().chars().map(shown).collect()
}
