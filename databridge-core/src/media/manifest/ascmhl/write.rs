//! A new generation of a folder's history.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::history::{CHAIN, FOLDER, History, read};
use crate::base::clock::Timestamp;
use crate::media::checksum::{self, Algorithm, Found, Options};
use crate::media::manifest::list::{Known, List};
use crate::media::manifest::verify::ignore_of;
use crate::media::manifest::xml::escape;
use crate::media::manifest::{Difference, Error, What};
use crate::media::monitor::Monitor;
use crate::media::storage;

/// What every new file gets: C4 is what the format trusts, XXH128 its default.
const FORMATS: [Algorithm; 2] = [Algorithm::C4, Algorithm::Xxh128];
/// What the format has elements for.
const KNOWN: [Algorithm; 6] = [
    Algorithm::Md5,
    Algorithm::Sha1,
    Algorithm::C4,
    Algorithm::Xxh64,
    Algorithm::Xxh3,
    Algorithm::Xxh128,
];
/// Never part of what a history speaks of.
const IGNORED: [&str; 3] = [".DS_Store", "ascmhl", "ascmhl/"];

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The new list.
    pub path: PathBuf,
    /// Its number.
    pub generation: u64,
    /// Files in it.
    pub files: u64,
    /// How the tree differs from the history so far. The new list says `failed` of
    /// what has another content.
    pub differences: Vec<Difference>,
}

/// Reads the whole tree below `root` and adds a generation to its history, the first
/// if there is none: C4 and XXH128 of every file, further formats that the history
/// has of it, and our SHA-256 as metadata, since the format knows none. No directory
/// hashes are written: they are optional.
///
/// # Errors
/// [`Error::Layout`] if the history is damaged or a folder in it has its own, which
/// must be extended by whoever made it; what cannot be admitted, read or written.
pub fn write(
    root: &Path,
    jobs: Option<NonZeroUsize>,
    monitor: &dyn Monitor,
) -> Result<Written, Error> {
    let folder = root.join(FOLDER);
    let (history, list) = match folder.is_dir() {
        true => (Some(History::open(root)?), read(root)?),
        false => (None, List::new(crate::media::manifest::Format::AscMhl, Vec::new())?),
    };
    if let Some(history) = &history {
        if !list.flaws().is_empty() {
            let reason = "the history is damaged; verify says where";
            return Err(Error::Layout { path: folder, reason });
        }
        if history.generations.iter().any(|generation| !generation.references.is_empty()) {
            let reason = "a folder in it has a history of its own";
            return Err(Error::Layout { path: folder, reason });
        }
    }
    let number = history.as_ref().and_then(|h| h.chain.last()).map_or(0, |link| link.number) + 1;
    let now = Timestamp::now();
    let mut ignore = list.ignore.clone();
    ignore.extend(IGNORED.iter().map(|pattern| (*pattern).to_owned()));
    ignore.sort();
    ignore.dedup();
    let mut body = Body {
        list: &list,
        now: now.to_string(),
        text: String::new(),
        files: 0,
        differences: Vec::new(),
        next: 0,
    };
    let spec = ignore_of(root, &ignore)?;
    let mut algorithms = FORMATS.to_vec();
    algorithms.extend(list.files().iter().flat_map(Known::algorithms));
    algorithms.sort_unstable();
    algorithms.dedup();
    let options = Options { algorithms: &algorithms, jobs, cache: None };
    let mut nested = None;
    checksum::each(root, options, monitor, |found| {
        let Some(found) = found else { return Ok(()) };
        if found.path.as_str().ends_with(&format!("/{FOLDER}/{CHAIN}")) {
            nested.get_or_insert(found.path.clone());
        }
        if !spec.matched_path_or_any_parents(found.path.to_path(), false).is_ignore() {
            body.add(&found);
        }
        Ok(())
    })?;
    if let Some(path) = nested {
        let reason = "a folder in it has a history of its own";
        return Err(Error::Layout { path: root.join(path), reason });
    }
    body.rest();
    let text = format!("{}{}  </hashes>\n</hashlist>\n", head(&now, &ignore), body.text);
    let (files, differences) = (body.files, body.differences);
    if files == 0 {
        return Err(Error::Layout { path: root.to_owned(), reason: "there is no file to list" });
    }
    let path = folder.join(name(root, number, &now));
    put(&folder, &path, &text, history.as_ref(), number)?;
    Ok(Written { path, generation: number, files, differences })
}

/// `0001_FOLDER_2020-01-15_130000Z.mhl`
fn name(root: &Path, number: u64, now: &Timestamp) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let folder = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let time = now.to_string();
    let clock: String = time[11..19].chars().filter(|c| *c != ':').collect();
    format!("{number:04}_{folder}_{}_{clock}Z.mhl", &time[..10])
}

