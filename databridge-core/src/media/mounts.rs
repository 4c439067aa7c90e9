//! One place, and what each system calls it: `/mnt/prod` here is `P:\` on Windows and
//! `/Volumes/prod` on macOS. A list of mounts says so, and paths are translated by it.
//!
//! The rules: the longest mount that a path lies below counts; Windows and macOS take
//! names for one that differ by case or Unicode form, Linux does not; what lies below a
//! mount keeps its spelling; a name that the other system cannot have is refused, and so
//! is a path that the other system would reach something else by. So whatever is
//! translated comes back as it was.

mod error;
mod path;

use serde::{Deserialize, Serialize};
use unicode_casefold::UnicodeCaseFold;
use unicode_normalization::UnicodeNormalization;

pub use error::Error;
#[cfg(feature = "control")]
pub(crate) use path::is_device;
use path::{Path, parse, render};

use crate::symbols;

symbols! {
    /// What a client runs on.
    pub enum System {
        /// Linux.
        Linux = "linux",
        /// Windows.
        Windows = "windows",
        /// macOS.
        Macos = "macos",
    }
}

impl System {
    /// The one that this process runs on; Linux where it is none of them.
    pub const fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Macos
        } else {
            Self::Linux
        }
    }
}

/// A mount, as each system has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mount {
    /// On Linux clients: `/mnt/prod`.
    pub linux: Option<String>,
    /// On Windows: `P:\`, or `\\server\share`.
    pub windows: Option<String>,
    /// On macOS: `/Volumes/prod`.
    pub macos: Option<String>,
    /// On DataBridge's own hosts; as on Linux clients where it is not given.
    pub server: Option<String>,
}

/// Whose name for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client(System),
}

impl Side {
    /// By whose rules its paths are written.
    fn system(self) -> System {
        match self {
            Self::Server => System::Linux,
            Self::Client(system) => system,
        }
    }

    fn of(self, mount: &Mount) -> Option<&str> {
        match self {
            Self::Server => mount.server.as_deref().or(mount.linux.as_deref()),
            Self::Client(System::Linux) => mount.linux.as_deref(),
            Self::Client(System::Windows) => mount.windows.as_deref(),
            Self::Client(System::Macos) => mount.macos.as_deref(),
        }
    }
}

/// All mounts. What none of them covers, Linux clients are taken to see where
/// DataBridge's hosts see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mounts(pub Vec<Mount>);

/// The mount that every Linux has.
fn root() -> Mount {
    Mount { linux: Some("/".into()), ..Mount::default() }
}

impl Mounts {
    /// Whether each can be meant.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check(&self) -> Result<(), String> {
        for side in std::iter::once(Side::Server).chain(SYSTEMS.map(Side::Client)) {
            let mut roots: Vec<Path> = Vec::new();
            for mount in &self.0 {
                let Some(text) = side.of(mount) else {
                    if side == Side::Server {
                        return Err(format!("{mount:?} says neither server nor linux"));
                    }
                    continue;
                };
                let root = parse(side.system(), text).map_err(|error| error.to_string())?;
                if roots.iter().any(|other| same(side.system(), other, &root)) {
                    return Err(format!("{text} is mounted twice on {}", side.system()));
                }
                roots.push(root);
            }
        }
        Ok(())
    }

    /// What `system` calls a path of DataBridge's hosts.
    ///
    /// # Errors
    /// [`Error`].
    pub fn for_client(&self, system: System, path: &str) -> Result<String, Error> {
        self.translate(Side::Server, Side::Client(system), path)
    }

    /// What DataBridge's hosts call a path of `system`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn for_server(&self, system: System, path: &str) -> Result<String, Error> {
        self.translate(Side::Client(system), Side::Server, path)
    }

    /// What `to` calls a path of `from`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn between(&self, from: System, to: System, path: &str) -> Result<String, Error> {
        self.translate(Side::Client(from), Side::Client(to), path)
    }

    fn translate(&self, from: Side, to: Side, text: &str) -> Result<String, Error> {
        let path = parse(from.system(), text)?;
        let not_mounted = |on: Side| Error::NotMounted {
            path: text.to_owned(),
            system: on.system(),
            is_server: on == Side::Server,
        };
        let roots = self.roots();
        let (at, below) = covering(&roots, from, &path)?.ok_or_else(|| not_mounted(from))?;
        let target = to.of(&roots[at]).ok_or_else(|| not_mounted(to))?;
        let mut there = parse(to.system(), target)?;
        there.names.extend(below.iter().cloned());
        let shown = render(to.system(), &there);
        // A name that cannot be there, or would not be read as it was written.
        if parse(to.system(), &shown).ok().as_ref() != Some(&there) {
            return Err(Error::Unfit { path: shown, system: to.system() });
        }
        match covering(&roots, to, &there)? {
            Some((back, rest)) if back == at && rest == below => Ok(shown),
            _ => Err(Error::Shadowed { path: text.to_owned(), there: shown, system: to.system() }),
        }
    }

    /// All mounts and, unless somebody says what it is, the root of every Linux.
    fn roots(&self) -> Vec<Mount> {
        let is_root = |side: Side| self.0.iter().any(|mount| side.of(mount) == Some("/"));
        let mut roots = self.0.clone();
        if !is_root(Side::Server) && !is_root(Side::Client(System::Linux)) {
            roots.push(root());
        }
        roots
    }
}

const SYSTEMS: [System; 3] = [System::Linux, System::Windows, System::Macos];

/// The longest mount that a path lies below, and what is left of it.
fn covering<'a>(
    roots: &[Mount],
    side: Side,
    path: &'a Path,
) -> Result<Option<(usize, &'a [String])>, Error> {
    let mut best: Option<(usize, usize)> = None;
    for (at, mount) in roots.iter().enumerate() {
        let Some(text) = side.of(mount) else { continue };
        let root = parse(side.system(), text)?;
        let length = root.names.len();
        if best.is_none_or(|(_, longest)| length > longest)
            && length <= path.names.len()
            && same(side.system(), &root, &path.up_to(length))
        {
            best = Some((at, length));
        }
    }
    Ok(best.map(|(at, length)| (at, &path.names[length..])))
}

/// Whether `system` takes them for one.
fn same(system: System, one: &Path, other: &Path) -> bool {
    match system {
        System::Linux => one == other,
        System::Windows | System::Macos => fold(one) == fold(other),
    }
}

fn fold(path: &Path) -> (String, Vec<String>) {
    let fold = |text: &String| text.nfd().case_fold().nfc().collect::<String>();
    (fold(&path.root), path.names.iter().map(fold).collect())
}

#[cfg(test)]
mod tests;
