//! One list of a history.

use crate::media::checksum::Algorithm;
use crate::media::manifest::Error;
use crate::media::manifest::list::{Format, Known, List, join};
use crate::media::manifest::xml::{self, Token, attribute};
use crate::media::storage::RelPath;

/// What one list says.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// Files in the order of the list; without digests where the list says `failed`.
    pub files: Vec<File>,
    /// What it does not speak of.
    pub ignore: Vec<String>,
    /// Lists of histories further down that it vouches for: path and C4.
    pub references: Vec<(String, String)>,
}

/// A file of one list.
#[derive(Debug)]
pub(super) struct File {
    pub known: Known,
    /// What it was called before.
    pub previous: Option<RelPath>,
}

#[derive(Default)]
struct Entry {
    path: Option<RelPath>,
    previous: Option<RelPath>,
    size_bytes: Option<u64>,
    digests: Vec<(Algorithm, String)>,
    is_failed: bool,
}

/// A list by itself, without its history: the paths begin where its `ascmhl` folder
/// stands.
///
/// # Errors
/// [`Error::Xml`], [`Error::Collisions`].
pub(in crate::media::manifest) fn parse(text: &str) -> Result<List, Error> {
    let generation = parse_generation(text)?;
    let mut list =
        List::new(Format::AscMhl, join(generation.files.into_iter().map(|file| file.known)))?;
    list.ignore = generation.ignore;
    Ok(list)
}

/// # Errors
/// [`Error::Xml`].
pub(super) fn parse_generation(text: &str) -> Result<Generation, Error> {
    let mut generation = Generation::default();
    let mut entry: Option<Entry> = None;
    let mut reference: Option<(String, String)> = None;
    // In a folder's hashes and in foreign metadata nothing is of interest but our own
    // SHA-256.
    xml::read(text, |token| match token {
        Token::Open("hashlist", attributes, 1) => match attribute(&attributes, "version") {
            Some(version) if version.starts_with("2.") => Ok(()),
            version => Err(format!("hash lists of version {version:?} are not read")),
        },
        Token::Open(name, _, 1) => Err(format!("<{name}> is no hash list")),
        Token::Open("hash", _, 3) => {
            entry = Some(Entry::default());
            Ok(())
        }
        Token::Open("path", attributes, 4) => {
            if let (Some(entry), Some(size)) = (&mut entry, attribute(&attributes, "size")) {
                let size = size.parse().map_err(|_| format!("{size:?} is no size"))?;
                entry.size_bytes = Some(size);
            }
            Ok(())
        }
        Token::Open(_, attributes, 4) => {
            if let Some(entry) = &mut entry {
                entry.is_failed = attribute(&attributes, "action") == Some("failed");
            }
            Ok(())
        }
        Token::Close("hash", _, 3) => {
            generation.files.extend(entry.take().map(finish).transpose()?);
            Ok(())
        }
        Token::Close(name, text, 4) if entry.is_some() => match &mut entry {
            Some(entry) => inside(entry, name, text),
            None => Ok(()),
        },
        Token::Close("sha256", text, 5) => {
            if let Some(entry) = &mut entry {
                entry.digests.push((Algorithm::Sha256, text.to_owned()));
            }
            Ok(())
        }
        Token::Close("pattern", text, 4) => {
            generation.ignore.push(text.to_owned());
            Ok(())
        }
        Token::Open("hashlistreference", _, 3) => {
            reference = Some(Default::default());
            Ok(())
        }
        Token::Close(name, text, 4) => {
            match (&mut reference, name) {
                (Some((path, _)), "path") => *path = text.to_owned(),
                (Some((_, c4)), "c4") => *c4 = text.trim().to_owned(),
                _ => {}
            }
            Ok(())
        }
        Token::Close("hashlistreference", _, 3) => {
            generation.references.extend(reference.take());
            Ok(())
        }
        _ => Ok(()),
    })?;
    Ok(generation)
}

