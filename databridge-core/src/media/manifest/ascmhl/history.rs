//! All generations of a folder, and of folders in it that have their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::generation::{Generation, parse_generation};
use crate::media::checksum::{self, Algorithm};
use crate::media::manifest::list::{Format, Known, List, read_text};
use crate::media::manifest::xml::{self, Token, attribute};
use crate::media::manifest::{Difference, Error, What};
use crate::media::storage::{self, RelPath};

/// The folder of a history, in the folder that it speaks of.
pub(in crate::media::manifest) const FOLDER: &str = "ascmhl";
/// Names the generations in order, each with its C4.
pub(super) const CHAIN: &str = "ascmhl_chain.xml";
/// Histories in histories: no shoot nests so deep, and no link leads in circles.
const MAX_DEPTH: usize = 16;

/// A link of a chain.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub number: u64,
    pub name: String,
    pub c4: String,
}

/// A folder's own history.
pub(super) struct History {
    pub root: PathBuf,
    pub chain: Vec<Link>,
    pub generations: Vec<Generation>,
    pub flaws: Vec<Difference>,
}

/// Reads the history of `root` and those that it refers to: of every file the
/// digests of all generations, the first of each algorithm, under the name it has
/// now. What a chain or reference does not vouch for is among [`List::flaws`].
///
/// # Errors
/// [`Error::Layout`] without a chain; [`Error::Xml`] in a list that the chain vouches
/// for; [`Error::Collisions`]; what cannot be read.
pub(in crate::media::manifest) fn read(root: &Path) -> Result<List, Error> {
    let mut all = Merged::default();
    all.take(root, None, 0)?;
    let mut list = List::new(Format::AscMhl, all.files.into_values().collect())?;
    all.ignore.insert("ascmhl/".into());
    all.ignore.insert(".DS_Store".into());
    list.ignore = all.ignore.into_iter().collect();
    list.flaws = all.flaws;
    Ok(list)
}

#[derive(Default)]
struct Merged {
    files: BTreeMap<RelPath, Known>,
    ignore: BTreeSet<String>,
    flaws: Vec<Difference>,
}

impl Merged {
    /// `below` is the path of this history's folder in the first one's.
    fn take(&mut self, root: &Path, below: Option<&RelPath>, depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            let reason = "histories nested too deep";
            return Err(Error::Layout { path: root.join(FOLDER), reason });
        }
        let history = History::open(root)?;
        let inside = |path: &str| match below {
            Some(below) => below.join(path),
            None => RelPath::parse(path),
        };
        for flaw in history.flaws {
            let path = below.map_or(flaw.path.clone(), |below| format!("{below}/{}", flaw.path));
            self.flaws.push(Difference { path, ..flaw });
        }
        let mut children: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for generation in &history.generations {
            for file in &generation.files {
                let path = inside(file.known.path.as_str())?;
                let mut known = Known { path: path.clone(), ..file.known.clone() };
                if let Some(previous) = &file.previous
                    && let Some(before) = self.files.remove(&inside(previous.as_str())?)
                {
                    known = Known { path: path.clone(), ..before };
                    known.merge(file.known.clone());
                }
                match self.files.get_mut(&path) {
                    Some(first) => first.merge(known),
                    None => {
                        self.files.insert(path, known);
                    }
                }
            }
            for (path, c4) in &generation.references {
                let Some((child, name)) = path.split_once(&format!("/{FOLDER}/")) else {
                    let reason = "refers to a list outside of any history";
                    return Err(Error::Layout { path: history.root.join(path), reason });
                };
                let lists = children.entry(child.to_owned()).or_default();
                lists.push((name.to_owned(), c4.clone()));
            }
        }
        // The latest word counts.
        if let Some(latest) = history.generations.last() {
            self.ignore.extend(latest.ignore.iter().map(|pattern| scoped(pattern, below)));
        }
        for (child, lists) in children {
            let below = inside(&child)?;
            let folder = root.join(RelPath::parse(&child)?.to_path());
            for (name, c4) in lists {
                let name = RelPath::parse(&name)?;
                let path = folder.join(FOLDER).join(name.to_path());
                self.flaws.extend(
                    differs(&path, &c4)?
                        .map(|what| Difference { path: format!("{below}/{FOLDER}/{name}"), what }),
                );
            }
            if folder.join(FOLDER).is_dir() {
                self.take(&folder, Some(&below), depth + 1)?;
            }
        }
        Ok(())
    }
}

/// A nested history's pattern as one of the first history's folder.
fn scoped(pattern: &str, below: Option<&RelPath>) -> String {
    match below {
        None => pattern.to_owned(),
        Some(below) if pattern.trim_end_matches('/').contains('/') => {
            format!("/{below}/{}", pattern.trim_start_matches('/'))
        }
        Some(below) => format!("/{below}/**/{pattern}"),
    }
}

