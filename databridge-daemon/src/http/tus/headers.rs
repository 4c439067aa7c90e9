//! What is said in headers of the tus protocol 1.0.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use databridge_core::domains::transfer::{Checked, Piece};
use databridge_core::media::checksum::Algorithm;

use super::super::problem::Problem;

/// The one version that is spoken.
pub const VERSION: &str = "1.0.0";
/// Beside its core.
pub const EXTENSIONS: &str = "creation,creation-defer-length,creation-with-upload,checksum,\
                              termination,expiration";
/// Of pieces.
pub const ALGORITHMS: &str = "sha1,sha256";
/// What a piece is.
const PIECE: &str = "application/offset+octet-stream";

/// A header that says nothing that can be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self::input(&malformed.0)
    }
}

/// That the client speaks our version.
pub fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("tus-resumable").map(HeaderValue::as_bytes) {
        Some(version) if version == VERSION.as_bytes() => Ok(()),
        _ => Err(Problem::tus_version(VERSION)),
    }
}

/// A header that is plain text, if it is there.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let read = |value: &'a HeaderValue| {
        value.to_str().map_err(|_| Problem::input(&format!("{name} is not plain ASCII")))
    };
    headers.get(name).map(read).transpose()
}

/// A header that counts bytes, if it is there.
pub fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let count = |text: &str| {
        count(text).map_err(|_| Problem::input(&format!("{name} is no number of bytes")))
    };
    text(headers, name)?.map(count).transpose()
}

/// Digits alone: a sign is none of them.
fn count(text: &str) -> Result<u64, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed("not a number of bytes"));
    }
    text.parse().map_err(|_| Malformed("more bytes than there are"))
}

/// How long a new upload will be; `None` where that is told later.
pub fn length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let told = number(headers, &HeaderName::from_static("upload-length"))?;
    let deferred = text(headers, &HeaderName::from_static("upload-defer-length"))?;
    Ok(match (told, deferred) {
        (Some(length), None) => Some(length),
        (None, Some("1")) => None,
        (None, Some(_)) => return Err(Malformed("Upload-Defer-Length is not 1").into()),
        (None, None) => return Err(Malformed("Upload-Length is missing").into()),
        (Some(_), Some(_)) => {
            return Err(Malformed("Upload-Length is there, and deferred as well").into());
        }
    })
}

/// The piece that the body is, as the headers tell; `None` where there is no body that
/// could be one, or it is not said where it begins.
pub fn piece(headers: &HeaderMap, offset: Option<u64>) -> Result<Option<Piece>, Problem> {
    let length = number(headers, &header::CONTENT_LENGTH)?;
    let kind = text(headers, &header::CONTENT_TYPE)?;
    if kind != Some(PIECE) {
        // A POST may be without a first piece; a PATCH is not.
        let is_empty = length.unwrap_or(0) == 0 && !headers.contains_key("transfer-encoding");
        let begins = !headers.contains_key("upload-offset");
        return if is_empty && begins { Ok(None) } else { Err(Problem::no_piece(PIECE)) };
    }
    let checked = text(headers, &HeaderName::from_static("upload-checksum"))?;
    let checked = checked.map(checksum).transpose()?;
    let total = number(headers, &HeaderName::from_static("upload-length"))?;
    Ok(offset.map(|offset| Piece { offset, length, total, checked }))
}

/// `sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=`: a kind, a space, the digest in Base64.
fn checksum(text: &str) -> Result<Checked, Malformed> {
    let (kind, digest) =
        text.split_once(' ').ok_or(Malformed("Upload-Checksum is no kind and digest"))?;
    let (algorithm, length) = match kind {
        "sha1" => (Algorithm::Sha1, 20),
        "sha256" => (Algorithm::Sha256, 32),
        _ => return Err(Malformed("Upload-Checksum is of a kind that is not spoken here")),
    };
    match STANDARD.decode(digest) {
        Ok(bytes) if bytes.len() == length => {
            let digest = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Checked { algorithm, digest })
        }
        _ => Err(Malformed("Upload-Checksum has no digest of its kind, in Base64")),
    }
}

/// Where the file belongs, as the metadata say: `path`, or `filename`, which clients set
/// by themselves.
pub fn path(text: &str) -> Result<String, Malformed> {
    let pairs = metadata(text)?;
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let bytes = value("path")
        .or_else(|| value("filename"))
        .ok_or(Malformed("Upload-Metadata has neither path nor filename"))?;
    String::from_utf8(bytes.clone())
        .map_err(|_| Malformed("the path in Upload-Metadata is not UTF-8"))
}

/// `name dmFsdWU=,other`: names, each once, with values in Base64 or without.
fn metadata(text: &str) -> Result<Vec<(String, Vec<u8>)>, Malformed> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if name.is_empty() {
            return Err(Malformed("Upload-Metadata has a value without a name"));
        }
        let value = STANDARD
            .decode(value.trim())
            .map_err(|_| Malformed("Upload-Metadata has a value that is not Base64"))?;
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(Malformed("Upload-Metadata has a name twice"));
        }
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    // The examples of the protocol's text.
    #[test]
    fn what_the_protocol_shows_is_understood() {
        let pairs =
            metadata("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential").unwrap();
        assert_eq!(pairs[0], ("filename".into(), b"world_domination_plan.pdf".to_vec()));
        assert_eq!(pairs[1], ("is_confidential".into(), Vec::new()));
        let checked = checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert_eq!(checked.algorithm, Algorithm::Sha1);
        assert_eq!(checked.digest, "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed");
    }

    #[test]
    fn path_outweighs_filename() {
        // a/b.exr and c.exr
        assert_eq!(path("filename Yy5leHI=,path YS9iLmV4cg==").unwrap(), "a/b.exr");
        assert_eq!(path("filename Yy5leHI=").unwrap(), "c.exr");
        for wrong in
            ["", "other Yy5leHI=", "path /w==", "path a", "path YQ==,path YQ==", ",", " YQ=="]
        {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for wrong in [
            "",
            "sha1",
            "sha1 ",
            "md5 Kq5s",
            "sha1 Kq5s",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha1  Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            assert!(checksum(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "-1", "+1", "1.0", " 1", "1e3", "99999999999999999999"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
        assert_eq!(count("18446744073709551615"), Ok(u64::MAX));
    }

    proptest! {
        #[test]
        fn metadata_come_back(
            pairs in proptest::collection::btree_map("[!-+\\--~]{1,12}", proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            gap in "[ ]{0,2}",
        ) {
            let text: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{gap}{name} {}{gap}", STANDARD.encode(value)))
                .collect();
            let read = metadata(&text.join(",")).unwrap();
            prop_assert_eq!(read, pairs.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn digests_come_back(bytes in any::<[u8; 32]>(), is_sha1 in any::<bool>()) {
            let (kind, bytes) = if is_sha1 { ("sha1", &bytes[..20]) } else { ("sha256", &bytes[..]) };
            let checked = checksum(&format!("{kind} {}", STANDARD.encode(bytes))).unwrap();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(checked.digest, hex);
        }

        #[test]
        fn nothing_makes_it_fall_over(text in "\\PC{0,80}") {
            let _ = (metadata(&text), checksum(&text), count(&text), path(&text));
        }
    }
}
