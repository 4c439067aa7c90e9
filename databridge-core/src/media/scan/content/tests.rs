#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Samples against what the checks must find in them, typed by hand from the
//! formats' specifications.

mod formats;
mod policies;
pub(super) mod samples;

use std::time::Duration;

use super::super::{HEAD_BYTES, Members, Reason, Said, Scanner, Settings, Subject, Verdict};
use super::Content;
use crate::media::storage::RelPath;

/// What the content checks say of bytes under a name, held whole.
pub(super) fn look(settings: &Settings, name: &str, bytes: &[u8]) -> Vec<Said> {
    let path = RelPath::parse(name).unwrap();
    let file = tempfile::tempfile().unwrap();
    let subject = Subject {
        path: &path,
        file: &file,
        size_bytes: bytes.len() as u64,
        head: &bytes[..bytes.len().min(HEAD_BYTES)],
        whole: Some(bytes),
        members: &Members::default(),
        timeout: Duration::from_secs(60),
        monitor: &(),
    };
    Content::new(settings).explain(&subject)
}

/// The names of what was found, or the reason why nothing was.
pub(super) fn names(said: &[Said]) -> Vec<String> {
    said.iter()
        .map(|said| match &said.verdict {
            Verdict::Suspicious { rule } => rule.clone(),
            Verdict::NotScanned { reason } => reason.to_string(),
            other => other.to_string(),
        })
        .collect()
}

pub(super) fn found(name: &str, bytes: &[u8]) -> Vec<String> {
    names(&look(&Settings::default(), name, bytes))
}

pub(super) const NOTHING: &[&str] = &["no_antivirus"];

#[test]
fn nothing_is_said_to_be_clean() {
    assert_eq!(found("a.exr", &samples::exr(4)), [Reason::NoAntivirus.to_string()]);
    assert_eq!(found("empty.exr", b""), NOTHING);
    assert_eq!(found("empty.exe", b""), ["content.executable_name"]);
}
