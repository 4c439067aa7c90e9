//! One worker, undisturbed or interrupted.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use databridge_core::Fault;
use databridge_core::media::copy::{self, Aborted, Discrepancy, Error, RenameMethod, Worth};
use uuid::Uuid;

use super::{Room, StopAfter, content, deliver};

#[test]
fn every_phase_in_turn_delivers() {
    let room = Room::new();
    let old = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_000_123_456_789);
    File::options()
        .write(true)
        .open(room.source().join("note.txt"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    fs::set_permissions(room.source().join("note.txt"), PermissionsExt::from_mode(0o6777)).unwrap();
    let plan = room.plan(1);

    let prepared = copy::prepare(&plan).unwrap();
    assert_eq!((prepared.adopting, prepared.taken_over, prepared.kept_files), (false, None, 0));
    room.assert_invisible();
    let done = copy::transfer(&plan, &()).unwrap();
    assert_eq!((done.files, done.bytes), (plan.manifest.file_count(), plan.manifest.total_bytes()));
    assert_eq!(room.partial().metadata().unwrap().mode() & 0o7777, 0o700);
    room.assert_invisible();
    let read = copy::verify(&plan, &()).unwrap();
    assert_eq!((read.files, read.bytes), (done.files, done.bytes));
    assert!(read.worth >= Worth::Memory);
    room.assert_invisible();
    let published = copy::publish(&plan, &()).unwrap();
    assert!(!published.adopted);
    assert_eq!(published.rename, RenameMethod::NoReplace);
    copy::finish(&plan).unwrap();
    copy::finish(&plan).unwrap();
    room.assert_delivered();

    let note = room.destination().join("note.txt").metadata().unwrap();
    assert_eq!(note.modified().unwrap(), old);
    assert_eq!(note.mode() & 0o7777, 0o644);
    for dir in ["", "plates", "plates/empty/below"] {
        let mode = room.destination().join(dir).metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o755, "{dir}");
    }
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    for reprepare in [Some(2), Some(1), None] {
        let room = Room::new();
        let mut plan = room.plan(1);
        plan.policy.jobs = NonZeroUsize::new(1);
        copy::prepare(&plan).unwrap();
        let stopped = copy::transfer(&plan, &StopAfter::files(4)).unwrap_err();
        assert!(matches!(stopped, Error::Cancelled), "{stopped:?}");
        room.assert_invisible();
        if let Some(epoch) = reprepare {
            plan.attempt.epoch = epoch;
            let prepared = copy::prepare(&plan).unwrap();
            assert_eq!(prepared.kept_files, 4);
            assert_eq!(prepared.taken_over, (epoch == 2).then_some(1));
        }
        let done = copy::transfer(&plan, &()).unwrap();
        assert_eq!(done.kept_files, 4);
        assert_eq!(done.files + 4, plan.manifest.file_count());
        copy::verify(&plan, &()).unwrap();
        copy::publish(&plan, &()).unwrap();
        copy::finish(&plan).unwrap();
        room.assert_delivered();
    }
}

#[test]
fn what_is_not_marked_as_done_is_written_again() {
    let room = Room::new();
    let plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    let held = fs::read_dir(room.partial()).unwrap().count();
    let note = room.partial().join("note.txt");
    let before = note.metadata().unwrap().ino();
    // As after a crash that tore the journal: only its header and `ready` are whole.
    let journal = &room.hidden("journal")[0];
    let text = fs::read_to_string(journal).unwrap();
    let mut torn: String = text.lines().take(1).map(|line| format!("{line}\n")).collect();
    torn.push_str("{\"mark\":\"ready\"}\n{\"mark\":\"done\",\"pa");
    fs::write(journal, torn).unwrap();
    let keep = File::open(&note).unwrap();
    let done = copy::transfer(&plan, &()).unwrap();
    assert_eq!(done.kept_files, 0);
    assert_ne!(note.metadata().unwrap().ino(), before, "a new inode");
    drop(keep);
    assert_eq!(fs::read_dir(room.partial()).unwrap().count(), held);
    copy::verify(&plan, &()).unwrap();
    copy::publish(&plan, &()).unwrap();
    copy::finish(&plan).unwrap();
    room.assert_delivered();
}