fn inside(entry: &mut Entry, name: &str, text: &str) -> Result<(), String> {
    let relative = |text: &str| {
        let text = text.strip_prefix("./").unwrap_or(text);
        RelPath::parse(text).map_err(|error| error.to_string())
    };
    let algorithm = match name {
        "path" => {
            entry.path = Some(relative(text)?);
            return Ok(());
        }
        "previousPath" => {
            entry.previous = Some(relative(text)?);
            return Ok(());
        }
        "c4" => Algorithm::C4,
        "md5" => Algorithm::Md5,
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        "xxh64" => Algorithm::Xxh64,
        "xxh3" => Algorithm::Xxh3,
        "xxh128" => Algorithm::Xxh128,
        // xxh32 proves too little, and what is younger than us is unknown.
        _ => return Ok(()),
    };
    // What it was found to be when it was not what it should have been.
    if !entry.is_failed {
        entry.digests.push((algorithm, text.to_owned()));
    }
    Ok(())
}

fn finish(entry: Entry) -> Result<File, String> {
    let path = entry.path.ok_or("a <hash> without <path>")?;
    let mut known = Known { size_bytes: entry.size_bytes, ..Known::new(path) };
    for (algorithm, digest) in entry.digests {
        if !known.add(algorithm, &digest) {
            return Err(format!("{digest:?} is no {algorithm}"));
        }
    }
    Ok(File { known, previous: entry.previous })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;

    fn list(hashes: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <hashlist version=\"2.0\" xmlns=\"urn:ASC:MHL:v2.0\">\n\
             <creatorinfo><creationdate>x</creationdate></creatorinfo>\n\
             <processinfo><process>in-place</process><roothash><content>\
             <c4>x</c4></content></roothash><ignore><pattern>.DS_Store</pattern></ignore>\
             </processinfo>\n<hashes>\n{hashes}\n</hashes><references><hashlistreference>\
             <path>A/ascmhl/0001_A.mhl</path><c4>c4x</c4></hashlistreference></references></hashlist>"
        )
    }

    #[test]
    fn a_list_as_the_specification_shows_it() {
        let generation = parse_generation(&list(
            "<hash><path size=\"3\" lastmodificationdate=\"2020-01-15T13:00:00+00:00\">A/a.mov</path>\
             <xxh64 action=\"original\" hashdate=\"2020-01-16T09:15:00+00:00\">44bc2cf5ad770999</xxh64>\
             <previousPath>A/b.mov</previousPath>\
             <metadata><sha256>ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad</sha256>\
             <x><path>../no</path></x></metadata></hash>\n\
             <directoryhash><path>A</path><content><md5>no</md5></content></directoryhash>\
             <hash><path>B</path><md5 action=\"failed\">900150983cd24fb0d6963f7d28e17f72</md5></hash>",
        ))
        .unwrap();
        assert_eq!(generation.ignore, [".DS_Store"]);
        let reference = ("A/ascmhl/0001_A.mhl".to_owned(), "c4x".to_owned());
        assert_eq!(generation.references, [reference]);
        let [a, b] = &generation.files[..] else { panic!("{:?}", generation.files) };
        assert_eq!(a.known.size_bytes, Some(3));
        assert!(a.known.sha256.is_some());
        assert_eq!(a.known.others, [(Algorithm::Xxh64, "44bc2cf5ad770999".to_owned())]);
        assert_eq!(a.previous.as_ref().unwrap().as_str(), "A/b.mov");
        assert_eq!((b.known.path.as_str(), b.known.algorithms().len()), ("B", 0));
    }

    #[test]
    fn malformed_ones_are_refused_by_line() {
        for hash in [
            "<hash><md5>900150983cd24fb0d6963f7d28e17f72</md5></hash>",
            "<hash><path>/etc/passwd</path></hash>",
            "<hash><path>a/../../b</path></hash>",
            "<hash><path size=\"many\">a</path></hash>",
            "<hash><path>a</path><c4>c40</c4></hash>",
            "<hash><path>a</path><xxh3>78af5f94892f395</xxh3></hash>",
        ] {
            let error = parse(&list(hash)).unwrap_err();
            assert_eq!(error.code(), "manifest.xml", "{hash}");
            assert!(error.to_string().contains("line 6"), "{error}");
        }
        for text in ["<hashlist version=\"3.0\"/>", "<hashlist/>", "<playlist version=\"2.0\"/>"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_elements_are_read_or_refused(names in proptest::collection::vec("hash|hashes|path|c4|metadata|sha256", 0..8), text in "[c40-9a./]{0,20}") {
            let open: String = names.iter().map(|name| format!("<{name}>")).collect();
            let close: String = names.iter().rev().map(|name| format!("</{name}>")).collect();
            let _ = parse(&list(&format!("{open}{text}{close}")));
        }
    }
}
