//! A tree of files brought to another place: verified, durable, resumable, and
//! by one worker at a time.
//!
//! # The life of a copy
//! [`prepare`] lays a hidden partial folder beside the final path, [`transfer`]
//! fills it (one read of the source, hashed on the way), [`verify`] reads it back
//! from the device, [`publish`] makes it appear at the final path by one rename,
//! [`finish`] clears the journal away once the caller has recorded the delivery.
//! [`abort`] undoes what is not published. Each may be called again after a crash
//! in it. [`tree()`] does the whole for a copy that no store watches over. Until
//! the rename nothing is visible; after it everything is, and all of it was read
//! back.
//!
//! # How the bytes go
//! Long files (from 1 MiB on) are written by `O_DIRECT` in blocks of 4 MiB, by
//! threads that hand each other the blocks: read and hashed by one, written by the
//! next. Where direct I/O is refused, at the beginning or in the middle, and for
//! what ends within a block, the page cache is used. In [`tree()`] files from 64 MiB
//! on are read back behind the writer, window by window, each flushed before it is
//! read. Short files are written through the page cache, flushed together by one
//! `syncfs(2)`, and read back after that, many at a time. Where that flushes nothing
//! for sure (network mounts, FUSE) each file is flushed by itself.
//!
//! Memory: at most 64 MiB of buffers, whatever the tree and the policy: up to four
//! workers with four blocks each on long files, or one buffer of 1 MiB for each
//! worker on short ones. What is known of each file (manifest, listing, marks) comes
//! on top, some hundred bytes a file.
//!
//! # One worker at a time
//! A delivery keeps its attempt id for life; each lease on it has a greater
//! epoch. Names carry both: beside the final name `comp` stand
//! `.comp.databridge-journal.ID.e` and `.comp.databridge-partial.ID.e`, here `J(e)`
//! and `T(e)`, the journal and the partial folder of epoch e. A worker writes only its own `J(e)`, and
//! reaches files only through the path of its own `T(e)`, each time from the
//! parent, in one system call. These rules are all there is; no lock is held, so
//! none can be held by a process that stands still.
//!
//! *Taking over*: announce `J(e)`, then look: a higher epoch refuses us; each
//! lower `T(k)` is renamed to `T(e)`. Only then are `J(k)`'s marks read, `J(e)` is
//! replaced by one with these marks and `ready`, and the lower journals go.
//!
//! What can the old worker k, stopped at any point, do when it goes on?
//! - *Before it announced, or between announcing and looking.* Of two workers that
//!   each announce first and look second, at least one sees the other. If k sees
//!   `J(e)` it is fenced. If it does not, `J(e)` came after its look, so e's own
//!   look came later still and takes `T(k)`, if k had made it.
//! - *Between making `T(k)` and looking*: as above; k looks again after the last
//!   thing it makes.
//! - *In transfer.* Opening, creating, linking, unlinking, making a folder go through
//!   `T(k)`, which is gone: `ENOENT`, reported as fenced. A file that it holds
//!   open is not marked done in `J(k)`, since that mark is made after the last
//!   write and the close; so e unlinks it before writing anything, and k writes
//!   on into an inode without a name. A mark that k adds after e has read `J(k)`
//!   goes to a journal nobody reads, unless e dies before `ready`; then it is as
//!   true as any, because e had not touched the tree. Every second of a long file
//!   k also looks whether `T(k)` is still there. That k read a file back behind its
//!   own writer counts for that very process alone, and only as long as inode,
//!   length and times are what they were after the last byte came back: e, and
//!   whoever comes after a crash or a power cut, reads for himself.
//! - *In verify*: it cannot open, or finishes reading inodes and records the
//!   result in its own journal, which counts for k alone. So with a listing: a
//!   folder that was opened through `T(k)` is read to its end.
//! - *In publish.* The rename names `T(k)` and the kernel (or the file server)
//!   looks this name up in the parent while it holds it: either k's rename comes
//!   first, then e finds `T(k)` gone and the final path holding the inode that
//!   `J(k)` durably named before, reads it back whole and adopts it; or e's comes
//!   first, then k gets `ENOENT`.
//! - *In a single call that had resolved `T(k)` and was held up inside the kernel
//!   while e renamed it.* One call a thread can so end up in `T(e)`. A file created
//!   so is cleaned away, or meets `O_EXCL`, and whatever happens after e's
//!   read-back changes the digest of names, inodes and times of change that
//!   [`publish`] compares last.
//!   A single file ([`Shape::File`]) is renamed out of `T(e)`, so there the rename
//!   itself has this window; only stand-alone copies do that, under a lock.
//! - *After e finished or aborted*, when `J(e)` is gone too: a worker k that had
//!   announced misses `J(k)` once it has made `T(k)`, and steps back (an abort looks
//!   for partial folders again after it has removed the journals). One that stood
//!   still inside [`prepare`] before it announced has left no trace to be fenced by
//!   and can begin anew. It cannot replace what was published. Against publishing
//!   after an abort, its caller confirms its lease between [`prepare`] and
//!   [`transfer`]: any abort that came before is seen then, any later one meets
//!   `T(k)` and fences it.
//!
//! Two deliveries (different attempts) to one final path announce and look in the
//! same way, and who sees the other steps back: [`Error::OtherDelivery`].

