//! Answers the kernel.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};
use rustix::fs::FileType as Type;
use rustix::io::Errno;

use super::World;
use super::disk::Result;
use super::faults::{Faults, Op};
use super::gate::Gate;
use super::node::{Kind, PAGE};
use super::world::Listing;

/// All changes come through this mount, so the kernel may remember what it was
/// told for as long as the mount lives.
const VALID: Duration = Duration::from_secs(3600);

/// A mount in one life of the file system.
#[derive(Debug)]
pub(super) struct Server {
    world: Arc<Mutex<World>>,
    gate: Arc<Gate>,
    life: u64,
    /// A folder is listed as it stood when it was opened, so that removing names
    /// while listing them skips none.
    listings: Mutex<HashMap<u64, Listing>>,
    next_listing: AtomicU64,
}

impl Server {
    pub fn new(world: Arc<Mutex<World>>, gate: Arc<Gate>, life: u64) -> Self {
        Self { world, gate, life, listings: Mutex::default(), next_listing: AtomicU64::new(0) }
    }

    /// Does something unless the power has failed since this mount was made.
    fn run<T>(
        &self,
        work: impl FnOnce(&mut World) -> Result<T>,
    ) -> std::result::Result<T, fuser::Errno> {
        let mut world = self.world.lock().unwrap();
        if world.life != self.life || world.faults.dead {
            return Err(fuser::Errno::EIO);
        }
        work(&mut world).map_err(|errno| fuser::Errno::from_i32(errno.raw_os_error()))
    }

    fn make(
        &self,
        op: Op,
        (parent, name): (INodeNo, &OsStr),
        kind: Kind,
        (mode, request): (u32, &Request),
        reply: ReplyEntry,
    ) {
        let made = self.run(|world| {
            let ino = world.make(op, (parent.0, name), kind, mode, request)?;
            world.attributes(ino)
        });
        answer_entry(made, reply);
    }
}

/// Cached pages outlive a close, and a close flushes nothing. A short answer reaches
/// the program only where the kernel keeps no pages: there it would be the file's end.
fn opened(faults: &Faults) -> FopenFlags {
    match faults.short_reads {
        Some(_) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH,
        None => FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH,
    }
}

type Answer<T> = std::result::Result<T, fuser::Errno>;

