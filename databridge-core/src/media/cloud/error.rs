//! What an object store can refuse.

use std::borrow::Cow;

use crate::base::error::{ErrorKind, Fault};

/// Why an object store did not do what it was asked. Of its answer only the code
/// and the message are kept: the rest may repeat what we sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings cannot work.
    #[error("the object store's settings: {reason}")]
    Settings {
        /// Which and why.
        reason: String,
    },
    /// This program was built without object stores.
    #[error("{url}: this build knows no object stores")]
    NotBuilt {
        /// What was asked for.
        url: String,
    },
    /// The store does not know us, or our signature is wrong.
    #[error("{url}: the object store does not accept the credentials ({answer})")]
    Credentials {
        /// What was asked for.
        url: String,
        /// The store's code.
        answer: String,
    },
    /// It knows us, and refuses.
    #[error("{url}: permission denied ({answer})")]
    Permission {
        /// What was asked for.
        url: String,
        /// The store's code.
        answer: String,
    },
    /// There is no such bucket.
    #[error("{url}: there is no such bucket")]
    BucketMissing {
        /// What was asked for.
        url: String,
    },
    /// There is no such object.
    #[error("{url}: there is no such object")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// Our clock and the store's are too far apart.
    #[error("{url}: this host's clock differs too much from the object store's ({answer})")]
    ClockSkew {
        /// What was asked for.
        url: String,
        /// The store's code.
        answer: String,
    },
    /// What arrived there is not what was sent.
    #[error("{url}: what arrived does not have the checksum that was sent with it ({answer})")]
    ChecksumRefused {
        /// What was asked for.
        url: String,
        /// The store's code.
        answer: String,
    },
    /// The store lacks something that a safe delivery needs.
    #[error("{url}: the object store cannot do what is needed ({answer})")]
    Unsupported {
        /// What was asked for.
        url: String,
        /// What it lacks.
        answer: String,
    },
    /// The key would be longer than object stores take.
    #[error("{url}: the key is longer than 1024 bytes")]
    KeyTooLong {
        /// What would have been written.
        url: String,
    },
    /// It did not answer, or only with server errors, however often it was asked.
    #[error("{url}: the object store does not answer ({answer})")]
    Unavailable {
        /// What was asked for.
        url: String,
        /// The last answer.
        answer: String,
    },
    /// An object changed while it was read.
    #[error("{url}: changed while it was read")]
    Changed {
        /// The object.
        url: String,
    },
    /// A name that cannot be a file's.
    #[error("{url}: no file can have this name ({reason})")]
    Name {
        /// The object.
        url: String,
        /// Why not.
        reason: String,
    },
    /// An object of our own that cannot be understood.
    #[error("{url}: not what DataBridge writes there ({reason})")]
    Malformed {
        /// The object.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Any other refusal.
    #[error("{url}: the object store refuses ({answer})")]
    Refused {
        /// What was asked for.
        url: String,
        /// The store's code and message.
        answer: String,
    },
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings { .. } | Self::NotBuilt { .. } | Self::KeyTooLong { .. } => {
                ErrorKind::Invalid
            }
            Self::Name { .. } => ErrorKind::Invalid,
            Self::BucketMissing { .. } | Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Changed { .. } | Self::Malformed { .. } => ErrorKind::CheckFailed,
            Self::Credentials { .. }
            | Self::Permission { .. }
            | Self::ClockSkew { .. }
            | Self::ChecksumRefused { .. }
            | Self::Unsupported { .. }
            | Self::Refused { .. } => ErrorKind::Io,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Settings { .. } => "cloud.settings",
            Self::NotBuilt { .. } => "cloud.not_built",
            Self::Credentials { .. } => "cloud.credentials",
            Self::Permission { .. } => "cloud.permission",
            Self::BucketMissing { .. } => "cloud.bucket_missing",
            Self::NotFound { .. } => "cloud.not_found",
            Self::ClockSkew { .. } => "cloud.clock_skew",
            Self::ChecksumRefused { .. } => "cloud.checksum_refused",
            Self::Unsupported { .. } => "cloud.unsupported",
            Self::KeyTooLong { .. } => "cloud.key_too_long",
            Self::Unavailable { .. } => "cloud.unavailable",
            Self::Changed { .. } => "cloud.changed",
            Self::Name { .. } => "cloud.name",
            Self::Malformed { .. } => "cloud.malformed",
            Self::Refused { .. } => "cloud.refused",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let text = match self {
            Self::Settings { .. } => "docs/operations.md lists the settings of [s3].",
            Self::NotBuilt { .. } => {
                "Use the databridge and databridged programs, or build with the feature `cloud`."
            }
            Self::Credentials { .. } => {
                "Check s3.access_key_id and its secret, or the AWS_… variables."
            }
            Self::Permission { .. } => {
                "Allow s3:ListBucket on the bucket, and s3:GetObject, PutObject, DeleteObject and AbortMultipartUpload below the prefix."
            }
            Self::BucketMissing { .. } => {
                "Create the bucket, or correct its name, the region or the endpoint."
            }
            Self::ClockSkew { .. } => {
                "Set this host's clock (NTP): signatures are good for some minutes only."
            }
            Self::ChecksumRefused { .. } => {
                "Try again; if it recurs, something between here and the store damages data."
            }
            Self::Unsupported { .. } => {
                "Deliveries need conditional writes (If-None-Match, If-Match): use a store that has them."
            }
            Self::KeyTooLong { .. } => "Shorten the paths or the prefix.",
            Self::Unavailable { .. } => {
                "Check the endpoint and the network, then try again: it resumes."
            }
            Self::Changed { .. } => "Read it when nobody writes to it.",
            Self::Name { .. } => "Copy such objects by their own names.",
            Self::Malformed { .. } => "Find out who wrote it; move it away, then try again.",
            Self::NotFound { .. } => "Check the bucket, the prefix and the name: case counts.",
            Self::Refused { .. } => "Look up the store's own code, which the message names.",
        };
        Some(text.into())
    }
}

