//! XML as hash lists use it, and no more: no document types, so no entities of
//! anybody's own; bounded depth and text.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::Error;

/// Hash lists are four levels deep; metadata may be deeper.
const MAX_DEPTH: usize = 32;
/// A path has 1024 bytes at most; comments of people may be longer.
const MAX_TEXT: usize = 64 * 1024;

/// What is met, in order. Names are without their prefixes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An element begins: its name, attributes, depth (the root's is 1).
    Open(&'a str, Vec<(String, String)>, usize),
    /// An element ends: its name, the text directly in it (trimmed where that is on
    /// lines of its own), depth.
    Close(&'a str, &'a str, usize),
}

/// Reads a document, handing its elements to `take`, whose refusal (a sentence) is
/// reported with the line.
///
/// # Errors
/// [`Error::Xml`].
pub(super) fn read(
    text: &str,
    mut take: impl FnMut(Token<'_>) -> Result<(), String>,
) -> Result<(), Error> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let done = walk(&mut reader, &mut take);
    done.map_err(|reason| {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::Xml { path: None, line, reason }
    })
}

fn walk(
    reader: &mut Reader<&[u8]>,
    take: &mut impl FnMut(Token<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut has_root = false;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                let name = begin(&start, &mut open, &mut has_root)?;
                take(Token::Open(&name, attributes(&start)?, open.len()))?;
            }
            Event::Empty(start) => {
                let name = begin(&start, &mut open, &mut has_root)?;
                take(Token::Open(&name, attributes(&start)?, open.len()))?;
                take(Token::Close(&name, "", open.len()))?;
                open.pop();
            }
            Event::End(_) => {
                let depth = open.len();
                let (name, text) = open.pop().ok_or("an element ends that never began")?;
                // A name may begin or end with a blank; one set on lines of its own cannot.
                let text = if text.contains(['\n', '\r', '\t']) { text.trim() } else { &text };
                take(Token::Close(&name, text, depth))?;
            }
            Event::Text(text) => add(&mut open, &text.xml10_content())?,
            Event::CData(text) => add(&mut open, &text.xml10_content())?,
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| error.to_string())?;
                match character {
                    Some(character) => add(&mut open, character.encode_utf8(&mut [0; 4]))?,
                    None => {
                        let name = name.into_inner();
                        let text = resolve_predefined_entity(&name)
                            .ok_or_else(|| format!("the entity &{name}; is not known"))?;
                        add(&mut open, text)?;
                    }
                }
            }
            Event::DocType(_) => return Err("document types are not read".into()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() && has_root => return Ok(()),
            Event::Eof => return Err("it ends too early".into()),
        }
    }
}

fn begin(
    start: &BytesStart<'_>,
    open: &mut Vec<(String, String)>,
    has_root: &mut bool,
) -> Result<String, String> {
    if open.len() >= MAX_DEPTH {
        return Err(format!("elements nested deeper than {MAX_DEPTH}"));
    }
    if open.is_empty() && std::mem::replace(has_root, true) {
        return Err("more than one root element".into());
    }
    let name = start.local_name().as_ref().to_owned();
    open.push((name.clone(), String::new()));
    Ok(name)
}

fn add(open: &mut [(String, String)], more: &str) -> Result<(), String> {
    match open.last_mut() {
        Some((_, text)) if text.len() + more.len() <= MAX_TEXT => text.push_str(more),
        Some(_) => return Err(format!("a text longer than {MAX_TEXT} bytes")),
        None if more.trim().is_empty() => {}
        None => return Err("text outside of the root element".into()),
    }
    Ok(())
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    start
        .attributes()
        .map(|attribute| {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let name = attribute.key.local_name().as_ref().to_owned();
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|error| error.to_string())?;
            Ok((name, value.into_owned()))
        })
        .collect()
}

/// A value among attributes.
pub(super) fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A text as it stands between tags or in an attribute.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;

    fn texts(document: &str) -> Result<Vec<(String, String)>, Error> {
        let mut all = Vec::new();
        read(document, |token| {
            if let Token::Close(name, text, _) = token {
                all.push((name.to_owned(), text.to_owned()));
            }
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn text_with_references_and_cdata_is_one() {
        let found = texts("\u{feff}<?xml version='1.0'?><x:a xmlns:x='u'> a&amp;b&#x41;<![CDATA[<&]]>c <b q='&lt;'/></x:a>").unwrap();
        assert_eq!(found, [("b".into(), "".into()), ("a".into(), " a&bA<&c ".into())]);
    }

    #[test]
    fn what_is_hostile_or_broken_is_refused_with_its_line() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]>\n<a>&c;</a>";
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        let long = format!("<a>{}</a>", "x".repeat(MAX_TEXT + 1));
        for (document, line) in [
            (bomb, 1),
            ("<a>\n&b;</a>", 2),
            (&deep, 1),
            (&long, 1),
            ("<a>\n\n</b>", 3),
            ("<a>\n<b>", 2),
            ("", 1),
            ("\n", 2),
            ("<a/>\n<b/>", 2),
            ("<a/>text", 1),
            ("<a b='1' b='2'/>", 1),
            ("<a>&#xD800;</a>", 1),
        ] {
            let error = texts(document).unwrap_err();
            assert_eq!(error.code(), "manifest.xml", "{document}");
            assert!(error.to_string().contains(&format!("line {line}")), "{document}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[ -~äß日\u{1F3AC}]{0,30}") {
            let found = texts(&format!("<a>{}</a>", escape(&text))).unwrap();
            prop_assert_eq!(&found[0].1, &text);
        }

        #[test]
        fn any_document_is_read_or_refused(text in "[<>/&;!\\[\\]\\-ab='\"#x0-9 \n]{0,80}") {
            let _ = texts(&text);
        }
    }
}