mod abort;
mod access;
mod attributes;
mod behind;
mod choice;
mod error;
mod file;
mod foreign;
mod journal;
mod known;
mod lanes;
mod links;
mod listing;
mod names;
mod pace;
mod policy;
mod pool;
mod prepare;
mod publish;
mod read_back;
mod session;
mod site;
mod source;
mod standalone;
mod stream;
mod survey;
mod target;
mod tide;
mod transfer;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::manifest::Manifest;

pub use super::storage::Worth;
pub use abort::{Aborted, abort, finish};
pub use access::Reader;
pub use attributes::Lost;
pub use choice::{Bits, Choice};
pub use error::{Discrepancy, Error};
pub(in crate::media) use foreign::{fill, filled, refuse_attributes};
#[cfg(feature = "cloud")]
pub(in crate::media) use pace::Pace;
pub use policy::{
    HardLinks, Namespace, Owner, Policy, Xattrs, parse_group, parse_mode, parse_namespaces,
    parse_user,
};
#[cfg(feature = "cloud")]
pub(in crate::media) use pool::each;
pub use prepare::{Prepared, prepare};
pub use publish::{Published, publish};
pub use read_back::{ReadBack, Worths, verify};
pub use standalone::{CopiedFile, Options, Rates, Report, tree};
pub use transfer::{Transferred, transfer};

/// What is copied where, by whom and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The root of the manifest's files, or for [`Shape::File`] the file itself.
    pub source: PathBuf,
    /// The final path itself. Its parent is created if it is missing.
    pub destination: PathBuf,
    /// Whether a folder or a single file is to appear there.
    pub shape: Shape,
    /// Exactly what is to appear: no file more and none less. For
    /// [`Shape::File`] its one entry.
    pub manifest: Manifest,
    /// Who works on it.
    pub attempt: Attempt,
    /// How.
    pub policy: Policy,
}

/// What appears at the final path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A folder.
    #[default]
    Tree,
    /// A single file.
    File,
}

/// A worker's claim on a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The same for the whole delivery, over all retries.
    pub id: Uuid,
    /// The fencing epoch: greater with each lease, and never used by two workers.
    pub epoch: u64,
}

/// How the copy got its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenameMethod {
    /// By `renameat2(RENAME_NOREPLACE)`: the file system itself refuses to replace.
    NoReplace,
    /// By a plain rename after a look, where the file system knows no better (NFS).
    Checked,
    /// No rename: an object store created the manifest object, where there was none.
    Conditional,
}