fn answer_entry(result: Answer<FileAttr>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&VALID, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn answer_empty(result: Answer<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Otherwise the kernel splits folder operations by a lock of its own.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.run(|world| {
            let ino = world.disk.lookup(parent.0, name)?;
            world.attributes(ino)
        });
        answer_entry(found, reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.run(|world| world.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.run(|world| {
            world.admit(Op::Setattr, ino.0)?;
            if let Some(size) = size {
                world.disk.resize(ino.0, size)?;
            }
            let now = SystemTime::now();
            let time = |wish| match wish {
                TimeOrNow::SpecificTime(time) => time,
                TimeOrNow::Now => now,
            };
            let a = &mut world.disk.node_mut(ino.0)?.now.attributes;
            a.mode = mode.map_or(a.mode, |mode| (mode & 0o7777) as u16);
            a.uid = uid.unwrap_or(a.uid);
            a.gid = gid.unwrap_or(a.gid);
            a.atime = atime.map_or(a.atime, time);
            a.mtime = mtime.map_or(a.mtime, time);
            a.ctime = now;
            world.attributes(ino.0)
        });
        match set {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self.run(|world| match &world.disk.node(ino.0)?.kind {
            Kind::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        });
        match target {
            Ok(target) => reply.data(target.as_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let kind = match Type::from_raw_mode(mode) {
            Type::RegularFile => Kind::File,
            Type::Fifo => Kind::Fifo,
            Type::Socket => Kind::Socket,
            _ => return reply.error(fuser::Errno::EPERM),
        };
        self.make(Op::Link, (parent, name), kind, (mode & !umask, request), reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        self.make(Op::Mkdir, (parent, name), Kind::Folder, (mode & !umask, request), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let kind = Kind::Symlink(target.as_os_str().to_owned());
        self.make(Op::Link, (parent, name), kind, (0o777, request), reply);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.run(|world| {
            world.admit_name(Op::Link, parent.0, name)?;
            world.disk.link(ino.0, parent.0, name)?;
            world.attributes(ino.0)
        });
        answer_entry(linked, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.run(|world| {
            world.admit_name(Op::Unlink, parent.0, name)?;
            world.disk.remove(parent.0, name, false)
        });
        answer_empty(removed, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.run(|world| {
            world.admit_name(Op::Rmdir, parent.0, name)?;
            world.disk.remove(parent.0, name, true)
        });
        answer_empty(removed, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let path = || self.world.lock().unwrap().disk.path_of(parent.0, name);
        self.gate.pass(Op::Rename, path);
        let (from, to) = ((parent.0, name), (new_parent.0, new_name));
        let renamed = self.run(|world| {
            if let Some(errno) = world.faults.refuse_rename_flags
                && !flags.is_empty()
            {
                return Err(errno);
            }
            world.admit_name(Op::Rename, parent.0, name)?;
            if flags == RenameFlags::RENAME_EXCHANGE {
                world.disk.exchange(from, to)
            } else if (flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
                world.disk.rename(from, to, flags.is_empty())
            } else {
                Err(Errno::INVAL)
            }
        });
        answer_empty(renamed, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let open = self.run(|world| {
            world.admit(Op::Open, ino.0)?;
            world.open(ino.0, flags.0)?;
            Ok(opened(&world.faults))
        });
        match open {
            Ok(flags) => reply.opened(FileHandle(0), flags),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let created = self.run(|world| {
            let ino =
                world.make(Op::Create, (parent.0, name), Kind::File, mode & !umask, request)?;
            world.open(ino, flags)?;
            Ok((world.attributes(ino)?, opened(&world.faults)))
        });
        match created {
            Ok((attributes, flags)) => {
                reply.created(&VALID, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.run(|world| {
            world.admit(Op::Read, ino.0)?;
            world.flip(ino.0);
            let most = world.faults.short_reads.unwrap_or(usize::MAX);
            world.disk.read(ino.0, offset, most.min(size as usize))
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.run(|world| {
            world.admit(Op::Write, ino.0)?;
            let count = world.faults.short_writes.unwrap_or(usize::MAX).min(data.len());
            world.disk.write(ino.0, offset, &data[..count])
        });
        match written {
            Ok(count) => reply.written(count as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let released = self.run(|world| {
            let node = world.disk.node_mut(ino.0)?;
            node.opened = node.opened.saturating_sub(1);
            world.disk.forget_if_gone(ino.0);
            Ok(())
        });
        answer_empty(released, reply);
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let flushed = self.run(|world| {
            world.admit(Op::Fsync, ino.0)?;
            world.disk.flush_file(ino.0, data_only)?;
            world.flip(ino.0);
            Ok(())
        });
        answer_empty(flushed, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let flushed = self.run(|world| {
            world.admit(Op::FsyncDir, ino.0)?;
            world.disk.flush_folder(ino.0)
        });
        answer_empty(flushed, reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.gate.pass(Op::Readdir, || self.world.lock().unwrap().disk.path(ino.0));
        match self.run(|world| world.list(ino.0)) {
            Ok(list) => {
                let handle = self.next_listing.fetch_add(1, Ordering::Relaxed);
                self.listings.lock().unwrap().insert(handle, list);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut listings = self.listings.lock().unwrap();
        let list = listings.entry(handle.0).or_default();
        for (index, (name, ino, kind)) in list.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*ino), index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.lock().unwrap().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.gate.pass(Op::Statfs, String::new);
        let space = self.run(|world| {
            let used = world.disk.used();
            // An unlimited one shows room for a tebibyte.
            let total = world.disk.capacity.map_or(1 << 28, |bytes| bytes / PAGE);
            Ok((total, total.saturating_sub(used)))
        });
        match space {
            Ok((total, free)) => {
                reply.statfs(total, free, free, 1 << 20, 1 << 20, PAGE as u32, 255, PAGE as u32);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        const KEEP_SIZE: i32 = 1;
        if mode & !KEEP_SIZE != 0 {
            return reply.error(fuser::Errno::EOPNOTSUPP);
        }
        let reserved = self.run(|world| {
            world.admit(Op::Fallocate, ino.0)?;
            world.disk.reserve(ino.0, offset + length, mode & KEEP_SIZE != 0)
        });
        answer_empty(reserved, reply);
    }

    // The kernel turns ENOSYS into ENOTSUP for the caller and asks no more.

    fn setxattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(fuser::Errno::ENOSYS);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
