//! Media Hash List 1.1, as older tools on set write it (mediahashlist.org).

use super::Error;
use super::list::{Format, Known, List, join};
use super::xml::{self, Token, attribute};
use crate::media::checksum::Algorithm;
use crate::media::storage::RelPath;

/// Whether an XML document looks like one: a hash list whose version begins with 1.
pub(super) fn is_one(text: &str) -> bool {
    let mut is_one = false;
    // Only the root is looked at; that the rest is sound is for the parser to say.
    let _ = xml::read(text, |token| match token {
        Token::Open("hashlist", attributes, 1) => {
            is_one = attribute(&attributes, "version").is_some_and(|v| v.starts_with("1."));
            Err(String::new())
        }
        _ => Err(String::new()),
    });
    is_one
}

/// A `<hash>` while it is read.
type Hash = (Option<Known>, Vec<(Algorithm, String)>, Option<u64>);

/// Its files. xxHash of 32 bits is passed over: it proves too little; a file that
/// has nothing else is unproven. A path is relative to the list's own folder.
///
/// # Errors
/// [`Error::Xml`], [`Error::Collisions`].
pub(super) fn parse(text: &str) -> Result<List, Error> {
    let mut files = Vec::new();
    let mut current: Option<Hash> = None;
    xml::read(text, |token| {
        match token {
            Token::Open(name, _, 1) if name != "hashlist" => {
                return Err(format!("<{name}> is no hash list"));
            }
            Token::Open("hash", _, 2) => current = Some((None, Vec::new(), None)),
            Token::Close("hash", _, 2) => {
                let (file, digests, size_bytes) = current.take().unwrap_or_default();
                let mut file = file.ok_or("a <hash> without <file>")?;
                file.size_bytes = size_bytes;
                for (algorithm, digest) in digests {
                    if !file.add(algorithm, &digest) {
                        return Err(format!("{digest:?} is no {algorithm}"));
                    }
                }
                files.push(file);
            }
            Token::Close(name, text, 3) => {
                let Some((file, digests, size_bytes)) = &mut current else { return Ok(()) };
                let algorithm = match name {
                    "file" => {
                        let path = text.strip_prefix("./").unwrap_or(text);
                        let path = RelPath::parse(path).map_err(|error| error.to_string())?;
                        *file = Some(Known::new(path));
                        return Ok(());
                    }
                    "size" => {
                        let size =
                            text.trim().parse().map_err(|_| format!("{text:?} is no size"))?;
                        *size_bytes = Some(size);
                        return Ok(());
                    }
                    "md5" => Algorithm::Md5,
                    "sha1" => Algorithm::Sha1,
                    "sha256" => Algorithm::Sha256,
                    "sha512" => Algorithm::Sha512,
                    "c4" => Algorithm::C4,
                    "xxhash64" | "xxhash64be" => Algorithm::Xxh64,
                    "xxhash3_64" => Algorithm::Xxh3,
                    "xxhash3_128" => Algorithm::Xxh128,
                    _ => return Ok(()),
                };
                // The one without `be` has its bytes the other way round.
                let digest = if name == "xxhash64" { reversed(text)? } else { text.to_owned() };
                digests.push((algorithm, digest));
            }
            _ => {}
        }
        Ok(())
    })?;
    List::new(Format::Mhl1, join(files))
}

fn reversed(text: &str) -> Result<String, String> {
    let mut bytes = hex::decode(text.trim()).map_err(|_| format!("{text:?} is no xxhash64"))?;
    bytes.reverse();
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;

    fn list(hashes: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashlist version=\"1.1\">\n\
             <creatorinfo><tool>x</tool></creatorinfo>\n{hashes}\n</hashlist>"
        )
    }

    #[test]
    fn each_kind_of_hash() {
        let text = list(
            "<hash><file>A001/a &amp; b.mov</file><size>3</size>\
             <lastmodificationdate>2014-01-01T00:00:00Z</lastmodificationdate>\
             <md5>900150983CD24FB0D6963F7D28E17F72</md5>\
             <xxhash64be>44bc2cf5ad770999</xxhash64be><hashdate>x</hashdate></hash>\n\
             <hash><file>b</file><size>3</size><xxhash64>990977adf52cbc44</xxhash64></hash>\
             <hash><file>c</file><size>3</size><xxhash>852579327</xxhash></hash>",
        );
        assert!(is_one(&text));
        let list = parse(&text).unwrap();
        assert_eq!(list.format, Format::Mhl1);
        let [c, a, b] = [&list.files[2], &list.files[0], &list.files[1]];
        assert_eq!(a.path.as_str(), "A001/a & b.mov");
        assert_eq!(a.size_bytes, Some(3));
        let xxh64 = (Algorithm::Xxh64, "44bc2cf5ad770999".to_owned());
        let md5 = (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72".to_owned());
        assert_eq!(a.others, [md5, xxh64.clone()]);
        assert_eq!(b.others, [xxh64]);
        assert_eq!(c.others, []);
    }

    #[test]
    fn malformed_ones_are_refused() {
        for (hashes, says) in [
            ("<hash><size>3</size></hash>", "without <file>"),
            ("<hash><file>../a</file></hash>", "'.' or '..'"),
            ("<hash><file>/a</file></hash>", "absolute"),
            ("<hash><file>a\\b</file></hash>", "backslash"),
            ("<hash><file>a</file><size>-1</size></hash>", "no size"),
            ("<hash><file>a</file><md5>123</md5></hash>", "no md5"),
            ("<hash><file>a</file><xxhash64>zz</xxhash64></hash>", "no xxhash64"),
        ] {
            let error = parse(&list(hashes)).unwrap_err();
            assert_eq!(error.code(), "manifest.xml");
            let text = error.to_string();
            assert!(text.contains(says) && text.contains("line 4"), "{text}");
        }
        assert!(parse("<playlist/>").is_err());
    }

    proptest! {
        #[test]
        fn any_elements_are_read_or_refused(names in proptest::collection::vec("hash|file|size|md5|x", 0..6), text in "[ab0-9./]{0,33}") {
            let open: String = names.iter().map(|name| format!("<{name}>")).collect();
            let close: String = names.iter().rev().map(|name| format!("</{name}>")).collect();
            let _ = parse(&list(&format!("{open}{text}{close}")));
        }
    }
}
