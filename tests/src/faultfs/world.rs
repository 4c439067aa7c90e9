//! The disk behind its faults.

use std::ffi::{OsStr, OsString};

use fuser::{FileAttr, FileType, INodeNo, Request};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::World;
use super::disk::Result;
use super::faults::Op;
use super::node::{Attributes, Kind, Node, PAGE};

/// Names of a folder, with the numbers and kinds they lead to.
pub(super) type Listing = Vec<(OsString, u64, FileType)>;

impl World {
    pub fn admit(&mut self, op: Op, ino: u64) -> Result<()> {
        let path = self.disk.path(ino);
        self.faults.admit(op, &path)
    }

    pub fn admit_name(&mut self, op: Op, folder: u64, name: &OsStr) -> Result<()> {
        let path = self.disk.path_of(folder, name);
        self.faults.admit(op, &path)
    }

    pub fn make(
        &mut self,
        op: Op,
        (folder, name): (u64, &OsStr),
        kind: Kind,
        mode: u32,
        request: &Request,
    ) -> Result<u64> {
        self.admit_name(op, folder, name)?;
        let attributes = Attributes::new((mode & 0o7777) as u16, request.uid(), request.gid());
        self.disk.create(folder, name, kind, attributes)
    }

    pub fn attributes(&self, ino: u64) -> Result<FileAttr> {
        Ok(attributes(ino, self.disk.node(ino)?))
    }

    pub fn open(&mut self, ino: u64, flags: i32) -> Result<()> {
        let direct = OFlags::from_bits_retain(flags.cast_unsigned()).contains(OFlags::DIRECT);
        if direct && self.faults.refuse_direct_io {
            return Err(Errno::INVAL);
        }
        self.disk.node_mut(ino)?.opened += 1;
        Ok(())
    }

    /// Flips what waits to be flipped in this file.
    pub fn flip(&mut self, ino: u64) {
        let path = self.disk.path(ino);
        let disk = &mut self.disk;
        self.faults.flip_where(&path, |offset| disk.flip(ino, offset));
    }

    /// What a folder holds, with kinds.
    pub fn list(&mut self, folder: u64) -> Result<Listing> {
        self.admit(Op::Readdir, folder)?;
        let list = self.disk.list(folder)?;
        list.into_iter()
            .map(|(name, ino)| Ok((name, ino, file_type(&self.disk.node(ino)?.kind))))
            .collect()
    }
}

fn attributes(ino: u64, node: &Node) -> FileAttr {
    let a = &node.now.attributes;
    let is_folder = node.kind == Kind::Folder;
    let size = match &node.kind {
        Kind::Symlink(target) => target.len() as u64,
        Kind::Folder => PAGE,
        _ => node.now.size,
    };
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: node.allocated() * (PAGE / 512),
        atime: a.atime,
        mtime: a.mtime,
        ctime: a.ctime,
        crtime: a.ctime,
        kind: file_type(&node.kind),
        perm: a.mode,
        // A folder's 1 says that its folders are not counted.
        nlink: if is_folder { 1 } else { node.links },
        uid: a.uid,
        gid: a.gid,
        rdev: 0,
        blksize: PAGE as u32,
        flags: 0,
    }
}

fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}
