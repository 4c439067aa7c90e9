//! A file system in memory that fails on demand: it refuses, flips stored
//! bytes, runs full, and loses in a power cut what was not flushed.
//!
//! # What survives a power cut
//!
//! - Data and length of a file: since its last `fsync` or `fdatasync`.
//! - Mode, owner and times: since its last `fsync`.
//! - A name (create, rename, unlink, mkdir, link): since the last `fsync` of the
//!   folder that holds it. Flushing a file does *not* flush its name, though
//!   some file systems do that: POSIX does not promise it. A rename between two
//!   folders is one change and is flushed with either.
//! - A file whose name survives but whose data was never flushed is empty.
//! - `syncfs` and `sync` reach no FUSE file system but flush the kernel's own
//!   dirty pages, which this one has only for shared mappings; they make
//!   nothing durable here.
//!
//! # What the kernel keeps
//!
//! The page cache stays when a file is closed and opened again, as on a disk: a
//! program that wants to read back what the device holds must open it with
//! O_DIRECT or drop the cache, or it does not see a flipped byte.

mod disk;
mod faults;
mod gate;
mod node;
mod server;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, MountOption, SessionACL, spawn_mount};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{getegid, geteuid};
use tempfile::TempDir;

use self::disk::Disk;
pub use self::disk::Loss;
use self::faults::Faults;
pub use self::faults::{Call, Op};
use self::gate::Gate;
use self::server::Server;
use crate::watchdog::Watchdog;

/// What every mount of one file system shares.
#[derive(Debug)]
struct World {
    disk: Disk,
    faults: Faults,
    /// Counts power cuts: a mount of an earlier life answers nothing.
    life: u64,
}

/// The mounted file system and the handle to its faults; unmounted with this
/// value.
#[derive(Debug)]
pub struct FaultFs {
    world: Arc<Mutex<World>>,
    gate: Arc<Gate>,
    session: Option<BackgroundSession>,
    point: PathBuf,
    _watchdog: Watchdog,
    _folder: TempDir,
}

impl FaultFs {
    /// Mounts an empty one on a temporary folder; nothing fails yet.
    pub fn mount() -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-faultfs-").tempdir().unwrap();
        let point = folder.path().join("mnt");
        std::fs::create_dir(&point).unwrap();
        let disk = Disk::new(geteuid().as_raw(), getegid().as_raw());
        let world = World { disk, faults: Faults::default(), life: 0 };
        let watchdog = Watchdog::arm(
            "umount -l \"$1\" || fusermount3 -u -z \"$1\"; rm -rf --one-file-system \"$2\"",
            [point.as_path(), folder.path()],
        );
        let mut fs = Self {
            world: Arc::new(Mutex::new(world)),
            gate: Arc::default(),
            session: None,
            point,
            _watchdog: watchdog,
            _folder: folder,
        };
        fs.attach();
        fs
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// `renameat2` with any flag fails with EINVAL, as on NFS; plain renames
    /// work.
    pub fn refuse_rename_flags(&self) {
        self.faults(|faults| faults.refuse_rename_flags = Some(Errno::INVAL));
    }

    /// Opening with O_DIRECT fails with EINVAL.
    pub fn refuse_direct_io(&self) {
        self.faults(|faults| faults.refuse_direct_io = true);
    }

    /// No write takes more than so many bytes.
    pub fn short_writes(&self, bytes: usize) {
        assert!(bytes > 0, "a write of nothing never ends");
        self.faults(|faults| faults.short_writes = Some(bytes));
    }

    /// No read gives more than so many bytes; files that are opened from now on are
    /// read past the page cache.
    pub fn short_reads(&self, bytes: usize) {
        assert!(bytes > 0, "a read of nothing is the end");
        self.faults(|faults| faults.short_reads = Some(bytes));
    }

    /// The server is gone while it is mounted: every call answers ENOTCONN or
    /// ECONNABORTED, as when a network mount is lost for good. Takes root.
    /// [`power_cut`](Self::power_cut) brings it back.
    pub fn disconnect(&self) {
        std::fs::write(self.connection().join("abort"), "1").unwrap();
    }

    /// The kernel's side of the mount. Takes root, and a server that answers.
    pub fn connection(&self) -> PathBuf {
        const CONTROL: &str = "/sys/fs/fuse/connections";
        let device = rustix::fs::stat(&self.point).unwrap().st_dev;
        let connection = Path::new(CONTROL).join(rustix::fs::minor(device).to_string());
        if !connection.exists() {
            let flags = rustix::mount::MountFlags::empty();
            let _ = rustix::mount::mount("fusectl", CONTROL, "fusectl", flags, c"");
        }
        connection
    }