#[test]
fn damage_is_caught_and_only_the_damaged_is_written_again() {
    let room = Room::new();
    let plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    for name in ["plates/a/comp.0003.exr", "plates/a/comp.0008.exr"] {
        let path = room.partial().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
    }
    let error = copy::verify(&plan, &()).unwrap_err();
    assert!(
        matches!(&error, Error::ReadBackMismatch { path, others: 1 } if path == "plates/a/comp.0003.exr"),
        "{error:?}"
    );
    assert_eq!(error.code(), "copy.read_back_mismatch");
    assert!(matches!(copy::publish(&plan, &()), Err(Error::NotVerified { .. })));
    assert_eq!(copy::transfer(&plan, &()).unwrap().files, 2);
    copy::verify(&plan, &()).unwrap();
    copy::publish(&plan, &()).unwrap();
    copy::finish(&plan).unwrap();
    room.assert_delivered();
}

#[test]
fn a_partial_folder_that_is_not_exactly_the_manifest_is_caught() {
    type Meddle = fn(&std::path::Path);
    let cases: [(Meddle, &str, Discrepancy); 6] = [
        (|p| fs::write(p.join("plates/x"), "").unwrap(), "plates/x", Discrepancy::Extra),
        (|p| fs::create_dir(p.join("new")).unwrap(), "new", Discrepancy::Extra),
        (|p| fs::remove_file(p.join("note.txt")).unwrap(), "note.txt", Discrepancy::Missing),
        (
            |p| fs::remove_dir(p.join("plates/empty/below")).unwrap(),
            "plates/empty/below",
            Discrepancy::Missing,
        ),
        (|p| symlink("note.txt", p.join("link")).unwrap(), "link", Discrepancy::Special),
        (
            |p| {
                fs::remove_file(p.join("note.txt")).unwrap();
                fs::create_dir(p.join("note.txt")).unwrap();
            },
            "note.txt",
            Discrepancy::Special,
        ),
    ];
    for (meddle, name, expected) in cases {
        let room = Room::new();
        let plan = room.plan(1);
        copy::prepare(&plan).unwrap();
        copy::transfer(&plan, &()).unwrap();
        meddle(&room.partial());
        match copy::verify(&plan, &()).unwrap_err() {
            Error::PartialDiffers { path, what } => {
                assert_eq!((path.as_str(), what), (name, expected))
            }
            other => panic!("{other:?}"),
        }
        copy::transfer(&plan, &()).unwrap();
        copy::verify(&plan, &()).unwrap();
        // And after the read-back: publishing looks once more.
        meddle(&room.partial());
        assert!(matches!(copy::publish(&plan, &()), Err(Error::NotVerified { .. })), "{name}");
        room.assert_invisible();
        copy::transfer(&plan, &()).unwrap();
        copy::verify(&plan, &()).unwrap();
        copy::publish(&plan, &()).unwrap();
        copy::finish(&plan).unwrap();
        room.assert_delivered();
    }
}

#[test]
fn a_write_after_the_read_back_is_caught_though_size_and_time_stay() {
    let room = Room::new();
    let plan = room.plan(1);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    let path = room.partial().join("note.txt");
    let modified = path.metadata().unwrap().modified().unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"F").unwrap();
    file.set_modified(modified).unwrap();
    assert!(matches!(copy::publish(&plan, &()), Err(Error::NotVerified { .. })));
    let error = copy::verify(&plan, &()).unwrap_err();
    assert!(matches!(error, Error::ReadBackMismatch { others: 0, .. }), "{error:?}");
}

#[test]
fn a_source_that_is_not_the_manifests_is_refused_by_name() {
    let meddle = |room: &Room, how: usize| {
        let path = room.source().join("plates/a/comp.0004.exr");
        match how {
            0 => fs::remove_file(&path).unwrap(),
            1 => fs::write(&path, content(99, 4097)).unwrap(),
            2 => fs::write(&path, content(4, 4098)).unwrap(),
            _ => {
                fs::remove_file(&path).unwrap();
                symlink("comp.0003.exr", &path).unwrap();
            }
        }
    };
    for (how, code) in
        ["copy.source_missing", "copy.source_differs", "copy.source_differs", "copy.source_changed"]
            .into_iter()
            .enumerate()
    {
        let room = Room::new();
        let plan = room.plan(1);
        copy::prepare(&plan).unwrap();
        meddle(&room, how);
        let error = copy::transfer(&plan, &()).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains("plates/a/comp.0004.exr"), "{error}");
        room.assert_invisible();
        assert_eq!(copy::abort(&plan).unwrap(), Aborted::Removed);
        room.assert_nothing();
    }
}

