//! Adding what lies on a mount of the service's already: asked for by a path below one
//! of the roots that the configuration names, done by a job.
//!
//! The path is the caller's word and the root the operator's: below the root nothing is
//! followed that leads out of it, neither when it is asked for nor when it is done.

mod error;

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use error::Error;

use super::receiving::Source;
use super::state::{Action, work};
use super::types::Transfer;
use super::{Service, TransferView, UploadError, UploadView, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::identity::Asker;
use crate::control::jobs::NewJob;
use crate::control::looks;
use crate::media::storage::{self, Folder, Kind, RelPath};
use crate::media::walk;

/// What the job knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Asked {
    pub from: String,
    pub by: Asker,
}

/// A path, as the root that it is below and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Below {
    root: PathBuf,
    rest: RelPath,
}

impl Below {
    /// Looks at names alone: of what is outside, nothing is learned.
    fn of(roots: &[PathBuf], from: &str) -> Result<Self, AnyError> {
        if roots.is_empty() {
            return Err(Error::NoRoots.into());
        }
        let path = Path::new(from);
        let is_plain =
            |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(is_plain) {
            return Err(Error::NotPlain { path: from.to_owned() }.into());
        }
        let outside = || Error::OutsideRoots { path: from.to_owned() };
        // The innermost, where one root is inside another.
        let root = roots.iter().filter(|root| path.starts_with(root));
        let root = root.max_by_key(|root| root.as_os_str().len()).ok_or_else(outside)?;
        let rest = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        if rest.is_empty() {
            return Err(outside().into());
        }
        // As components, so that `//` and a slash at the end are nothing.
        let names: Vec<&str> = Path::new(rest).iter().filter_map(|name| name.to_str()).collect();
        Ok(Self { root: root.clone(), rest: RelPath::parse(&names.join("/"))? })
    }

