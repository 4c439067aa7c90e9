//! File systems of our own: full ones, read-only ones, another device.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::process::{find_program, run};
use crate::watchdog::Watchdog;

/// Whether this process may mount. When not, it prints that `test` is skipped;
/// the tests of a release run as root.
pub fn require_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: it mounts file systems, which needs root");
    }
    root
}

/// A mounted file system on a temporary folder; unmounted with this value, also
/// when something still holds it open.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    _watchdog: Watchdog,
    _folder: TempDir,
}

impl Mounted {
    fn on_new_folder(attach: impl FnOnce(&Path, &Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-mount-").tempdir().unwrap();
        let point = folder.path().join("mnt");
        std::fs::create_dir(&point).unwrap();
        let watchdog = Watchdog::arm(
            "umount -l \"$1\"; rm -rf --one-file-system \"$2\"",
            [point.as_path(), folder.path()],
        );
        attach(folder.path(), &point);
        Self { point, _watchdog: watchdog, _folder: folder }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.point, UnmountFlags::DETACH);
    }
}

/// A memory file system of so many bytes (rounded up to pages).
pub fn tmpfs(size_bytes: u64) -> Mounted {
    Mounted::on_new_folder(|_, point| {
        let data = std::ffi::CString::new(format!("size={size_bytes},mode=0777")).unwrap();
        mount("tmpfs", point, "tmpfs", MountFlags::empty(), data.as_c_str())
            .unwrap_or_else(|error| panic!("cannot mount a tmpfs: {error}"));
    })
}

/// An ext4 of so many bytes on a loop device (at least about 2 MB).
pub fn ext4(size_bytes: u64) -> Mounted {
    let mkfs = find_program("mkfs.ext4", &[], "on Debian `apt-get install e2fsprogs`");
    looped(size_bytes, Command::new(mkfs).args(["-q", "-F", "-m", "0"]))
        .unwrap_or_else(|| panic!("this kernel mounts no ext4"))
}

/// An XFS with reflinks on a loop device; `None` (and it says so) where this kernel
/// has none. Its image is sparse.
pub fn xfs(size_bytes: u64) -> Option<Mounted> {
    let mkfs = find_program("mkfs.xfs", &[], "on Debian `apt-get install xfsprogs`");
    looped(size_bytes, Command::new(mkfs).args(["-q", "-f", "-m", "reflink=1"]))
}

/// A btrfs on a loop device (at least about 115 MB); `None` (and it says so) where
/// this kernel has none. Its image is sparse.
pub fn btrfs(size_bytes: u64) -> Option<Mounted> {
    let mkfs = find_program("mkfs.btrfs", &[], "on Debian `apt-get install btrfs-progs`");
    looped(size_bytes, Command::new(mkfs).args(["-q", "-f"]))
}

fn looped(size_bytes: u64, mkfs: &mut Command) -> Option<Mounted> {
    let mut mounted = true;
    let fs = Mounted::on_new_folder(|folder, point| {
        let image = folder.join("disk.img");
        std::fs::File::create(&image).unwrap().set_len(size_bytes).unwrap();
        run(mkfs.arg(&image));
        let mut mount = Command::new("mount");
        let done = mount.args(["-o", "loop"]).arg(&image).arg(point).output().unwrap();
        if !done.status.success() {
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(told.contains("unknown filesystem type"), "{told}");
            eprintln!("SKIPPED {mkfs:?}: {told}");
            mounted = false;
        }
    });
    mounted.then_some(fs)
}

/// `source` again, but read-only.
pub fn read_only(source: &Path) -> Mounted {
    Mounted::on_new_folder(|_, point| {
        mount_bind(source, point).unwrap_or_else(|error| panic!("cannot bind: {error}"));
        mount_remount(point, MountFlags::BIND | MountFlags::RDONLY, "")
            .unwrap_or_else(|error| panic!("cannot make the mount read-only: {error}"));
    })
}
