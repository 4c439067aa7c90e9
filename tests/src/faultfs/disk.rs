//! What the file system holds, twice: as everybody sees it now, and as it would
//! stand after the power failed.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use rustix::io::Errno;

use super::node::{Attributes, Kind, Node, PAGE};
use crate::tree::Random;

/// The number of the root folder.
pub(super) const ROOT: u64 = 1;

/// An answer or the error the caller shall see.
pub(super) type Result<T> = std::result::Result<T, Errno>;

/// One change of folders that is not flushed yet: (folder, name, what the name
/// means now). A rename is one change of two names, as a journal keeps it.
#[derive(Debug)]
struct Change(Vec<(u64, OsString, Option<u64>)>);

/// What a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Everything that was not flushed.
    Everything,
    /// What the seed decides: of the folder changes the latest ones, as many as
    /// it likes; of the data any page and any length, in no order. This is what
    /// a disk may do, and it finds a rename that survives its file's content.
    Seeded(u64),
}

/// The whole store.
#[derive(Debug)]
pub(super) struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    changes: Vec<Change>,
    pub capacity: Option<u64>,
}

impl Disk {
    pub fn new(uid: u32, gid: u32) -> Self {
        let root =
            Node::new(Kind::Folder, Attributes::new(0o777, uid, gid), (ROOT, OsString::new()));
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            changes: Vec::new(),
            capacity: None,
        }
    }

    pub fn node(&self, ino: u64) -> Result<&Node> {
        self.nodes.get(&ino).ok_or(Errno::NOENT)
    }

    pub fn node_mut(&mut self, ino: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::NOENT)
    }

    pub fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64> {
        self.node(folder)?.now.entries.get(name).copied().ok_or(Errno::NOENT)
    }

    /// Where a node stands below the root, or last stood.
    pub fn path(&self, mut ino: u64) -> String {
        let mut path = String::new();
        while ino != ROOT {
            let Some(node) = self.nodes.get(&ino) else { break };
            path = format!("/{}{path}", node.place.1.to_string_lossy());
            ino = node.place.0;
        }
        path
    }

    /// The path of a name, which need not exist.
    pub fn path_of(&self, folder: u64, name: &OsStr) -> String {
        format!("{}/{}", self.path(folder), name.to_string_lossy())
    }

    /// Name, number and kind of what a folder holds.
    pub fn list(&self, folder: u64) -> Result<Vec<(OsString, u64)>> {
        let node = self.node(folder)?;
        let mut list = vec![(".".into(), folder), ("..".into(), node.place.0)];
        list.extend(node.now.entries.iter().map(|(name, &ino)| (name.clone(), ino)));
        Ok(list)
    }

    pub fn create(
        &mut self,
        folder: u64,
        name: &OsStr,
        kind: Kind,
        attributes: Attributes,
    ) -> Result<u64> {
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.room(1)?;
        let ino = self.next;
        self.next += 1;
        self.nodes.insert(ino, Node::new(kind, attributes, (folder, name.to_owned())));
        self.change(vec![(folder, name.to_owned(), Some(ino))])?;
        Ok(ino)
    }

    pub fn link(&mut self, ino: u64, folder: u64, name: &OsStr) -> Result<()> {
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let node = self.node_mut(ino)?;
        if node.kind == Kind::Folder {
            return Err(Errno::PERM);
        }
        node.links += 1;
        self.change(vec![(folder, name.to_owned(), Some(ino))])
    }

    pub fn remove(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<()> {
        let ino = self.lookup(folder, name)?;
        let node = self.node(ino)?;
        match (node.kind == Kind::Folder, is_folder) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) if !node.now.entries.is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        self.change(vec![(folder, name.to_owned(), None)])?;
        self.unlinked(ino)
    }

    fn unlinked(&mut self, ino: u64) -> Result<()> {
        let node = self.node_mut(ino)?;
        node.links = node.links.saturating_sub(1);
        node.now.attributes.ctime = SystemTime::now();
        self.forget_if_gone(ino);
        Ok(())
    }

    /// Frees the space of a node that nobody can reach. What was flushed of it
    /// stays, since a power cut may bring its name back.
    pub fn forget_if_gone(&mut self, ino: u64) {
        if let Some(node) = self.nodes.get_mut(&ino)
            && node.links == 0
            && node.opened == 0
        {
            node.free();
        }
    }

    /// rename(2), with `replace` false as RENAME_NOREPLACE.
    pub fn rename(
        &mut self,
        (folder, name): (u64, &OsStr),
        (new_folder, new_name): (u64, &OsStr),
        replace: bool,
    ) -> Result<()> {
        let ino = self.lookup(folder, name)?;
        let moves_folder = self.node(ino)?.kind == Kind::Folder;
        let replaced = self.lookup(new_folder, new_name).ok();
        if let Some(old) = replaced {
            let node = self.node(old)?;
            match (moves_folder, node.kind == Kind::Folder) {
                _ if !replace => return Err(Errno::EXIST),
                _ if old == ino => return Ok(()),
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !node.now.entries.is_empty() => return Err(Errno::NOTEMPTY),
                _ => {}
            }
        }
        self.change(vec![
            (folder, name.to_owned(), None),
            (new_folder, new_name.to_owned(), Some(ino)),
        ])?;
        let node = self.node_mut(ino)?;
        node.place = (new_folder, new_name.to_owned());
        node.now.attributes.ctime = SystemTime::now();
        match replaced {
            Some(old) => self.unlinked(old),
            None => Ok(()),
        }
    }

    /// RENAME_EXCHANGE.
    pub fn exchange(&mut self, one: (u64, &OsStr), two: (u64, &OsStr)) -> Result<()> {
        let (first, second) = (self.lookup(one.0, one.1)?, self.lookup(two.0, two.1)?);
        self.change(vec![
            (one.0, one.1.to_owned(), Some(second)),
            (two.0, two.1.to_owned(), Some(first)),
        ])?;
        self.node_mut(first)?.place = (two.0, two.1.to_owned());
        self.node_mut(second)?.place = (one.0, one.1.to_owned());
        Ok(())
    }

    fn change(&mut self, names: Vec<(u64, OsString, Option<u64>)>) -> Result<()> {
        let now = SystemTime::now();
        for (folder, name, target) in &names {
            let node = self.node_mut(*folder)?;
            if node.kind != Kind::Folder {
                return Err(Errno::NOTDIR);
            }
            node.now.set_entry(name, *target);
            node.now.attributes.mtime = now;
            node.now.attributes.ctime = now;
        }
        self.changes.push(Change(names));
        Ok(())
    }

    pub fn read(&self, ino: u64, offset: u64, count: usize) -> Result<Vec<u8>> {
        Ok(self.node(ino)?.read(offset, count))
    }

    /// Writes what there is room for, at least one byte, and says how much.
    pub fn write(&mut self, ino: u64, offset: u64, data: &[u8]) -> Result<usize> {
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::FBIG)?;
        let mut count = data.len();
        if let Some(mut free) = self.free_pages() {
            let node = self.node(ino)?;
            for page in offset / PAGE..end.div_ceil(PAGE) {
                if node.is_allocated(page) {
                    continue;
                }
                if free == 0 {
                    count = (page * PAGE).saturating_sub(offset) as usize;
                    break;
                }
                free -= 1;
            }
            if count == 0 && !data.is_empty() {
                return Err(Errno::NOSPC);
            }
        }
        let node = self.node_mut(ino)?;
        node.write(offset, &data[..count]);
        node.now.attributes.mtime = SystemTime::now();
        node.now.attributes.ctime = node.now.attributes.mtime;
        Ok(count)
    }

    pub fn resize(&mut self, ino: u64, size: u64) -> Result<()> {
        let node = self.node_mut(ino)?;
        node.resize(size);
        node.now.attributes.mtime = SystemTime::now();
        Ok(())
    }

    /// fallocate(2) without flags, or with KEEP_SIZE.
    pub fn reserve(&mut self, ino: u64, end: u64, keep_size: bool) -> Result<()> {
        let node = self.node(ino)?;
        let pages = node.reserved.div_ceil(PAGE)..end.div_ceil(PAGE);
        let wanted = pages.filter(|page| !node.is_allocated(*page)).count();
        self.room(wanted as u64)?;
        let node = self.node_mut(ino)?;
        node.reserved = node.reserved.max(end);
        if !keep_size {
            node.now.size = node.now.size.max(end);
        }
        Ok(())
    }

    /// Turns one stored bit, flushed or not; false where nothing is stored.
    pub fn flip(&mut self, ino: u64, offset: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&ino) else { return false };
        node.flip(offset)
    }

    /// Pages used.
    pub fn used(&self) -> u64 {
        let live = self.nodes.values().filter(|node| node.links > 0 || node.opened > 0);
        live.map(Node::allocated).sum()
    }

    fn free_pages(&self) -> Option<u64> {
        Some((self.capacity? / PAGE).saturating_sub(self.used()))
    }

    fn room(&self, pages: u64) -> Result<()> {
        match self.free_pages() {
            Some(free) if free < pages => Err(Errno::NOSPC),
            _ => Ok(()),
        }
    }

    /// fsync(2) and fdatasync(2) of a file: its data, and its attributes only by
    /// the first. Its name is not included, although some file systems do so.
    pub fn flush_file(&mut self, ino: u64, data_only: bool) -> Result<()> {
        self.node_mut(ino)?.flush(!data_only);
        Ok(())
    }

    /// fsync(2) of a folder: all of its names, and what these changes rest on.
    pub fn flush_folder(&mut self, folder: u64) -> Result<()> {
        let mut names: BTreeSet<(u64, OsString)> = BTreeSet::new();
        let mut taken = vec![false; self.changes.len()];
        for (index, Change(change)) in self.changes.iter().enumerate().rev() {
            let rests_on_it =
                change.iter().any(|(place, name, _)| names.contains(&(*place, name.clone())));
            if rests_on_it || change.iter().any(|(place, ..)| *place == folder) {
                taken[index] = true;
                names.extend(change.iter().map(|(place, name, _)| (*place, name.clone())));
            }
        }
        let mut taken = taken.into_iter();
        let (flushed, left): (Vec<_>, Vec<_>) =
            self.changes.drain(..).partition(|_| taken.next() == Some(true));
        self.changes = left;
        self.settle(flushed);
        let node = self.node_mut(folder)?;
        node.flushed.attributes = node.now.attributes.clone();
        Ok(())
    }

    fn settle(&mut self, changes: Vec<Change>) {
        for (folder, name, target) in changes.into_iter().flat_map(|Change(names)| names) {
            if let Some(node) = self.nodes.get_mut(&folder) {
                node.flushed.set_entry(&name, target);
            }
        }
    }

    /// Makes all durable.
    pub fn flush_all(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        self.settle(changes);
        for node in self.nodes.values_mut() {
            node.flush(true);
        }
    }

    /// The power fails: what is flushed becomes what is there.
    pub fn cut_power(&mut self, loss: Loss) {
        if let Loss::Seeded(seed) = loss {
            let mut random = Random::new(seed);
            let kept = random.below(self.changes.len() as u64 + 1) as usize;
            let changes = self.changes.drain(..kept).collect();
            self.settle(changes);
            // In the order of numbers, so that the seed alone decides.
            let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
            numbers.sort_unstable();
            for ino in numbers {
                self.nodes.get_mut(&ino).unwrap().flush_some(&mut random);
            }
        }
        self.changes.clear();
        for node in self.nodes.values_mut() {
            node.lose_power();
        }
        self.sweep();
    }

    /// Counts the names of each node afresh and drops what no name leads to.
    fn sweep(&mut self) {
        let mut reached = HashMap::from([(ROOT, 1)]);
        let mut folders = vec![ROOT];
        while let Some(folder) = folders.pop() {
            let entries = self.nodes[&folder].now.entries.clone();
            for (name, ino) in entries {
                let node = self.nodes.get_mut(&ino).unwrap();
                node.place = (folder, name);
                if node.kind == Kind::Folder && !reached.contains_key(&ino) {
                    folders.push(ino);
                }
                *reached.entry(ino).or_insert(0) += 1;
            }
        }
        self.nodes.retain(|ino, _| reached.contains_key(ino));
        for (ino, links) in reached {
            self.nodes.get_mut(&ino).unwrap().links = links;
        }
    }
}
