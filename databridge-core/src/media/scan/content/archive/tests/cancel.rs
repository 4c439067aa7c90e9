//! A walk that nobody waits for any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::super::bytes::Bytes;
use super::super::super::policy::Limits;
use super::super::{Seen, walk};
use super::packed::{sevenz_of, xz_of};
use super::{gzip_of, tar_of, zip_of};
use crate::media::monitor::Monitor;
use crate::media::scan::{self, Engine, Error, Files, Settings};
use crate::media::storage::RelPath;

/// Stops at the `left`th question; counts those that come after.
struct Stop {
    asked: AtomicU64,
    at: u64,
}

impl Stop {
    fn at(at: u64) -> Self {
        Self { asked: AtomicU64::new(0), at }
    }
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Monitor for Stop {
    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.at
    }
}

/// What was unpacked, and whether the walk was broken off.
fn walked(bytes: &[u8], stop: &Stop) -> (u64, bool) {
    let limits = Limits { ratio: u64::MAX, ..Limits::default() };
    let (mut unpacked, mut is_broken) = (0, false);
    walk(Bytes::held(bytes), "a", limits, Duration::MAX, stop, &mut |seen| match seen {
        Seen::Entry(entry) => unpacked += entry.size_bytes,
        Seen::Failed(why) => is_broken = why.contains("cancelled"),
        _ => {}
    });
    (unpacked, is_broken)
}

#[test]
fn it_ends_at_once_and_asks_often() {
    const MIB: u64 = 1 << 20;
    let content = vec![7; 20 << 20];
    let many: Vec<(String, &[u8])> = (0..2000).map(|n| (format!("{n}"), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (&name[..], *bytes)).collect();
    for (name, bytes) in [
        ("zip", zip_of(&[("a", &content)])),
        ("tar.gz", gzip_of(&tar_of(&[("a", &content)]))),
        ("gz", gzip_of(&content)),
        ("xz", xz_of(&content)),
        ("7z", sevenz_of(&[("a", &content)])),
        ("many.zip", zip_of(&many)),
    ] {
        let never = Stop::at(u64::MAX);
        let (unpacked, is_broken) = walked(&bytes, &never);
        assert!(!is_broken && unpacked % (20 * MIB) == 0, "{name}: {unpacked}");
        // Less lies between two questions than a second unpacks.
        let questions = unpacked / (16 * MIB) + 2;
        assert!(never.asked() >= questions, "{name}: asked {} times", never.asked());
        for at in [0, 1, never.asked() / 2, never.asked() - 1] {
            let stop = Stop::at(at);
            let (_, is_broken) = walked(&bytes, &stop);
            assert!(is_broken, "{name}: not at question {at}");
            assert!(stop.asked() <= at + 3, "{name}: {} questions after {at}", stop.asked());
        }
    }
}

#[test]
fn the_scan_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let content = vec![7; 40 << 20];
    std::fs::write(folder.path().join("a.zip"), zip_of(&[("a", &content)])).unwrap();
    let mut settings = Settings { engine: Engine::Rules, ..Settings::default() };
    settings.content.archives.ratio = u64::MAX;
    let files = [RelPath::parse("a.zip").unwrap()];
    let scan = |stop: &Stop| scan::tree(folder.path(), Files::Paths(&files), &settings, stop);
    let never = Stop::at(u64::MAX);
    scan(&never).unwrap();
    // Of its questions few are asked before the archive is opened.
    for at in [never.asked() / 4, never.asked() / 2, never.asked() - 2] {
        let stop = Stop::at(at);
        assert!(matches!(scan(&stop), Err(Error::Cancelled)), "not at question {at}");
        assert!(stop.asked() <= at + 8, "{} questions after {at}", stop.asked());
    }
}