impl History {
    /// Reads chain and generations; those that are not as the chain says are flaws,
    /// and read where they can be.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = root.join(FOLDER);
        let chain_path = folder.join(CHAIN);
        if !chain_path.is_file() {
            return Err(Error::Layout { path: chain_path, reason: "a history needs its chain" });
        }
        let chain = parse_chain(&read_text(&chain_path)?).map_err(|e| e.at(&chain_path))?;
        let mut flaws = Vec::new();
        let mut generations = Vec::new();
        for link in &chain {
            let path = folder.join(&link.name);
            let flaw = differs(&path, &link.c4)?;
            let is_sound = flaw.is_none();
            flaws.extend(
                flaw.map(|what| Difference { path: format!("{FOLDER}/{}", link.name), what }),
            );
            match read_text(&path).and_then(|text| parse_generation(&text)) {
                Ok(generation) => generations.push(generation),
                Err(error) if is_sound => return Err(error.at(&path)),
                Err(_) => {}
            }
        }
        let fail = |error| Error::from(storage::Error::io("list", &folder, error));
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            let is_list = name.ends_with(".mhl") && !name.starts_with("._");
            if is_list && !chain.iter().any(|link| link.name == name) {
                let what = What::Extra { found: storage::Kind::File };
                flaws.push(Difference { path: format!("{FOLDER}/{name}"), what });
            }
        }
        Ok(Self { root: root.to_owned(), chain, generations, flaws })
    }
}

/// How a list differs from what is said of it.
fn differs(path: &Path, c4: &str) -> Result<Option<What>, Error> {
    let found = match checksum::file(path, &[Algorithm::C4], &()) {
        Ok(found) => found.digests.get(Algorithm::C4).unwrap_or_default(),
        Err(checksum::Error::Storage(storage::Error::NotFound { .. })) => {
            return Ok(Some(What::Missing));
        }
        Err(error) => return Err(error.into()),
    };
    let (algorithm, expected) = (Algorithm::C4, c4.to_owned());
    Ok((found != c4).then_some(What::Digest { algorithm, expected, found }))
}

/// # Errors
/// [`Error::Xml`].
fn parse_chain(text: &str) -> Result<Vec<Link>, Error> {
    let mut chain: Vec<Link> = Vec::new();
    let mut link: Option<Link> = None;
    xml::read(text, |token| match token {
        Token::Open("ascmhldirectory", _, 1) => Ok(()),
        Token::Open(name, _, 1) => Err(format!("<{name}> is no chain of generations")),
        Token::Open("hashlist", attributes, 2) => {
            let number = attribute(&attributes, "sequencenr").unwrap_or_default();
            let number = number.parse().map_err(|_| format!("{number:?} is no sequencenr"))?;
            link = Some(Link { number, name: String::new(), c4: String::new() });
            Ok(())
        }
        Token::Close(name, text, 3) => {
            match (&mut link, name) {
                (Some(link), "path") => link.name = text.trim().to_owned(),
                (Some(link), "c4") => link.c4 = text.trim().to_owned(),
                _ => {}
            }
            Ok(())
        }
        Token::Close("hashlist", _, 2) => {
            let Some(link) = link.take() else { return Ok(()) };
            if RelPath::parse(&link.name).is_err() || link.name.contains('/') {
                return Err(format!("{:?} is no name of a list", link.name));
            }
            if link.c4.is_empty() {
                return Err(format!("no <c4> of {}", link.name));
            }
            let last = chain.last().map_or(0, |last| last.number);
            if link.number <= last {
                return Err(format!("generation {} after {last}", link.number));
            }
            chain.push(link);
            Ok(())
        }
        _ => Ok(()),
    })?;
    Ok(chain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn chains() {
        let chain = |links: &str| {
            parse_chain(&format!(
                "<ascmhldirectory xmlns=\"urn:ASC:MHL:DIRECTORY:v2.0\">{links}</ascmhldirectory>"
            ))
        };
        let link = |number: &str, name: &str| {
            format!("<hashlist sequencenr=\"{number}\"><path>{name}</path><c4>c4x</c4></hashlist>")
        };
        let sound = chain(&format!("{}{}", link("1", "0001_a.mhl"), link("2", "0002_a.mhl")));
        assert_eq!(sound.unwrap().len(), 2);
        for bad in [
            link("x", "0001_a.mhl"),
            link("1", "../0001_a.mhl"),
            link("1", ""),
            format!("{}{}", link("2", "b.mhl"), link("1", "a.mhl")),
            "<hashlist sequencenr=\"1\"><path>a</path></hashlist>".to_owned(),
        ] {
            assert!(chain(&bad).is_err(), "{bad}");
        }
        assert!(parse_chain("<hashlist/>").is_err());
    }

    #[test]
    fn patterns_of_nested_histories() {
        let below = RelPath::parse("A/B").unwrap();
        assert_eq!(scoped("*.tmp", None), "*.tmp");
        assert_eq!(scoped("*.tmp", Some(&below)), "/A/B/**/*.tmp");
        assert_eq!(scoped("x/", Some(&below)), "/A/B/**/x/");
        assert_eq!(scoped("/x/y", Some(&below)), "/A/B/x/y");
    }
}