/// Sorts an answer by its code (the S3 API's error codes) and its HTTP status.
/// `text` is whatever the client library says; of it only what stands in
/// `<Code>` and `<Message>` is kept, or a plain word for the failure.
#[cfg(feature = "cloud")]
pub(super) fn sort(url: String, text: &str) -> Error {
    let code = element(text, "Code");
    let answer = match (code, element(text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {}", short(message)),
        (Some(code), None) => code.to_owned(),
        _ => plain_reason(text),
    };
    let status = |number: &str| text.contains(&format!("status code: {number}"));
    match code.unwrap_or_default() {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "NotSignedUp" => Error::Credentials { url, answer: code.unwrap_or_default().into() },
        "AccessDenied" | "AllAccessDisabled" => Error::Permission { url, answer },
        "NoSuchBucket" => Error::BucketMissing { url },
        "NoSuchKey" => Error::NotFound { url },
        "RequestTimeTooSkewed" | "RequestExpired" => Error::ClockSkew { url, answer },
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => Error::ChecksumRefused { url, answer },
        "NotImplemented" | "MethodNotAllowed" => Error::Unsupported { url, answer },
        "SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout" => {
            Error::Unavailable { url, answer }
        }
        _ if status("401") => Error::Credentials { url, answer },
        _ if status("403") => Error::Permission { url, answer },
        _ if status("404") => Error::NotFound { url },
        _ if status("5") => Error::Unavailable { url, answer },
        "" if !text.contains("status code") => Error::Unavailable { url, answer },
        _ => Error::Refused { url, answer },
    }
}

#[cfg(feature = "cloud")]
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(inside, _)| inside).filter(|inside| !inside.is_empty())
}

#[cfg(feature = "cloud")]
fn short(message: &str) -> String {
    let text: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    text
}

/// What went wrong below HTTP, in our words: the library's may hold the request.
#[cfg(feature = "cloud")]
fn plain_reason(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let known = [
        ("dns error", "its name cannot be resolved"),
        ("certificate", "its certificate is not accepted"),
        ("connection refused", "connection refused"),
        ("error trying to connect", "no connection"),
        ("tcp connect", "no connection"),
        ("timed out", "timed out"),
        ("timeout", "timed out"),
        ("reset", "connection reset"),
        ("closed", "connection closed"),
        ("incomplete", "connection closed"),
    ];
    if let Some((_, status)) = text.split_once("status code: ") {
        return format!("HTTP {}", status.chars().take(3).collect::<String>());
    }
    known
        .iter()
        .find(|(sign, _)| text.contains(sign))
        .map_or_else(|| "the request failed".to_owned(), |(_, reason)| (*reason).to_owned())
}

#[cfg(all(test, feature = "cloud"))]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_and_what_we_sent_is_not_repeated() {
        let body = |status: &str, code: &str| {
            format!(
                "Server returned non-2xx status code: {status}: <Error><Code>{code}</Code>\
                 <Message>no</Message><AWSAccessKeyId>AKIDSECRET</AWSAccessKeyId></Error>"
            )
        };
        for (text, code) in [
            (body("403 Forbidden", "SignatureDoesNotMatch"), "cloud.credentials"),
            (body("403 Forbidden", "AccessDenied"), "cloud.permission"),
            (body("404 Not Found", "NoSuchBucket"), "cloud.bucket_missing"),
            (body("403 Forbidden", "RequestTimeTooSkewed"), "cloud.clock_skew"),
            (body("400 Bad Request", "BadDigest"), "cloud.checksum_refused"),
            (body("501 Not Implemented", "NotImplemented"), "cloud.unsupported"),
            (body("503 Service Unavailable", "SlowDown"), "cloud.unavailable"),
            (body("400 Bad Request", "InvalidPart"), "cloud.refused"),
            ("Server returned non-2xx status code: 502 Bad Gateway: ".into(), "cloud.unavailable"),
            ("HTTP error: error sending request: tcp connect error".into(), "cloud.unavailable"),
        ] {
            let error = sort("s3://b/k".into(), &text);
            assert_eq!(error.code(), code, "{text}");
            assert!(!format!("{error} {error:?}").contains("AKIDSECRET"));
        }
    }
}
