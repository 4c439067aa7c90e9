//! The faulty file system, tried itself: a test on it is worth no more than it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use databridge_tests::faultfs::{FaultFs, Loss, Op};
use databridge_tests::process::{Daemon, PATIENCE, run};
use databridge_tests::tree::{Random, digest_tree, write_media};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    Advice, CWD, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags, XattrFlags, fadvise,
    fallocate, fcntl_lock, renameat_with, setxattr, statvfs,
};
use rustix::io::Errno;

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().as_ref().and_then(Errno::from_io_error)
}

fn put(path: &Path, content: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
}

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn drop_cache(file: &File) {
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn it_holds_a_tree_as_any_file_system_does() {
    let fs = FaultFs::mount();
    let (ours, plain) = (fs.path().join("shot"), tempfile::tempdir().unwrap());
    assert_eq!(write_media(&ours, 5), write_media(plain.path(), 5));
    fs::rename(ours.join("plates"), fs.path().join("moved")).unwrap();
    assert_eq!(digest_tree(&fs.path().join("moved")), digest_tree(&plain.path().join("plates")));
    fs::remove_dir_all(&ours).unwrap();
    assert_eq!(errno(fs::metadata(&ours)), Some(Errno::NOENT));
}

#[test]
fn a_folder_of_many_names_is_listed_and_removed_whole() {
    let fs = FaultFs::mount();
    let folder = fs.path().join("frames");
    fs::create_dir(&folder).unwrap();
    for frame in 0..3000 {
        File::create(folder.join(format!("a_long_name_for_a_frame_{frame:06}.exr"))).unwrap();
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3000);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn attributes_are_kept() {
    let fs = FaultFs::mount();
    let path = fs.path().join("plate");
    fs::write(&path, b"12345").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o640)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    file.set_modified(time).unwrap();
    file.set_len(3).unwrap();
    file.set_modified(time).unwrap();
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.mode() & 0o7777, facts.len()), (0o640, 3));
    assert_eq!(facts.modified().unwrap(), time);
    file.set_len(6).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"123\0\0\0");
    fs::hard_link(&path, fs.path().join("again")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
    std::os::unix::fs::symlink("plate", fs.path().join("link")).unwrap();
    assert_eq!(fs::read_link(fs.path().join("link")).unwrap(), Path::new("plate"));
    let refused = setxattr(&path, "user.show", b"x", XattrFlags::empty());
    assert_eq!(refused, Err(Errno::NOTSUP));
}

#[test]
fn an_open_file_outlives_its_name_and_gives_its_space_back_later() {
    let fs = FaultFs::mount();
    fs.capacity_bytes(64 * 4096);
    let path = fs.path().join("scratch");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all_at(&[7; 40 * 4096], 0).unwrap();
    fs::remove_file(&path).unwrap();
    drop_cache(&file);
    let mut back = [0; 2];
    file.read_exact_at(&mut back, 40 * 4096 - 2).unwrap();
    assert_eq!(back, [7; 2]);
    let free = || statvfs(fs.path()).unwrap().f_bfree;
    assert_eq!(free(), 24);
    drop(file);
    // The kernel lets go of a closed file behind our back; a new file's making
    // is answered after that.
    fs::write(fs.path().join("other"), [7; 60 * 4096]).unwrap();
    assert_eq!(free(), 4);
}

#[test]
fn direct_io_works_unless_it_is_refused() {
    let fs = FaultFs::mount();
    let open = |name: &str| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(fs.path().join(name))
    };
    let file = open("direct").unwrap();
    // The buffer's alignment is not asked for by FUSE, the offsets' neither.
    file.write_all_at(&[9; 8192], 0).unwrap();
    let mut back = [0; 8192];
    file.read_exact_at(&mut back, 0).unwrap();
    assert_eq!(back, [9; 8192]);
    fs.refuse_direct_io();
    assert_eq!(errno(open("refused")), Some(Errno::INVAL));
    fs.clear_faults();
    open("refused").unwrap();
}

#[test]
fn rename_flags_work_unless_they_are_refused() {
    let fs = FaultFs::mount();
    let (a, b, c) = (fs.path().join("a"), fs.path().join("b"), fs.path().join("c"));
    fs::write(&a, "a").unwrap();
    fs::write(&b, "b").unwrap();
    let rename = |from: &Path, to: &Path, flags| renameat_with(CWD, from, CWD, to, flags);
    assert_eq!(rename(&a, &b, RenameFlags::NOREPLACE), Err(Errno::EXIST));
    rename(&a, &b, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"b");
    rename(&a, &c, RenameFlags::NOREPLACE).unwrap();
    fs.refuse_rename_flags();
    assert_eq!(rename(&c, &a, RenameFlags::NOREPLACE), Err(Errno::INVAL));
    assert_eq!(rename(&c, &b, RenameFlags::EXCHANGE), Err(Errno::INVAL));
    fs::rename(&c, &a).unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"b");
}

