#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#[cfg(feature = "clamav")]
mod clamd;
mod quarantine;
#[cfg(feature = "yara")]
mod rules;
#[cfg(all(feature = "yara", feature = "archives"))]
mod shipped;
mod tree;

use std::path::Path;

use super::*;
use crate::media::storage::RelPath;

#[cfg(any(feature = "clamav", feature = "yara"))]
/// Assembled, so that no scanner stops at this source.
fn eicar() -> Vec<u8> {
    let body = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"];
    body.concat().into_bytes()
}

fn rel(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

#[cfg(any(feature = "clamav", feature = "yara"))]
/// A picture of one line, in one chunk that fills it up; at least 91 bytes.
fn exr(len: usize) -> Vec<u8> {
    let mut bytes = b"\x76\x2f\x31\x01\x02\0\0\0".to_vec();
    bytes.extend_from_slice(b"dataWindow\0box2i\0\x10\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0");
    bytes.extend_from_slice(b"compression\0compression\0\x01\0\0\0\0\0");
    bytes.extend_from_slice(&(bytes.len() as u64 + 8).to_le_bytes());
    let size = len - bytes.len() - 8;
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
    bytes.resize(len, 0);
    bytes
}

/// Writes files and scans just them.
fn scan(root: &Path, files: &[(&str, &[u8])], settings: &Settings) -> Report {
    for (path, content) in files {
        std::fs::write(root.join(path), content).unwrap();
    }
    let paths: Vec<_> = files.iter().map(|(path, _)| rel(path)).collect();
    tree(root, Files::Paths(&paths), settings, &()).unwrap()
}

/// The verdict on one file of a report.
fn on(report: &Report, path: &str) -> Verdict {
    report
        .files
        .iter()
        .find(|file| file.path.as_str() == path)
        .map_or(Verdict::Clean, |file| file.verdict.clone())
}