#[test]
fn a_source_that_changes_under_the_reader_is_caught() {
    let changes: [fn(&std::path::Path); 3] = [
        |path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap(),
        |path| OpenOptions::new().write(true).open(path).unwrap().set_len(1_500_000).unwrap(),
        |path| OpenOptions::new().write(true).open(path).unwrap().write_all(b"other").unwrap(),
    ];
    for change in changes {
        let room = Room::empty();
        room.write("long.mov", &content(1, 5_000_000));
        let plan = room.plan(1);
        copy::prepare(&plan).unwrap();
        let path = room.source().join("long.mov");
        let error = copy::transfer(&plan, &super::When::bytes(2, || change(&path))).unwrap_err();
        assert!(matches!(error, Error::SourceChanged { .. }), "{error:?}");
    }
}

#[test]
fn nothing_that_stands_at_the_final_path_is_replaced() {
    let occupy: [fn(&std::path::Path); 3] = [
        |path| fs::write(path, "theirs").unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("nowhere", path).unwrap(),
    ];
    for occupy in occupy {
        let room = Room::new();
        let plan = room.plan(1);
        occupy(&room.destination());
        let before = room.destination().symlink_metadata().unwrap().ino();
        assert!(matches!(deliver(&plan), Err(Error::DestinationExists { .. })));
        room.assert_only(&["TRF-00042"]);
        assert_eq!(room.destination().symlink_metadata().unwrap().ino(), before);

        // Also when it comes at the last moment.
        let room = Room::new();
        let plan = room.plan(1);
        copy::prepare(&plan).unwrap();
        copy::transfer(&plan, &()).unwrap();
        copy::verify(&plan, &()).unwrap();
        occupy(&room.destination());
        assert!(matches!(copy::publish(&plan, &()), Err(Error::DestinationExists { .. })));
        assert_eq!(copy::abort(&plan).unwrap(), Aborted::Removed);
        room.assert_only(&["TRF-00042"]);
    }
}

#[test]
fn a_second_delivery_to_the_same_path_steps_back() {
    let room = Room::new();
    let plan = room.plan(7);
    copy::prepare(&plan).unwrap();
    let mut other = room.plan(1);
    other.attempt.id = Uuid::now_v7();
    let error = copy::prepare(&other).unwrap_err();
    assert!(
        matches!(error, Error::OtherDelivery { attempt, .. } if attempt == room.id),
        "{error:?}"
    );
    assert!(matches!(copy::transfer(&other, &()), Err(Error::Fenced { .. })));
    copy::abort(&other).unwrap();
    deliver(&plan).unwrap();
    room.assert_delivered();
    assert!(matches!(copy::prepare(&other), Err(Error::DestinationExists { .. })));
}

#[test]
fn folders_without_write_permission_are_made_resumed_and_aborted() {
    let room = Room::new();
    let mut plan = room.plan(1);
    (plan.policy.dir_mode, plan.policy.file_mode) = (0o550, 0o440);
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    fs::remove_file(room.partial().join("note.txt")).unwrap();
    plan.attempt.epoch = 2;
    copy::prepare(&plan).unwrap();
    copy::transfer(&plan, &()).unwrap();
    copy::verify(&plan, &()).unwrap();
    let mut aborted = plan.clone();
    aborted.attempt.epoch = 3;
    assert_eq!(copy::abort(&aborted).unwrap(), Aborted::Removed);
    assert_eq!(copy::abort(&aborted).unwrap(), Aborted::Removed);
    room.assert_nothing();
    plan.attempt.epoch = 4;
    deliver(&plan).unwrap();
    assert_eq!(room.destination().metadata().unwrap().mode() & 0o7777, 0o550);
    assert_eq!(room.destination().join("plates").metadata().unwrap().mode() & 0o7777, 0o550);
    fs::set_permissions(room.destination(), PermissionsExt::from_mode(0o750)).unwrap();
}

#[test]
fn holes_stay_holes() {
    let room = Room::empty();
    let path = room.source().join("cache.vdb");
    let mut file = File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all(b"head").unwrap();
    let plan = room.plan(1);
    deliver(&plan).unwrap();
    room.assert_delivered();
    let blocks = room.destination().join("cache.vdb").metadata().unwrap().blocks();
    assert!(blocks * 512 < 4 << 20, "{blocks} blocks");
}

#[test]
fn the_parents_above_the_final_path_are_made() {
    let room = Room::new();
    let mut plan = room.plan(1);
    plan.destination = room.dir.path().join("production/show/plates/TRF-1");
    deliver(&plan).unwrap();
    assert_eq!(super::manifest(&plan.destination), plan.manifest);
    plan.destination = room.source().join("inside/TRF-1");
    assert!(matches!(copy::prepare(&plan), Err(Error::InsideSource { .. })));
    assert!(!room.source().join("inside").exists());
    plan.destination = "/".into();
    assert!(matches!(copy::prepare(&plan), Err(Error::InvalidDestination { .. })));
}
