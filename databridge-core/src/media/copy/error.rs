//! What can go wrong with a copy. In every case nothing new is visible at the
//! final path.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use uuid::Uuid;

use crate::base::error::{ErrorKind, Fault};
use crate::media::checksum::{self, Sha256};
use crate::media::{cloud, manifest, rsync, storage};

/// A copy that did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the policy makes no sense here.
    #[error("{setting} {value:?} is not acceptable: {reason}")]
    Policy {
        /// Which.
        setting: &'static str,
        /// As it was given.
        value: String,
        /// Why not.
        reason: String,
    },
    /// This process may not give files away as the policy wants.
    #[error("{}: cannot be given to {}", show(path), owners(*uid, *gid))]
    Owner {
        /// What was to be given away.
        path: PathBuf,
        /// To which user.
        uid: Option<u32>,
        /// To which group.
        gid: Option<u32>,
    },
    /// Whoever is to read the delivery could not.
    #[error("{}: {reader} could not read it (mode {mode:04o}, owner {uid}:{gid})", show(path))]
    Unreadable {
        /// What stands in the way: the delivery, or a folder above it.
        path: PathBuf,
        /// Who.
        reader: String,
        /// Its mode, as it is or would be.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The source is not what the list that describes it says.
    #[error("{}: not what the list says: {difference}", show(path))]
    SourceUnlike {
        /// The source, or the file in it.
        path: PathBuf,
        /// What differs.
        difference: manifest::Difference,
    },
    /// The source has several names of one file, and the policy wants none.
    #[error("{path} is a hard link of {first}{}", and_others(*others))]
    HardLinked {
        /// The first such name.
        path: String,
        /// The name before it.
        first: String,
        /// How many more there are.
        others: usize,
    },
    /// The destination takes no second name of a file.
    #[error("{}: the destination takes no hard link", show(path))]
    HardLink {
        /// The name.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The destination did not take an extended attribute.
    #[error("{}: the destination does not take its attribute {attribute}", show(path))]
    Attribute {
        /// In the source.
        path: PathBuf,
        /// Its name.
        attribute: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The final path is taken by something that this delivery did not put there.
    #[error("{}: something already stands at the destination", show(path))]
    DestinationExists {
        /// The final path.
        path: PathBuf,
    },
    /// Another delivery is on its way to the same final path.
    #[error("{}: another delivery ({attempt}) is on its way there", show(path))]
    OtherDelivery {
        /// The final path.
        path: PathBuf,
        /// The other delivery's attempt.
        attempt: Uuid,
    },
    /// Another stand-alone copy to the same final path is running.
    #[error("{}: another copy to this path is running", show(path))]
    Busy {
        /// The final path.
        path: PathBuf,
    },
    /// The final path has no name of its own, as `/` or `..`.
    #[error("{}: not a path that something can be delivered to", show(path))]
    InvalidDestination {
        /// The path as given.
        path: PathBuf,
    },
    /// The destination lies inside the source.
    #[error("{}: lies inside the source it is to be copied from", show(path))]
    InsideSource {
        /// The final path.
        path: PathBuf,
    },
    /// The destination has not enough room, or a quota says so.
    #[error("{}: not enough space{}", show(path), shortage(*needed_bytes, *free_bytes, *reserve_bytes))]
    NoSpace {
        /// Where it was missing.
        path: PathBuf,
        /// What was still to be written, where it is known.
        needed_bytes: Option<u64>,
        /// What was free, where it is known.
        free_bytes: Option<u64>,
        /// What of it is to stay free.
        reserve_bytes: u64,
    },
    /// The file system is mounted read-only.
    #[error("{}: the file system is read-only", show(path))]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// The operating system's user may not do this.
    #[error("{}: permission denied", show(path))]
    Permission {
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A mount or a device stopped answering (ESTALE, EIO and their kin).
    #[error("{}: the storage stopped answering", show(path))]
    StaleMount {
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of the manifest is not in the source.
    #[error("{}: not in the source", show(path))]
    SourceMissing {
        /// In the source.
        path: PathBuf,
    },
    /// A source file changed while it was read.
    #[error("{}: changed while it was read", show(path))]
    SourceChanged {
        /// In the source.
        path: PathBuf,
    },
    /// The source is not what it was when the copy began.
    #[error("{}: changed while it was copied: {}{}", show(path), changed.join(", "), and_others(*others))]
    SourceMoved {
        /// The source.
        path: PathBuf,
        /// What changed and how, relative to it, by path; not more than ten.
        changed: Vec<String>,
        /// How many more changed.
        others: usize,
    },
    /// A source file is not what the manifest says.
    #[error("{}: not what the manifest says", show(path))]
    SourceDiffers {
        /// In the source.
        path: PathBuf,
        /// The manifest's length.
        expected_bytes: u64,
        /// The manifest's digest.
        expected: Sha256,
        /// The digest found, where the length did not already decide.
        found: Option<Sha256>,
    },
    /// The destination gave back other bytes than were written.
    #[error("{path}: read back differently from what was written{}", and_others(*others))]
    ReadBackMismatch {
        /// The first damaged file, relative to the delivery's root.
        path: String,
        /// How many more are damaged.
        others: usize,
    },
    /// The written tree is not exactly the manifest's.
    #[error("{path}: {what} in the written copy")]
    PartialDiffers {
        /// Relative to the delivery's root.
        path: String,
        /// In which way.
        what: Discrepancy,
    },
    /// The copy is not verified as it stands now, so it cannot be published.
    #[error("{}: not read back since it was last written", show(path))]
    NotVerified {
        /// The partial folder.
        path: PathBuf,
    },
    /// A later epoch has taken this copy over, or it was never prepared.
    #[error("{}: epoch {epoch} does not hold this copy{}", show(path), holder(*by))]
    Fenced {
        /// The final path.
        path: PathBuf,
        /// The epoch that was refused.
        epoch: u64,
        /// The epoch that holds it, where it can still be seen.
        by: Option<u64>,
    },
    /// Somebody asked to stop.
    #[error("the copy was cancelled")]
    Cancelled,
    /// The source cannot be admitted or described: a name, a link, a collision.
    #[error(transparent)]
    Source(manifest::Error),
    /// The method brings content and times of files, and nothing else.
    #[error("{what} are carried along by our own method only")]
    NotCarried {
        /// What was asked for.
        what: &'static str,
    },
    /// An object store refused or did not answer.
    #[error(transparent)]
    Cloud(#[from] cloud::Error),
    /// rsync could not do its part.
    #[error(transparent)]
    Rsync(#[from] rsync::Error),
    /// Any other failure of the operating system.
    #[error("{}: cannot be read or written", show(path))]
    Io {
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// How a written tree can differ from its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discrepancy {
    /// In the manifest only.
    Missing,
    /// In the tree only.
    Extra,
    /// A link, device, pipe or socket, or a folder in a file's place.
    Special,
}

impl std::fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Extra => "not in the manifest, but",
            Self::Special => "of another type than the manifest says",
        })
    }
}

fn show(path: &Path) -> String {
    storage::escape(path.as_os_str().as_encoded_bytes())
}

fn shortage(needed: Option<u64>, free: Option<u64>, reserve: u64) -> String {
    match (needed, free) {
        (Some(needed), Some(free)) if reserve > 0 => {
            format!(" ({needed} bytes needed, {free} free, of which {reserve} are kept in reserve)")
        }
        (Some(needed), Some(free)) => format!(" ({needed} bytes needed, {free} free)"),
        _ => String::new(),
    }
}

fn and_others(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more)") }
}

fn owners(uid: Option<u32>, gid: Option<u32>) -> String {
    let user = uid.map(|uid| format!("user {uid}"));
    let group = gid.map(|gid| format!("group {gid}"));
    user.into_iter().chain(group).collect::<Vec<_>>().join(" and ")
}

fn holder(by: Option<u64>) -> String {
    by.map_or_else(String::new, |epoch| format!(", epoch {epoch} does"))
}

impl Error {
    /// The system's answer about `path`, sorted into the kinds that people act on.
    pub(in crate::media) fn at(path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), error.into());
        let errno = source.raw_os_error().map(Errno::from_raw_os_error);
        match errno {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                Self::NoSpace { path, needed_bytes: None, free_bytes: None, reserve_bytes: 0 }
            }
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission { path, source },
            Some(
                Errno::STALE
                | Errno::IO
                | Errno::NOTCONN
                | Errno::HOSTDOWN
                | Errno::NODEV
                | Errno::NXIO
                | Errno::CONNABORTED
                | Errno::TIMEDOUT,
            ) => Self::StaleMount { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// What the storage said about a source file.
    pub(in crate::media) fn of_source(error: storage::Error) -> Self {
        match error {
            storage::Error::NotFound { path } => Self::SourceMissing { path },
            storage::Error::Link { path }
            | storage::Error::NotAFile { path }
            | storage::Error::NotAFolder { path } => Self::SourceChanged { path },
            storage::Error::Denied { path, source }
            | storage::Error::Stale { path, source }
            | storage::Error::Io { path, source, .. } => Self::at(path, source),
            other => Self::Source(other.into()),
        }
    }

    /// Why the source could not be described.
    pub(in crate::media) fn of_manifest(error: manifest::Error) -> Self {
        match error {
            manifest::Error::Checksum(checksum::Error::Cancelled) => Self::Cancelled,
            manifest::Error::Checksum(checksum::Error::SourceChanged { path }) => {
                Self::SourceChanged { path }
            }
            manifest::Error::Checksum(checksum::Error::Storage(error)) => Self::of_source(error),
            other => Self::Source(other),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DestinationExists { .. }
            | Self::OtherDelivery { .. }
            | Self::Busy { .. }
            | Self::Fenced { .. } => ErrorKind::Conflict,
            Self::InvalidDestination { .. }
            | Self::InsideSource { .. }
            | Self::HardLinked { .. }
            | Self::Policy { .. } => ErrorKind::Invalid,
            Self::SourceMissing { .. } => ErrorKind::NotFound,
            Self::SourceChanged { .. }
            | Self::SourceMoved { .. }
            | Self::SourceDiffers { .. }
            | Self::SourceUnlike { .. }
            | Self::ReadBackMismatch { .. }
            | Self::PartialDiffers { .. } => ErrorKind::CheckFailed,
            Self::NotVerified { .. } => ErrorKind::IllegalState,
            Self::NoSpace { .. }
            | Self::ReadOnly { .. }
            | Self::Permission { .. }
            | Self::Owner { .. }
            | Self::Unreadable { .. }
            | Self::Attribute { .. }
            | Self::HardLink { .. }
            | Self::StaleMount { .. }
            | Self::Io { .. } => ErrorKind::Io,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Source(error) => error.kind(),
            Self::NotCarried { .. } => ErrorKind::Invalid,
            Self::Cloud(error) => error.kind(),
            Self::Rsync(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Policy { .. } => "copy.policy",
            Self::Owner { .. } => "copy.owner",
            Self::Unreadable { .. } => "copy.unreadable",
            Self::Attribute { .. } => "copy.attribute",
            Self::HardLinked { .. } => "copy.hard_linked",
            Self::HardLink { .. } => "copy.hard_link",
            Self::DestinationExists { .. } => "copy.destination_exists",
            Self::OtherDelivery { .. } => "copy.other_delivery",
            Self::Busy { .. } => "copy.busy",
            Self::InvalidDestination { .. } => "copy.invalid_destination",
            Self::InsideSource { .. } => "copy.inside_source",
            Self::NoSpace { .. } => "copy.no_space",
            Self::ReadOnly { .. } => "copy.read_only",
            Self::Permission { .. } => "copy.permission",
            Self::StaleMount { .. } => "copy.stale_mount",
            Self::SourceMissing { .. } => "copy.source_missing",
            Self::SourceChanged { .. } | Self::SourceMoved { .. } => "copy.source_changed",
            Self::SourceDiffers { .. } | Self::SourceUnlike { .. } => "copy.source_differs",
            Self::ReadBackMismatch { .. } => "copy.read_back_mismatch",
            Self::PartialDiffers { .. } => "copy.partial_differs",
            Self::NotVerified { .. } => "copy.not_verified",
            Self::Fenced { .. } => "copy.fenced",
            Self::Cancelled => "copy.cancelled",
            Self::Source(error) => error.code(),
            Self::NotCarried { .. } => "copy.not_carried",
            Self::Cloud(error) => error.code(),
            Self::Rsync(error) => error.code(),
            Self::Io { .. } => "copy.io",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::DestinationExists { .. } => {
                "Move what stands there away, or choose another destination; nothing was replaced."
            }
            Self::Policy { .. } => "Set it as docs/operations.md says.",
            Self::Owner { .. } => {
                "Run with CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE (or as root), choose a group that this user is in, or set no owner."
            }
            Self::Unreadable { .. } => {
                "Change the policy's modes or group, or the folder's own, so that they can; or name other readers."
            }
            Self::Attribute { .. } => {
                "Tolerate what the destination does not take, or do not ask for attributes."
            }
            Self::HardLinked { .. } | Self::HardLink { .. } => {
                "Let each name be a file of its own: hard_links = copy."
            }
            Self::OtherDelivery { .. } => "Let the other delivery finish, or cancel it first.",
            Self::Busy { .. } => "Wait for the other copy, or stop it; this one can then resume.",
            Self::InvalidDestination { .. } => {
                "Give the final path itself: the name that is to appear."
            }
            Self::InsideSource { .. } => "Choose a destination outside the source.",
            Self::NoSpace { .. } => "Make room at the destination and try again: it resumes.",
            Self::ReadOnly { .. } => "Have the file system mounted for writing.",
            Self::Permission { .. } => {
                "Let the user that runs this read the source and write the destination's parent folder."
            }
            Self::StaleMount { .. } => {
                "Check the mount and its server or disk, then try again: it resumes."
            }
            Self::SourceMissing { .. } => "Bring the file back, or describe the source anew.",
            Self::SourceChanged { .. } | Self::SourceMoved { .. } => {
                "Copy when nobody writes to the source."
            }
            Self::SourceDiffers { .. } | Self::SourceUnlike { .. } => {
                "The source is not what was approved: find out who changed it."
            }
            Self::ReadBackMismatch { .. } => {
                "Try again: damaged files are rewritten. If it recurs, distrust the destination's storage."
            }
            Self::PartialDiffers { .. } => {
                "Try again: what does not belong is removed and what is missing is written."
            }
            Self::NotVerified { .. } => "Verify again before publishing.",
            Self::Fenced { .. } => "Stop: the copy belongs to a later worker.",
            Self::Source(error) => return error.hint(),
            Self::NotCarried { .. } => {
                "Leave them away, or copy between folders by the native method."
            }
            Self::Cloud(error) => return error.hint(),
            Self::Rsync(error) => return error.hint(),
            Self::Cancelled => {
                "Copy to the same path again: it resumes, if it was not told not to."
            }
            Self::Io { .. } => {
                "Look at that path and its disk (ls, dmesg), then try again: it resumes."
            }
        };
        Some(Cow::Borrowed(text))
    }
}
