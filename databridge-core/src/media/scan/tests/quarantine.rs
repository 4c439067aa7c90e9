use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::media::checksum::Sha256;

fn verdict(path: &str, content: &[u8]) -> FileVerdict {
    FileVerdict {
        path: rel(path),
        verdict: Verdict::Infected { name: "Test".into() },
        engine: "clamd".into(),
        size_bytes: Some(content.len() as u64),
        sha256: Some(Sha256::of(content)),
        findings: Vec::new(),
        accepted: None,
    }
}

fn infected() -> (tempfile::TempDir, tempfile::TempDir, FileVerdict) {
    let (root, quarantine) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(root.path().join("sub")).unwrap();
    std::fs::write(root.path().join("sub/a.exr"), b"bad").unwrap();
    (root, quarantine, verdict("sub/a.exr", b"bad"))
}

#[test]
fn the_file_goes_and_the_evidence_stays() {
    let (root, dir, verdict) = infected();
    let dir = dir.path().join("made/here");
    let done = quarantine(root.path(), &verdict, &dir).unwrap();
    assert!(!root.path().join("sub/a.exr").exists());
    assert_eq!(done.file.metadata().unwrap().mode() & 0o7777, 0);
    assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
    let evidence: Evidence =
        serde_json::from_slice(&std::fs::read(&done.evidence_file).unwrap()).unwrap();
    assert_eq!(evidence, done.evidence);
    assert_eq!((evidence.path.as_str(), evidence.engine.as_str()), ("sub/a.exr", "clamd"));
    assert_eq!(evidence.sha256, Sha256::of(b"bad"));
    assert_eq!(evidence.verdict, verdict.verdict);
    std::fs::set_permissions(&done.file, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(std::fs::read(&done.file).unwrap(), b"bad");

    assert_eq!(quarantine(root.path(), &verdict, &dir).unwrap(), done, "again, and sealed again");
    assert_eq!(done.file.metadata().unwrap().mode() & 0o7777, 0);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
}

#[test]
fn a_kill_after_the_copy_and_before_the_removal() {
    let (root, dir, verdict) = infected();
    let done = quarantine(root.path(), &verdict, dir.path()).unwrap();
    std::fs::write(root.path().join("sub/a.exr"), b"bad").unwrap();
    assert_eq!(quarantine(root.path(), &verdict, dir.path()).unwrap(), done);
    assert!(!root.path().join("sub/a.exr").exists());
}

#[test]
fn a_kill_before_the_file_moved() {
    let (root, dir, verdict) = infected();
    let done = quarantine(root.path(), &verdict, dir.path()).unwrap();
    std::fs::rename(&done.file, root.path().join("sub/a.exr")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o444);
    std::fs::set_permissions(root.path().join("sub/a.exr"), mode).unwrap();
    std::fs::write(done.file.with_extension("partial"), b"half").unwrap();
    let again = quarantine(root.path(), &verdict, dir.path()).unwrap();
    assert_eq!(again.evidence.quarantined_at, done.evidence.quarantined_at);
}

#[test]
fn other_content_is_never_replaced() {
    let (root, dir, verdict) = infected();
    quarantine(root.path(), &verdict, dir.path()).unwrap();
    std::fs::write(root.path().join("sub/a.exr"), b"else").unwrap();
    let error = quarantine(root.path(), &verdict, dir.path()).unwrap_err();
    assert!(matches!(error, Error::QuarantineConflict { .. }));
    assert!(root.path().join("sub/a.exr").exists());
}

#[test]
fn nothing_there_is_said_so() {
    let (root, dir, _) = infected();
    let error = quarantine(root.path(), &verdict("none", b""), dir.path()).unwrap_err();
    assert!(matches!(error, Error::NothingToQuarantine { .. }));
}

#[test]
fn onto_another_file_system() {
    let (root, _, verdict) = infected();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    if other.path().metadata().unwrap().dev() == root.path().metadata().unwrap().dev() {
        eprintln!("skipped: /dev/shm and the temporary folder are one file system");
        return;
    }
    let done = quarantine(root.path(), &verdict, other.path()).unwrap();
    assert!(!root.path().join("sub/a.exr").exists());
    assert_eq!(done.file.metadata().unwrap().mode() & 0o7777, 0);
    assert_eq!(done.evidence.sha256, Sha256::of(b"bad"));
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 2);
}

/// A file in quarantine on another file system than its tree's.
fn far_away() -> Option<(tempfile::TempDir, tempfile::TempDir, FileVerdict, Quarantined)> {
    let (root, _, verdict) = infected();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    if other.path().metadata().unwrap().dev() == root.path().metadata().unwrap().dev() {
        eprintln!("skipped: /dev/shm and the temporary folder are one file system");
        return None;
    }
    let done = quarantine(root.path(), &verdict, other.path()).unwrap();
    Some((root, other, verdict, done))
}

#[test]
fn back_from_another_file_system() {
    let Some((root, other, verdict, done)) = far_away() else { return };
    let file = root.path().join("sub/a.exr");
    release(root.path(), &verdict, other.path()).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"bad");
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o440);
    assert!(!done.file.exists() && done.evidence_file.exists());
    assert_eq!(std::fs::read_dir(root.path().join("sub")).unwrap().count(), 1);
    release(root.path(), &verdict, other.path()).unwrap();

    // A kill after the copy and before the removal; and one in the middle of the copy.
    quarantine(root.path(), &verdict, other.path()).unwrap();
    std::fs::write(&file, b"bad").unwrap();
    release(root.path(), &verdict, other.path()).unwrap();
    assert!(file.exists() && !done.file.exists());
    quarantine(root.path(), &verdict, other.path()).unwrap();
    let name = done.file.file_name().unwrap().to_str().unwrap();
    std::fs::write(root.path().join(format!("sub/.{name}.partial")), b"half").unwrap();
    release(root.path(), &verdict, other.path()).unwrap();
    assert_eq!(std::fs::read_dir(root.path().join("sub")).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_released_is_sealed_and_replaces_nothing() {
    let (root, dir, verdict) = infected();
    let done = quarantine(root.path(), &verdict, dir.path()).unwrap();
    let cases = [Some((root, dir, verdict, done)), far_away()];
    for (root, dir, verdict, done) in cases.into_iter().flatten() {
        let sealed = || done.file.metadata().unwrap().mode() & 0o7777;
        std::fs::write(root.path().join("sub/a.exr"), b"another").unwrap();
        let error = release(root.path(), &verdict, dir.path()).unwrap_err();
        assert!(matches!(error, Error::QuarantineConflict { .. }), "{error:?}");
        assert_eq!(std::fs::read(root.path().join("sub/a.exr")).unwrap(), b"another");
        assert_eq!(sealed(), 0);
        std::fs::remove_dir_all(root.path().join("sub")).unwrap();
        release(root.path(), &verdict, dir.path()).unwrap_err();
        assert_eq!(sealed(), 0);
    }
}
