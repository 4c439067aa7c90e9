//! What shall go wrong, and what was asked of the file system so far.

use std::collections::HashMap;

use rustix::io::Errno;

/// What a program asks of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// An existing file is opened.
    Open,
    /// A new file is made and opened.
    Create,
    /// Bytes are read (those in the page cache never ask).
    Read,
    /// Bytes are written.
    Write,
    /// `fsync` or `fdatasync` of a file.
    Fsync,
    /// `fsync` of a folder.
    FsyncDir,
    /// `rename` or `renameat2`, by the path it comes from.
    Rename,
    /// A name of a file is removed.
    Unlink,
    /// A folder is made.
    Mkdir,
    /// A folder is removed.
    Rmdir,
    /// A folder is listed.
    Readdir,
    /// Mode, owner, times or length are set.
    Setattr,
    /// Space is preallocated.
    Fallocate,
    /// A hard link, symbolic link or special file is made.
    Link,
    /// Room is asked for.
    Statfs,
}

impl Op {
    /// Whether it changes what stands on the disk or what survives a power cut.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read | Self::Readdir | Self::Statfs)
    }

    /// Whether the kernel itself asks once more when this answers ESTALE, as it
    /// does for calls by path.
    fn is_repeated(self) -> bool {
        !matches!(
            self,
            Self::Read
                | Self::Write
                | Self::Fsync
                | Self::FsyncDir
                | Self::Setattr
                | Self::Fallocate
        )
    }
}

/// One thing that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub op: Op,
    /// Of which path, from the mount's root with a leading `/`.
    pub path: String,
}

#[derive(Debug)]
struct Fault {
    op: Op,
    path: String,
    errno: Errno,
    /// How many more matching calls pass before it strikes.
    passing: u64,
    /// How often it strikes then.
    striking: u64,
}

#[derive(Debug)]
struct Flip {
    path: String,
    offset: u64,
}

/// The settings and the record.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub refuse_rename_flags: Option<Errno>,
    pub refuse_direct_io: bool,
    pub short_writes: Option<usize>,
    pub short_reads: Option<usize>,
    faults: Vec<Fault>,
    flips: Vec<Flip>,
    pub flipped: u64,
    /// How many more changes happen before the power fails.
    pub power_left: Option<u64>,
    pub dead: bool,
    pub calls: Vec<Call>,
    counts: HashMap<Op, u64>,
    pub struck: u64,
}

impl Faults {
    pub fn fail(&mut self, op: Op, path: &str, errno: Errno, nth: u64, lasting: bool) {
        let passing = nth.checked_sub(1).expect("the first call is number 1");
        let striking = match (lasting, errno) {
            (true, _) => u64::MAX,
            (false, Errno::STALE) if op.is_repeated() => 2,
            (false, _) => 1,
        };
        self.faults.push(Fault { op, path: path.to_owned(), errno, passing, striking });
    }

    pub fn flip(&mut self, path: &str, offset: u64) {
        self.flips.push(Flip { path: path.to_owned(), offset });
    }

    pub fn clear(&mut self) {
        *self = Self {
            calls: std::mem::take(&mut self.calls),
            counts: std::mem::take(&mut self.counts),
            flipped: self.flipped,
            struck: self.struck,
            dead: self.dead,
            ..Self::default()
        };
    }

    pub fn count(&self, op: Op) -> u64 {
        self.counts.get(&op).copied().unwrap_or(0)
    }

    pub fn changes(&self) -> u64 {
        self.counts.iter().filter(|(op, _)| op.changes()).map(|(_, count)| count).sum()
    }

    /// Lets a call pass or says how it fails. The record keeps it either way.
    pub fn admit(&mut self, op: Op, path: &str) -> Result<(), Errno> {
        if self.dead {
            return Err(Errno::IO);
        }
        if op.changes()
            && let Some(left) = &mut self.power_left
        {
            if *left == 0 {
                self.dead = true;
                return Err(Errno::IO);
            }
            *left -= 1;
        }
        self.calls.push(Call { op, path: path.to_owned() });
        *self.counts.entry(op).or_insert(0) += 1;
        let mut matching = self
            .faults
            .iter_mut()
            .enumerate()
            .filter(|(_, fault)| fault.op == op && path.contains(&fault.path));
        let Some((index, fault)) = matching.next() else { return Ok(()) };
        if fault.passing > 0 {
            fault.passing -= 1;
            return Ok(());
        }
        let errno = fault.errno;
        fault.striking -= 1;
        if fault.striking == 0 {
            self.faults.remove(index);
        }
        self.struck += 1;
        Err(errno)
    }

    /// Offsets of this file that wait to be flipped; the caller says which it
    /// could flip.
    pub fn flip_where(&mut self, path: &str, mut flip: impl FnMut(u64) -> bool) {
        let before = self.flips.len();
        self.flips.retain(|one| !(path.contains(&one.path) && flip(one.offset)));
        self.flipped += (before - self.flips.len()) as u64;
    }
}