#[test]
fn a_flipped_byte_is_on_the_device_and_not_in_the_page_cache() {
    let fs = FaultFs::mount();
    fs.flip_byte("/shot/plate", 5000);
    fs::create_dir(fs.path().join("shot")).unwrap();
    let path = fs.path().join("shot/plate");
    let content = Random::new(1).bytes(20_000);
    put(&path, &content);
    assert_eq!(fs.flipped(), 1);
    assert_eq!(fs::read(&path).unwrap(), content, "the cache hides it");
    let file = File::open(&path).unwrap();
    drop_cache(&file);
    let mut expected = content.clone();
    expected[5000] ^= 1;
    assert_eq!(fs::read(&path).unwrap(), expected);
    // Once: a second try is right.
    put(&path, &content);
    drop_cache(&file);
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn an_unflushed_byte_flips_when_the_device_is_read() {
    let fs = FaultFs::mount();
    fs.flip_byte("plate", 0);
    let path = fs.path().join("plate");
    fs::write(&path, [8; 100]).unwrap();
    assert_eq!(fs.flipped(), 0);
    drop_cache(&File::open(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap()[..2], [9, 8]);
}

#[test]
fn calls_fail_as_told_once_or_for_ever() {
    let fs = FaultFs::mount();
    let path = fs.path().join("plate");
    fs.fail(Op::Write, "plate", Errno::IO, 2);
    let mut file = File::create(&path).unwrap();
    file.write_all(b"1").unwrap();
    assert_eq!(errno(file.write_all(b"2")), Some(Errno::IO));
    file.write_all(b"3").unwrap();
    fs.fail(Op::Fsync, "plate", Errno::NOSPC, 1);
    assert_eq!(errno(file.sync_all()), Some(Errno::NOSPC));
    file.sync_data().unwrap();
    fs.fail(Op::Rename, "plate", Errno::STALE, 1);
    assert_eq!(errno(fs::rename(&path, fs.path().join("x"))), Some(Errno::STALE));
    fs.fail(Op::Rename, "plate", Errno::ACCESS, 1);
    assert_eq!(errno(fs::rename(&path, fs.path().join("x"))), Some(Errno::ACCESS));
    fs.fail_from(Op::Open, "plate", Errno::STALE, 1);
    assert_eq!(errno(File::open(&path)), Some(Errno::STALE));
    assert_eq!(errno(File::open(&path)), Some(Errno::STALE));
    fs.clear_faults();
    drop_cache(&file);
    fs.fail(Op::Read, "plate", Errno::IO, 1);
    let mut byte = [0];
    let direct = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&path)
        .unwrap();
    assert_eq!(errno(direct.read_at(&mut byte, 0)), Some(Errno::IO));
    assert_eq!(direct.read_at(&mut byte, 0).unwrap(), 1);
    // The kernel asks twice before it gives a stale name up.
    assert_eq!(fs.struck(), 10);
    assert_eq!(fs.count(Op::Fsync), 2);
}

#[test]
fn it_gets_full_and_tells_so_beforehand() {
    let fs = FaultFs::mount();
    fs.capacity_bytes(10 * 4096);
    let mut file = File::create(fs.path().join("plate")).unwrap();
    let wanted = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 20 * 4096);
    assert_eq!(wanted, Err(Errno::NOSPC));
    fallocate(&file, FallocateFlags::empty(), 0, 8 * 4096).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 8 * 4096);
    assert_eq!(statvfs(fs.path()).unwrap().f_bfree, 2);
    assert_eq!(errno(file.write_all(&[1; 20 * 4096])), Some(Errno::NOSPC));
    assert_eq!(file.metadata().unwrap().len(), 10 * 4096);
    fs::remove_file(fs.path().join("plate")).unwrap();
    drop(file);
    fs::write(fs.path().join("other"), [1; 10 * 4096]).unwrap();
}