fn head(now: &Timestamp, ignore: &[String]) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let patterns: String = ignore
        .iter()
        .map(|pattern| format!("      <pattern>{}</pattern>\n", escape(pattern)))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <hashlist version=\"2.0\" xmlns=\"urn:ASC:MHL:v2.0\">\n  <creatorinfo>\n    \
         <creationdate>{now}</creationdate>\n    <hostname>{}</hostname>\n    \
         <tool version=\"{}\">DataBridge</tool>\n  </creatorinfo>\n  <processinfo>\n    \
         <process>in-place</process>\n    <ignore>\n{patterns}    </ignore>\n  </processinfo>\n  \
         <hashes>\n",
        escape(&host),
        env!("CARGO_PKG_VERSION"),
    )
}

struct Body<'a> {
    list: &'a List,
    now: String,
    text: String,
    files: u64,
    differences: Vec<Difference>,
    next: usize,
}

impl Body<'_> {
    /// Files come in the order of the list.
    fn add(&mut self, found: &Found) {
        let listed = self.list.files();
        while listed.get(self.next).is_some_and(|known| known.path < found.path) {
            self.missing();
        }
        let known = listed.get(self.next).filter(|known| known.path == found.path);
        self.next += usize::from(known.is_some());
        let size_bytes = found.digest.size_bytes;
        if let Some(what) = known.and_then(|known| known.check(size_bytes, &found.digest.digests)) {
            self.differences.push(Difference { path: found.path.to_string(), what });
        }
        self.files += 1;
        let _ = writeln!(
            self.text,
            "    <hash>\n      <path size=\"{size_bytes}\">{}</path>",
            escape(found.path.as_str())
        );
        let before = known.map(|known| known.others.as_slice()).unwrap_or_default();
        for algorithm in KNOWN {
            let old = before.iter().find(|(a, _)| *a == algorithm).map(|(_, text)| text);
            if old.is_none() && !FORMATS.contains(&algorithm) {
                continue;
            }
            let text = found.digest.digests.get(algorithm).unwrap_or_default();
            // One that is new beside others that were verified is itself verified.
            let all_hold =
                known.is_none_or(|known| known.check(size_bytes, &found.digest.digests).is_none());
            let action = match (known, old) {
                (None, _) => "original",
                (Some(_), Some(old)) if *old != text => "failed",
                (Some(_), Some(_)) => "verified",
                (Some(_), None) if all_hold => "verified",
                (Some(_), None) => continue,
            };
            let date = &self.now;
            let _ = writeln!(
                self.text,
                "      <{algorithm} action=\"{action}\" hashdate=\"{date}\">{text}</{algorithm}>"
            );
        }
        let _ = writeln!(
            self.text,
            "      <metadata><sha256>{}</sha256></metadata>\n    </hash>",
            found.digest.digests.sha256()
        );
    }

    fn missing(&mut self) {
        if let Some(known) = self.list.files().get(self.next) {
            let path = known.path.to_string();
            self.differences.push(Difference { path, what: What::Missing });
        }
        self.next += 1;
    }

    fn rest(&mut self) {
        while self.next < self.list.files().len() {
            self.missing();
        }
    }
}

/// The list first, then the chain that names it, each durably: a crash in between
/// leaves a list that no chain vouches for, and the next verification says so.
fn put(
    folder: &Path,
    path: &Path,
    text: &str,
    history: Option<&History>,
    number: u64,
) -> Result<(), Error> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::from(storage::Error::io("write", path, error))
    };
    if history.is_none() {
        fs::create_dir(folder).map_err(fail(folder))?;
    }
    File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(fail(path))?;
    let c4 = checksum::file(path, &[Algorithm::C4], &())?.digests.get(Algorithm::C4);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut chain = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ascmhldirectory xmlns=\"urn:ASC:MHL:DIRECTORY:v2.0\">\n",
    );
    let old = history.iter().flat_map(|history| &history.chain);
    let old = old.map(|link| (link.number, link.name.as_str(), link.c4.as_str()));
    for (number, name, c4) in
        old.chain([(number, name.as_str(), c4.as_deref().unwrap_or_default())])
    {
        let name = escape(name);
        let _ = writeln!(
            chain,
            "  <hashlist sequencenr=\"{number}\">\n    <path>{name}</path>\n    <c4>{c4}</c4>\n  </hashlist>"
        );
    }
    chain.push_str("</ascmhldirectory>\n");
    let (new, old) = (folder.join(format!("{CHAIN}.new")), folder.join(CHAIN));
    File::create(&new)
        .and_then(|mut file| file.write_all(chain.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &old))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(fail(&old))
}
