//! BagIt bags (RFC 8493): payload in `data/`, lists of it beside.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::list::{Format, Known, List, join, read_text};
use super::{Difference, Entry, Error, Manifest, What};
use crate::base::clock::Timestamp;
use crate::media::checksum::{Algorithm, Sha256};
use crate::media::storage::{self, RelPath};

/// What makes a folder a bag.
pub(super) const DECLARATION: &str = "bagit.txt";
const DECLARED: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";
/// The payload's folder.
pub const PAYLOAD: &str = "data";

/// Reads the bag at `root`: its payload, and the tag files of its tag manifests. What
/// stands beside `data/` and is in no list is allowed (RFC 8493, 2.2.4).
///
/// # Errors
/// [`Error::Layout`] where it has no payload manifest, or is not in UTF-8;
/// [`Error::Line`], [`Error::LinePath`], [`Error::Collisions`].
pub(super) fn read(root: &Path) -> Result<List, Error> {
    let declaration = root.join(DECLARATION);
    let text = read_text(&declaration)?;
    if !text.lines().any(|line| line.trim() == "Tag-File-Character-Encoding: UTF-8") {
        let reason = "only bags in UTF-8 are read";
        return Err(Error::Layout { path: declaration, reason });
    }
    let mut files = Vec::new();
    let mut payloads = Vec::new();
    for (path, algorithm, is_payload) in manifests(root)? {
        let known = parse(&read_text(&path)?, algorithm).map_err(|error| error.at(&path))?;
        if is_payload {
            payloads.push((path, known.iter().map(|known| known.path.clone()).collect::<Vec<_>>()));
        }
        files.extend(known);
    }
    let Some((_, first)) = payloads.first().cloned() else {
        let reason = "no payload manifest with an algorithm that is known";
        return Err(Error::Layout { path: root.to_owned(), reason });
    };
    let mut list = List::new(Format::Bagit, join(files))?;
    // Each payload manifest lists every file (RFC 8493, 3).
    for (path, listed) in &payloads[1..] {
        if *listed != first {
            let path = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            list.flaws.push(Difference { path, what: What::Unproven });
        }
    }
    list.ignore = vec!["/*".into(), format!("!/{PAYLOAD}/")];
    Ok(list)
}

/// The manifests of a bag, in the order of their names.
fn manifests(root: &Path) -> Result<Vec<(PathBuf, Algorithm, bool)>, Error> {
    let fail = |error| Error::from(storage::Error::io("list", root, error));
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(middle) = name.to_str().and_then(|name| name.strip_suffix(".txt")) else {
            continue;
        };
        let (rest, is_payload) = match middle.strip_prefix("tagmanifest-") {
            Some(rest) => (rest, false),
            None => match middle.strip_prefix("manifest-") {
                Some(rest) => (rest, true),
                None => continue,
            },
        };
        if let Ok(algorithm) = rest.parse() {
            found.push((root.join(&name), algorithm, is_payload));
        }
    }
    found.sort();
    Ok(found)
}

/// Lines of a digest, white space and a path in which `%`, CR and LF are written by
/// their numbers.
fn parse(text: &str, algorithm: Algorithm) -> Result<Vec<Known>, Error> {
    let mut files = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = Error::Line { line: at + 1 };
        let Some((digest, name)) = line.split_once([' ', '\t']) else { return Err(bad) };
        let name = name.trim_start_matches([' ', '\t', '*']);
        let name = decode(name.strip_prefix("./").unwrap_or(name));
        let path =
            RelPath::parse(&name).map_err(|source| Error::LinePath { line: at + 1, source })?;
        let mut known = Known::new(path);
        if !known.add(algorithm, digest) {
            return Err(bad);
        }
        files.push(known);
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Only these three are ever encoded (RFC 8493, 2.1.3).
fn decode(name: &str) -> String {
    let name = name.replace("%0D", "\r").replace("%0d", "\r");
    name.replace("%0A", "\n").replace("%0a", "\n").replace("%25", "%")
}

/// Makes the folder `root`, whose payload stands in `data/` as `payload` says, a bag:
/// writes its declaration, info and manifests, each of which must not exist yet.
///
/// # Errors
/// [`Error::Name`] for a name with `%` in it: tools disagree on how it is written;
/// what the system says.
pub fn write(root: &Path, payload: &Manifest) -> Result<(), Error> {
    let mut listed = String::new();
    for entry in payload.entries() {
        if entry.path().as_str().contains('%') {
            return Err(Error::Name { path: entry.path().clone(), format: "BagIt" });
        }
        if let Entry::File { path, sha256, .. } = entry {
            listed.push_str(&format!("{sha256}  {PAYLOAD}/{path}\n"));
        }
    }
    let date = Timestamp::now().to_string();
    let info = format!(
        "Bag-Software-Agent: DataBridge {}\nBagging-Date: {}\nPayload-Oxum: {}.{}\n",
        env!("CARGO_PKG_VERSION"),
        &date[..10],
        payload.total_bytes(),
        payload.file_count(),
    );
    let tags = [
        ("bag-info.txt", info.as_str()),
        (DECLARATION, DECLARED),
        ("manifest-sha256.txt", &listed),
    ];
    let mut tag_manifest = String::new();
    for (name, text) in tags {
        tag_manifest.push_str(&format!("{}  {name}\n", Sha256::of(text.as_bytes())));
    }
    for (name, text) in tags.into_iter().chain([("tagmanifest-sha256.txt", tag_manifest.as_str())])
    {
        let path = root.join(name);
        fs::File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| storage::Error::io("write", path, error))?;
    }
    let dir = fs::File::open(root).and_then(|dir| dir.sync_all());
    Ok(dir.map_err(|error| storage::Error::io("flush", root, error))?)
}