    /// Whether it is a file; links, and what is neither file nor folder, are refused.
    fn is_file(&self, root: &Folder) -> Result<bool, AnyError> {
        let whole = self.root.join(&self.rest);
        match root.stat(&self.rest) {
            Ok(stat) => match stat.kind {
                Kind::File => Ok(true),
                Kind::Dir => Ok(false),
                Kind::Symlink => Err(storage::Error::Link { path: whole }.into()),
                _ => Err(storage::Error::NotAFile { path: whole }.into()),
            },
            Err(storage::Error::NotFound { path }) => {
                Err(super::Error::NoSource { path: path.display().to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn look(&self) -> Result<(), AnyError> {
        self.is_file(&Folder::open(&self.root)?).map(drop)
    }

    /// Everything to be taken in.
    fn source(&self) -> Result<Source, AnyError> {
        let root = Folder::open(&self.root)?;
        if !self.is_file(&root)? {
            return Source::folder(root.open_dir(&self.rest)?);
        }
        let folder = match self.rest.parent() {
            Some(parent) => root.open_dir(&parent)?,
            None => root,
        };
        let name = RelPath::parse(self.rest.file_name())?;
        Ok(Source { entries: vec![walk::file(&folder, name)?], root: folder })
    }
}

impl Service {
    /// Asks for files that lie below one of the service's roots to be added: a file, or
    /// a folder's content. A job does it, in the caller's name.
    ///
    /// # Errors
    /// [`Error::NoRoots`], [`Error::OutsideRoots`], [`Error::NotPlain`], [`Error::NoAnswer`],
    /// [`super::Error::NoSource`], a link on the way, not permitted, illegal state.
    pub async fn add_from(
        &self,
        ctx: &Ctx,
        code: &str,
        from: &str,
    ) -> Result<TransferView, AnyError> {
        // Who may not add learns nothing of what there is.
        self.may_upload(ctx, code).await?;
        let below = Below::of(&self.policy.uploads.roots, from)?;
        // However often a slash is written, it is one path.
        let from = below.root.join(&below.rest).display().to_string();
        let root = below.root.clone();
        // Its mount may hang, and whoever looks then does not come back.
        let looked = looks::at(&root, move || below.look()).await;
        looked
            .unwrap_or_else(|| Err(Error::NoAnswer { root: root.display().to_string() }.into()))?;
        let (mut unit, mut t) = self.begin(ctx, code, Action::Upload).await?;
        self.open_revision(&mut unit, &mut t, Action::Upload).await?;
        forget_failure(&mut t, &from);
        let asked = Asked { from: from.clone(), by: Asker::of(ctx) };
        unit.enqueue_anew(NewJob {
            kind: work::TAKE_IN,
            subject_id: t.id,
            key: format!("{}:{}:{}", t.code, work::TAKE_IN, t.version),
            payload: serde_json::to_value(&asked).unwrap_or_default(),
            priority: t.priority.of_jobs(),
            held: false,
        })
        .await?;
        self.done(unit, t, "transfer.files_asked", json!({ "from": from })).await
    }

    /// What is to be taken in, within what one file may be.
    pub(super) fn source(&self, from: &str) -> Result<Source, AnyError> {
        let limits = &self.policy.uploads;
        let source = Below::of(&limits.roots, from)?.source()?;
        match source.entries.iter().find(|entry| entry.size_bytes > limits.max_bytes) {
            Some(entry) => Err(Error::TooLong {
                path: entry.path.to_string(),
                size_bytes: entry.size_bytes,
                limit: limits.max_bytes,
            }
            .into()),
            None => Ok(source),
        }
    }

    /// Removes what earlier lives of a job took in and did not add.
    pub(super) fn forget_earlier(&self, job: &str, epoch: i64) -> Result<(), AnyError> {
        let folder = self.places.uploads();
        let io = |source| super::Error::Io { path: folder.display().to_string(), source };
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let mut parts = name.to_str().unwrap_or_default().split('.');
            let is_earlier = parts.next() == Some(job)
                && parts.next().and_then(|n| n.parse::<i64>().ok()).is_some_and(|n| n < epoch);
            if is_earlier {
                self.forget(&name.to_string_lossy());
            }
        }
        Ok(())
    }

    /// Refuses where a job is still to add something.
    pub(super) async fn none_coming(&self, unit: &mut Unit, t: &Transfer) -> Result<(), AnyError> {
        let coming = self.coming(unit, t).await?;
        if coming.is_empty() {
            return Ok(());
        }
        let uploads = coming.into_iter().map(|u| format!("{} (being added)", u.path)).collect();
        Err(UploadError::Unfinished { code: t.code.clone(), uploads }.into())
    }

    /// What jobs are still to add, as uploads are told of.
    pub(super) async fn coming(
        &self,
        unit: &mut Unit,
        t: &Transfer,
    ) -> Result<Vec<UploadView>, AnyError> {
        let coming = sql::coming(unit.tx(), t.id).await?;
        let view = |coming: sql::Coming| {
            let asked = serde_json::from_value::<Asked>(coming.payload).ok();
            let by = asked.as_ref().map_or("", |asked| asked.by.username()).to_owned();
            let from = asked.map(|asked| asked.from).unwrap_or_default();
            UploadView {
                id: coming.id,
                code: t.code.clone(),
                path: from.clone(),
                from: Some(from),
                username: by,
                length_bytes: 0,
                deferred: true,
                offset_bytes: 0,
                done: false,
                metadata: String::new(),
                created_at: coming.asked_at,
                expires_at: coming.asked_at,
            }
        };
        Ok(coming.into_iter().map(view).collect())
    }
}

/// That `from` could not be added is past once it is asked for again, or added.
pub(super) fn forget_failure(t: &mut Transfer, from: &str) {
    if t.failure.as_ref().is_some_and(|failure| failure["from"] == from) {
        t.failure = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn below(roots: &[&str], from: &str) -> Result<(String, String), String> {
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        match Below::of(&roots, from) {
            Ok(below) => Ok((below.root.display().to_string(), below.rest.to_string())),
            Err(error) => Err(error.code().to_owned()),
        }
    }

    #[test]
    fn only_what_is_named_plainly_below_a_root_is_let_in() {
        let roots = ["/mnt/renders", "/mnt/renders/inner", "/srv/plates"];
        let found = |root: &str, rest: &str| Ok((root.to_owned(), rest.to_owned()));
        for (from, wanted) in [
            ("/mnt/renders/a", found("/mnt/renders", "a")),
            ("/mnt/renders//a///b/", found("/mnt/renders", "a/b")),
            ("/mnt/renders/inner/a", found("/mnt/renders/inner", "a")),
            ("/srv/plates/é.exr", found("/srv/plates", "é.exr")),
            ("/mnt/renders", Err("add.outside_roots".into())),
            ("/mnt/renders/", Err("add.outside_roots".into())),
            ("/mnt/renders2/a", Err("add.outside_roots".into())),
            ("/mnt", Err("add.outside_roots".into())),
            ("/", Err("add.outside_roots".into())),
            ("/etc/passwd", Err("add.outside_roots".into())),
            ("/mnt/renders/../etc/passwd", Err("add.not_plain".into())),
            ("/mnt/renders/a/..", Err("add.not_plain".into())),
            ("mnt/renders/a", Err("add.not_plain".into())),
            ("./a", Err("add.not_plain".into())),
            ("", Err("add.not_plain".into())),
            ("file:///mnt/renders/a", Err("add.not_plain".into())),
            ("/mnt/renders/a\\b", Err("storage.path".into())),
            ("/mnt/renders/.databridge-x/b", Err("storage.path".into())),
        ] {
            let told = below(&roots, from);
            assert_eq!(told, wanted, "{from}");
        }
        assert_eq!(below(&[], "/mnt/renders/a"), Err("add.no_roots".into()));
    }

    #[test]
    fn nothing_is_followed_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(outside.path().join("dir")).unwrap();
        std::fs::write(outside.path().join("dir/secret"), b"x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        symlink(outside.path().join("dir"), at("out")).unwrap();
        symlink(outside.path().join("dir/secret"), at("file")).unwrap();
        std::fs::create_dir(at("in")).unwrap();
        symlink(outside.path(), at("in/out")).unwrap();
        let roots = [root.path().to_owned()];
        let look = |name: &str| {
            let below = Below::of(&roots, at(name).to_str().unwrap()).unwrap();
            (below.look().map_err(|e| e.code().to_owned()), below.source().map(|s| s.entries.len()))
        };
        for name in ["out", "file", "out/secret", "in/out/dir/secret"] {
            let (looked, source) = look(name);
            assert_eq!(looked, Err("storage.link".into()), "{name}");
            assert_eq!(source.unwrap_err().code(), "storage.link", "{name}");
        }
        // A link further down is named, and nothing is taken in.
        let (looked, source) = look("in");
        assert_eq!(looked, Ok(()));
        assert_eq!(source.unwrap_err().code(), "walk.refused");
        let (looked, _) = look("nowhere");
        assert_eq!(looked, Err("transfer.no_source".into()));
    }

    proptest! {
        #[test]
        fn whatever_is_let_in_is_below(parts in proptest::collection::vec("[a.]{0,3}", 0..6)) {
            let from = format!("/mnt/renders/{}", parts.join("/"));
            if let Ok((root, rest)) = below(&["/mnt/renders"], &from) {
                prop_assert_eq!(root, "/mnt/renders");
                let mut names = rest.split('/');
                prop_assert!(!names.any(|name| matches!(name, "" | "." | "..")), "{}", rest);
            }
        }
    }
}
