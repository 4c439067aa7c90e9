//! A crash between the rename and the caller's own record of it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use databridge_core::media::copy::{self, Error, Plan, RenameMethod};

use super::{Room, StopAfter, deliver};

/// Everything but the caller's record and what follows it.
fn publish(plan: &Plan) {
    copy::prepare(plan).unwrap();
    copy::transfer(plan, &()).unwrap();
    copy::verify(plan, &()).unwrap();
    copy::publish(plan, &()).unwrap();
}

#[test]
fn the_same_or_a_later_epoch_adopts_what_was_published() {
    for epoch in [1, 2] {
        let room = Room::new();
        publish(&room.plan(1));
        let inode = room.destination().metadata().unwrap().ino();
        let plan = room.plan(epoch);
        assert!(copy::prepare(&plan).unwrap().adopting);
        let done = copy::transfer(&plan, &()).unwrap();
        assert_eq!((done.files, done.kept_files), (0, plan.manifest.file_count()));
        assert_eq!(copy::verify(&plan, &()).unwrap().bytes, plan.manifest.total_bytes());
        let published = copy::publish(&plan, &()).unwrap();
        assert!(published.adopted);
        assert_eq!(published.rename, RenameMethod::NoReplace);
        copy::finish(&plan).unwrap();
        room.assert_delivered();
        assert_eq!(room.destination().metadata().unwrap().ino(), inode);
    }
}

#[test]
fn publishing_alone_reads_it_back_before_it_adopts() {
    let room = Room::new();
    publish(&room.plan(1));
    let plan = room.plan(2);
    copy::prepare(&plan).unwrap();
    // The read-back happens: it can be cancelled.
    assert!(matches!(copy::publish(&plan, &StopAfter::files(0)), Err(Error::Cancelled)));
    assert!(copy::publish(&plan, &()).unwrap().adopted);
    copy::finish(&plan).unwrap();
    room.assert_delivered();
}

#[test]
fn a_crash_before_the_rename_publishes_again() {
    let room = Room::new();
    publish(&room.plan(1));
    // As if the crash had come between the journal's identity and the rename.
    let journal = room.hidden("journal")[0].clone();
    let partial = journal.to_string_lossy().replace("journal", "partial");
    fs::rename(room.destination(), partial).unwrap();
    let published = deliver(&room.plan(2)).unwrap();
    assert!(!published.adopted);
    room.assert_delivered();
}

#[test]
fn another_inode_at_the_final_path_is_a_conflict() {
    let room = Room::new();
    publish(&room.plan(1));
    let aside = room.dir.path().join("aside");
    fs::rename(room.destination(), &aside).unwrap();
    fs::create_dir(room.destination()).unwrap();
    fs::write(room.destination().join("theirs"), "").unwrap();
    for epoch in [1, 2] {
        let error = deliver(&room.plan(epoch)).unwrap_err();
        assert!(matches!(error, Error::DestinationExists { .. }), "{error:?}");
    }
    assert!(room.destination().join("theirs").exists());
}

#[test]
fn what_somebody_changed_after_the_publication_stays_theirs() {
    let edits: [fn(&std::path::Path); 3] = [
        |path| fs::write(path.join("theirs"), "").unwrap(),
        |path| fs::write(path.join("note.txt"), "edited").unwrap(),
        |path| fs::remove_file(path.join("note.txt")).unwrap(),
    ];
    for edit in edits {
        let room = Room::new();
        publish(&room.plan(1));
        edit(&room.destination());
        let before = super::manifest(&room.destination());
        let error = deliver(&room.plan(2)).unwrap_err();
        assert!(matches!(error, Error::DestinationExists { .. }), "{error:?}");
        assert_eq!(super::manifest(&room.destination()), before);
    }
}

#[test]
fn a_source_that_is_another_by_now_takes_nothing_away() {
    let edits: [fn(&std::path::Path); 4] = [
        |path| fs::write(path.join("note.txt"), "edited").unwrap(),
        |path| fs::write(path.join("added"), "").unwrap(),
        |path| fs::create_dir(path.join("an empty folder")).unwrap(),
        |path| fs::remove_file(path.join("note.txt")).unwrap(),
    ];
    for edit in edits {
        let room = Room::new();
        publish(&room.plan(1));
        let before = super::manifest(&room.destination());
        edit(&room.source());
        for epoch in [1, 2] {
            let plan = Plan { manifest: super::manifest(&room.source()), ..room.plan(epoch) };
            let error = deliver(&plan).unwrap_err();
            assert!(matches!(error, Error::DestinationExists { .. }), "{error:?}");
            assert_eq!(super::manifest(&room.destination()), before);
        }
    }
}

#[test]
fn after_the_end_nothing_is_adopted() {
    let room = Room::new();
    deliver(&room.plan(1)).unwrap();
    assert!(matches!(copy::prepare(&room.plan(2)), Err(Error::DestinationExists { .. })));
    room.assert_delivered();
}