#[test]
fn writes_come_short() {
    let fs = FaultFs::mount();
    fs.short_writes(1000);
    let path = fs.path().join("plate");
    let content = Random::new(2).bytes(10_000);
    let mut file = File::create(&path).unwrap();
    assert_eq!(file.write(&content).unwrap(), 1000);
    file.write_all(&content[1000..]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn what_is_not_flushed_is_gone_after_a_power_cut() {
    let mut fs = FaultFs::mount();
    let root = fs.path().to_owned();
    // Data and name flushed; data only; name only; nothing.
    put(&root.join("safe"), b"safe");
    fs::write(root.join("empty"), b"lost").unwrap();
    sync_dir(&root);
    put(&root.join("nameless"), b"flushed but not named");
    fs::write(root.join("nothing"), b"x").unwrap();
    let mut late = OpenOptions::new().append(true).open(root.join("safe")).unwrap();
    late.write_all(b" and later").unwrap();
    fs.power_cut(Loss::Everything);
    assert_eq!(fs::read(root.join("safe")).unwrap(), b"safe");
    assert_eq!(fs::read(root.join("empty")).unwrap(), b"");
    assert_eq!(digest_tree(&root).len(), 2);
    assert_eq!(errno(late.write_all(b"ghost")), Some(Errno::IO));
}

#[test]
fn a_rename_survives_only_when_a_folder_of_it_is_flushed() {
    let mut fs = FaultFs::mount();
    let root = fs.path().to_owned();
    for folder in ["from", "to"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    put(&root.join("from/a"), b"a");
    put(&root.join("from/b"), b"b");
    fs.flush_all();
    fs::rename(root.join("from/a"), root.join("to/a")).unwrap();
    fs.power_cut(Loss::Everything);
    assert!(root.join("from/a").exists() && !root.join("to/a").exists());
    fs::rename(root.join("from/a"), root.join("to/a")).unwrap();
    fs::rename(root.join("from/b"), root.join("from/c")).unwrap();
    sync_dir(&root.join("to"));
    fs.power_cut(Loss::Everything);
    assert!(!root.join("from/a").exists() && root.join("to/a").exists());
    assert!(root.join("from/b").exists(), "another change of that folder is not flushed");
}

#[test]
fn a_replaced_file_is_old_or_new_and_removal_needs_a_flush() {
    let mut fs = FaultFs::mount();
    let root = fs.path().to_owned();
    put(&root.join("state"), b"old");
    sync_dir(&root);
    put(&root.join("state.new"), b"new");
    fs::rename(root.join("state.new"), root.join("state")).unwrap();
    assert_eq!(fs::read(root.join("state")).unwrap(), b"new");
    fs.power_cut(Loss::Everything);
    assert_eq!(fs::read(root.join("state")).unwrap(), b"old");
    fs::remove_file(root.join("state")).unwrap();
    fs.power_cut(Loss::Everything);
    assert_eq!(fs::read(root.join("state")).unwrap(), b"old");
    fs::remove_file(root.join("state")).unwrap();
    sync_dir(&root);
    fs.power_cut(Loss::Everything);
    assert!(!root.join("state").exists());
}

#[test]
fn data_flushes_leave_attributes_behind() {
    let mut fs = FaultFs::mount();
    let path = fs.path().join("plate");
    put(&path, b"1");
    sync_dir(fs.path());
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.set_permissions(PermissionsExt::from_mode(0o400)).unwrap();
    file.write_all(b"2").unwrap();
    file.sync_data().unwrap();
    fs.power_cut(Loss::Everything);
    assert_eq!(fs::read(&path).unwrap(), b"12");
    assert_ne!(fs::metadata(&path).unwrap().mode() & 0o777, 0o400);
}

#[test]
fn a_disk_may_keep_a_rename_and_lose_the_content() {
    let seen: Vec<(bool, bool)> = (0..40)
        .map(|seed| {
            let mut fs = FaultFs::mount();
            fs::write(fs.path().join("part"), [1; 8192]).unwrap();
            fs::rename(fs.path().join("part"), fs.path().join("final")).unwrap();
            fs.power_cut(Loss::Seeded(seed));
            let content = fs::read(fs.path().join("final"));
            (content.is_ok(), content.is_ok_and(|bytes| bytes == [1; 8192]))
        })
        .collect();
    for case in [(false, false), (true, false), (true, true)] {
        assert!(seen.contains(&case), "no seed showed {case:?}");
    }
}

#[test]
fn the_power_fails_at_a_chosen_change() {
    let publish = |fs: &FaultFs| -> std::io::Result<()> {
        let part = fs.path().join("part");
        let mut file = File::create(&part)?;
        file.write_all(b"content")?;
        file.sync_all()?;
        fs::rename(&part, fs.path().join("final"))?;
        File::open(fs.path())?.sync_all()
    };
    let fs = FaultFs::mount();
    publish(&fs).unwrap();
    let changes = fs.changes();
    assert_eq!(changes, 5, "{:?}", fs.calls());
    for cut in 0..=changes {
        let mut fs = FaultFs::mount();
        fs.cut_power_after(cut);
        let told = publish(&fs);
        assert_eq!(told.is_ok(), cut == changes);
        assert_eq!(fs.is_dead(), told.is_err());
        fs.power_cut(Loss::Everything);
        match fs::read(fs.path().join("final")) {
            Ok(content) => assert_eq!(content, b"content"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert!(told.is_err(), "a told success is lost");
            }
        }
    }
}

#[test]
fn locks_hold_between_processes() {
    let fs = FaultFs::mount();
    let path = fs.path().join("lock");
    let file = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let taken =
        "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX|fcntl.LOCK_NB)";
    let try_it = || Command::new("python3").args(["-c", taken]).arg(&path).output().unwrap();
    assert!(!try_it().status.success());
    drop(file);
    assert!(try_it().status.success());
}

fn sqlite(database: &Path, sql: &str) -> String {
    run(Command::new("sqlite3").arg("-batch").arg(database).arg(sql)).trim().to_owned()
}

#[test]
fn sqlite_in_wal_mode_keeps_what_it_committed() {
    let mut fs = FaultFs::mount();
    let database = fs.path().join("store.db");
    let mode = sqlite(&database, "PRAGMA journal_mode=WAL; CREATE TABLE t (n integer)");
    assert_eq!(mode, "wal");
    sync_dir(fs.path());
    for n in 0..5 {
        sqlite(&database, &format!("PRAGMA synchronous=FULL; INSERT INTO t VALUES ({n})"));
    }
    fs.power_cut(Loss::Everything);
    assert_eq!(sqlite(&database, "SELECT group_concat(n) FROM t"), "0,1,2,3,4");
    assert_eq!(sqlite(&database, "PRAGMA integrity_check"), "ok");
}

#[test]
fn sqlite_survives_a_power_cut_while_it_is_open_in_wal_mode() {
    let mut fs = FaultFs::mount();
    let database = fs.path().join("store.db");
    sqlite(&database, "PRAGMA journal_mode=WAL; CREATE TABLE t (n integer)");
    sync_dir(fs.path());
    let mut command = Command::new("sqlite3");
    // Killed by the shell in the middle: no checkpoint, no orderly close.
    command.arg("-batch").arg(&database).arg(
        "PRAGMA synchronous=FULL; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);\n\
         SELECT 'committed';\n.shell kill -9 $PPID",
    );
    let output = command.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("committed"), "{output:?}");
    assert!(fs.path().join("store.db-wal").exists());
    fs.power_cut(Loss::Seeded(3));
    assert_eq!(sqlite(&database, "SELECT count(*) FROM t"), "2");
    assert_eq!(sqlite(&database, "PRAGMA integrity_check"), "ok");
}

#[test]
fn sqlite_without_flushes_loses_what_it_committed() {
    let mut fs = FaultFs::mount();
    let database = fs.path().join("store.db");
    sqlite(&database, "PRAGMA journal_mode=WAL; CREATE TABLE t (n integer)");
    fs.flush_all();
    sqlite(&database, "PRAGMA synchronous=OFF; INSERT INTO t VALUES (1)");
    fs.power_cut(Loss::Everything);
    assert_eq!(sqlite(&database, "SELECT count(*) FROM t"), "0");
}

/// The part of the next test that is killed; by itself it does nothing.
#[test]
fn mounts_and_waits() {
    if std::env::var_os("DATABRIDGE_TEST_MOUNTS_AND_WAITS").is_none() {
        return;
    }
    let fs = FaultFs::mount();
    let _open = File::create(fs.path().join("plate")).unwrap();
    println!("mounted {}", fs.path().display());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_test_leaves_no_mount_behind() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "mounts_and_waits", "--nocapture"]);
    command.env("DATABRIDGE_TEST_MOUNTS_AND_WAITS", "1");
    let mut child = Daemon::spawn(command);
    let line = child.wait_for_line(PATIENCE, |line| line.contains("mounted "));
    let point = line.split_once("mounted ").unwrap().1;
    let mounted = || fs::read_to_string("/proc/self/mounts").unwrap().contains(point);
    assert!(mounted());
    // It tells by an exceptional condition that mounts changed (proc(5)).
    let mounts = File::open("/proc/self/mounts").unwrap();
    child.kill_9();
    let limit = Timespec::try_from(PATIENCE).unwrap();
    while mounted() {
        let mut fds = [PollFd::new(&mounts, PollFlags::PRI)];
        assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "{point} is still mounted");
    }
}

#[test]
fn nothing_stays_mounted() {
    let fs = FaultFs::mount();
    let point = fs.path().to_owned();
    let held = rustix::fs::open(&point, OFlags::DIRECTORY, Mode::empty()).unwrap();
    drop(fs);
    assert!(!point.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(point.to_str().unwrap()));
    drop(held);
}
