//! One file or folder, as it is now and as it would stand after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

use crate::tree::Random;

/// Bytes of a page, the unit in which data is kept, flushed and lost.
pub(super) const PAGE: u64 = 4096;

type Page = Arc<[u8; PAGE as usize]>;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink(OsString),
    Fifo,
    Socket,
}

/// Owner, mode and times.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub atime: SystemTime,
    pub mtime: SystemTime,
    pub ctime: SystemTime,
}

/// Data and attributes, of which a node has two: the present and the flushed.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub attributes: Attributes,
    pub size: u64,
    pages: BTreeMap<u64, Page>,
    pub entries: BTreeMap<OsString, u64>,
}

/// A file, folder or other thing.
#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub now: Image,
    pub flushed: Image,
    /// Pages written or cut since the last flush.
    dirty: BTreeSet<u64>,
    /// Bytes from the start that were preallocated.
    pub reserved: u64,
    pub links: u32,
    /// Open descriptors.
    pub opened: u32,
    /// Where it was last seen: its folder and its name there.
    pub place: (u64, OsString),
}

impl Attributes {
    pub fn new(mode: u16, uid: u32, gid: u32) -> Self {
        let now = SystemTime::now();
        Self { mode, uid, gid, atime: now, mtime: now, ctime: now }
    }
}

impl Node {
    pub fn new(kind: Kind, attributes: Attributes, place: (u64, OsString)) -> Self {
        let now = Image { attributes, size: 0, pages: BTreeMap::new(), entries: BTreeMap::new() };
        let (flushed, dirty) = (now.clone(), BTreeSet::new());
        Self { kind, now, flushed, dirty, reserved: 0, links: 1, opened: 0, place }
    }

    /// Pages it occupies.
    pub fn allocated(&self) -> u64 {
        let reserved = self.reserved.div_ceil(PAGE);
        reserved + self.now.pages.range(reserved..).count() as u64
    }

    pub fn is_allocated(&self, page: u64) -> bool {
        page < self.reserved.div_ceil(PAGE) || self.now.pages.contains_key(&page)
    }

    pub fn resize(&mut self, size: u64) {
        if size < self.now.size {
            let kept = size.div_ceil(PAGE);
            for (page, _) in self.now.pages.split_off(&kept) {
                self.dirty.insert(page);
            }
            if let Some(page) = self.now.pages.get_mut(&(size / PAGE)) {
                Arc::make_mut(page)[(size % PAGE) as usize..].fill(0);
                self.dirty.insert(size / PAGE);
            }
            self.reserved = self.reserved.min(size);
        }
        self.now.size = size;
    }

    pub fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let end = self.now.size.min(offset.saturating_add(count as u64));
        let mut bytes = Vec::with_capacity(count);
        let mut at = offset;
        while at < end {
            let from = (at % PAGE) as usize;
            let to = (end - at + from as u64).min(PAGE) as usize;
            match self.now.pages.get(&(at / PAGE)) {
                Some(page) => bytes.extend_from_slice(&page[from..to]),
                None => bytes.resize(bytes.len() + to - from, 0),
            }
            at += (to - from) as u64;
        }
        bytes
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let mut written = 0;
        while written < data.len() {
            let at = offset + written as u64;
            let from = (at % PAGE) as usize;
            let count = (PAGE as usize - from).min(data.len() - written);
            let page = self.now.pages.entry(at / PAGE).or_insert_with(blank);
            Arc::make_mut(page)[from..from + count]
                .copy_from_slice(&data[written..written + count]);
            self.dirty.insert(at / PAGE);
            written += count;
        }
        self.now.size = self.now.size.max(offset + data.len() as u64);
    }

    /// Makes the data durable, and with `attributes` what else fsync(2) promises.
    pub fn flush(&mut self, attributes: bool) {
        for page in std::mem::take(&mut self.dirty) {
            self.flush_page(page);
        }
        self.flushed.size = self.now.size;
        if attributes {
            self.flushed.attributes = self.now.attributes.clone();
        }
    }

    fn flush_page(&mut self, page: u64) {
        match self.now.pages.get(&page) {
            Some(content) => self.flushed.pages.insert(page, content.clone()),
            None => self.flushed.pages.remove(&page),
        };
    }

    /// Some of what is not flushed reaches the disk all the same.
    pub fn flush_some(&mut self, random: &mut Random) {
        for page in std::mem::take(&mut self.dirty) {
            if random.coin() {
                self.flush_page(page);
            }
        }
        if random.coin() {
            self.flushed.size = self.now.size;
            self.flushed.attributes = self.now.attributes.clone();
        }
    }

    /// Gives its space back. What was flushed of it stays.
    pub fn free(&mut self) {
        self.now.pages.clear();
        self.dirty.clear();
        self.reserved = 0;
    }

    /// Turns one stored bit, flushed or not; false where nothing is stored.
    pub fn flip(&mut self, offset: u64) -> bool {
        let (page, at) = (offset / PAGE, (offset % PAGE) as usize);
        if offset >= self.now.size || !self.now.pages.contains_key(&page) {
            return false;
        }
        for image in [&mut self.now, &mut self.flushed] {
            if let Some(content) = image.pages.get_mut(&page) {
                Arc::make_mut(content)[at] ^= 1;
            }
        }
        true
    }

    /// What is flushed becomes what is there; nobody has it open any more.
    pub fn lose_power(&mut self) {
        self.flushed.trim();
        self.now = self.flushed.clone();
        self.dirty.clear();
        self.reserved = 0;
        self.opened = 0;
        self.links = 0;
    }
}

impl Image {
    pub fn set_entry(&mut self, name: &OsStr, target: Option<u64>) {
        match target {
            Some(ino) => self.entries.insert(name.to_owned(), ino),
            None => self.entries.remove(name),
        };
    }

    /// Nothing lies behind the end, so that nothing old shows when it grows.
    fn trim(&mut self) {
        self.pages.split_off(&self.size.div_ceil(PAGE));
        if let Some(page) = self.pages.get_mut(&(self.size / PAGE)) {
            Arc::make_mut(page)[(self.size % PAGE) as usize..].fill(0);
        }
    }
}

fn blank() -> Page {
    Arc::new([0; PAGE as usize])
}