    /// The disk holds so many bytes (in pages of 4096) and is full then.
    pub fn capacity_bytes(&self, bytes: u64) {
        self.world().disk.capacity = Some(bytes);
    }

    /// Once, one bit of the stored byte at `offset` turns in the first file
    /// whose path contains `path`: at its first flush or read from the device
    /// after the byte was written.
    pub fn flip_byte(&self, path: &str, offset: u64) {
        self.faults(|faults| faults.flip(path, offset));
    }

    /// The nth call (from 1) of this kind on a path that contains `path` fails
    /// once, as the program sees it: where the kernel itself asks again after an
    /// ESTALE, that fails, too.
    pub fn fail(&self, op: Op, path: &str, errno: Errno, nth: u64) {
        self.faults(|faults| faults.fail(op, path, errno, nth, false));
    }

    /// The nth call and all later ones fail.
    pub fn fail_from(&self, op: Op, path: &str, errno: Errno, nth: u64) {
        self.faults(|faults| faults.fail(op, path, errno, nth, true));
    }

    /// Nothing fails any more (a dead file system stays dead); the capacity is
    /// unlimited. The record stays.
    pub fn clear_faults(&self) {
        let mut world = self.world();
        world.faults.clear();
        world.disk.capacity = None;
    }

    /// How many calls of this kind came through.
    pub fn count(&self, op: Op) -> u64 {
        self.world().faults.count(op)
    }

    /// How many calls so far change the disk or what survives: the moments at
    /// which the power can fail.
    pub fn changes(&self) -> u64 {
        self.world().faults.changes()
    }

    /// How many bytes were flipped.
    pub fn flipped(&self) -> u64 {
        self.world().faults.flipped
    }

    /// How many calls failed by [`fail`](Self::fail), the kernel's own repetitions
    /// included.
    pub fn struck(&self) -> u64 {
        self.world().faults.struck
    }

    /// Every call so far, in order, for tests of order ("flushed before renamed").
    pub fn calls(&self) -> Vec<Call> {
        self.world().faults.calls.clone()
    }

    /// Makes everything durable, as a test's starting point.
    pub fn flush_all(&self) {
        self.world().disk.flush_all();
    }

    /// After so many more changes the power fails: that call and all later ones
    /// answer EIO, until [`power_cut`](Self::power_cut) brings it back.
    pub fn cut_power_after(&self, changes: u64) {
        self.faults(|faults| faults.power_left = Some(changes));
    }

    /// The next call of this kind, of a path that begins so, gets no answer, and so no
    /// other call either: a mount whose server hangs, until it is let go.
    pub fn hang(&self, op: Op, path: &str) {
        self.gate.close(op, path);
    }

    /// Returns when a call hangs.
    pub fn wait_for_hung(&self) {
        self.gate.wait();
    }

    /// The server is back.
    pub fn let_go(&self) {
        self.gate.open();
    }

    /// Whether the power has failed.
    pub fn is_dead(&self) -> bool {
        self.world().faults.dead
    }

    /// The power fails (unless it did) and comes back: `loss` is gone, faults
    /// are cleared, and a new mount stands at the same path. What was open
    /// before answers EIO for ever.
    pub fn power_cut(&mut self, loss: Loss) {
        self.detach();
        {
            let mut world = self.world();
            world.life += 1;
            world.disk.cut_power(loss);
            world.faults.clear();
            world.faults.dead = false;
        }
        self.attach();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.world().faults);
    }

    fn attach(&mut self) {
        let life = self.world().life;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("databridge-faultfs".into()),
            MountOption::DefaultPermissions,
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        if geteuid().is_root() {
            // So that servers and children without privileges see it, too.
            config.acl = SessionACL::All;
        }
        let server = Server::new(self.world.clone(), self.gate.clone(), life);
        let session = spawn_mount(server, &self.point, &config).unwrap_or_else(|error| {
            panic!(
                "cannot mount by FUSE: {error} (without root it takes fusermount3, on Debian \
                 `apt-get install fuse3`, and a /dev/fuse that this user may open)"
            )
        });
        self.session = Some(session);
    }

    /// Takes the mount away although something may hold it open. The session
    /// must go before another is mounted here: it would unmount that one.
    fn detach(&mut self) {
        if unmount(&self.point, UnmountFlags::DETACH).is_err() {
            let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.point).status();
        }
        self.session = None;
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        self.gate.open();
        self.detach();
    }
}
