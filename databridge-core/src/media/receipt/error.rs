//! Why a receipt proves nothing.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::base::error::{ErrorKind, Fault};
use crate::media::manifest::{self, Difference};

/// Why a receipt could not be made, read or believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No signature in the envelope is by the key that was given.
    #[error("the receipt is not signed by key {wanted} (signed by: {found})")]
    UnknownKey {
        /// The key's id.
        wanted: String,
        /// Key ids in the envelope.
        found: String,
    },
    /// The signature does not belong to the content.
    #[error("the signature by key {key_id} does not fit: the receipt was altered")]
    BadSignature {
        /// The key that it claims.
        key_id: String,
    },
    /// The envelope holds something else.
    #[error("the envelope holds {found:?}, not an in-toto statement")]
    PayloadType {
        /// What it says it holds.
        found: String,
    },
    /// Envelope, statement or list is not what its specification says.
    #[error("{what} is malformed")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong, where a parser said so.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Issued by an embedded store.
    #[error(
        "the receipt of {code} was issued by an embedded store, which enforces nothing against the owner of its files"
    )]
    Embedded {
        /// The transfer.
        code: String,
    },
    /// What was given is not what was signed.
    #[error("{what} has the digest {found}, but the receipt of {code} says {signed}")]
    OtherManifest {
        /// The transfer.
        code: String,
        /// The list or the tree.
        what: &'static str,
        /// Its digest.
        found: String,
        /// Digest that was signed.
        signed: String,
    },
    /// The files are not those that were signed.
    #[error("{code} differs from its receipt in {} places: {}", differences.len(), first(differences))]
    Tree {
        /// The transfer.
        code: String,
        /// Every difference, sorted by path.
        differences: Vec<Difference>,
    },
    /// The list cannot be understood, or the tree not be read.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A key cannot be made, read or used.
    #[error("{what}")]
    Key {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// As many differences are spelt out in a message; all are in the error.
const SHOWN: usize = 5;

fn first(differences: &[Difference]) -> String {
    let shown: Vec<_> = differences.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if differences.len() > SHOWN { "; …" } else { "" };
    format!("{}{more}", shown.join("; "))
}

impl Error {
    pub(super) const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what, source: None }
    }

    pub(super) fn because<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Malformed { what, source: Some(source.into()) }
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BadSignature { .. } | Self::OtherManifest { .. } | Self::Tree { .. } => {
                ErrorKind::CheckFailed
            }
            Self::UnknownKey { .. } | Self::Embedded { .. } => ErrorKind::Undecided,
            Self::PayloadType { .. } | Self::Malformed { .. } | Self::Key { .. } => {
                ErrorKind::Invalid
            }
            Self::Io { .. } => ErrorKind::Io,
            Self::Manifest(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::UnknownKey { .. } => "receipt.unknown_key",
            Self::BadSignature { .. } => "receipt.bad_signature",
            Self::PayloadType { .. } => "receipt.payload_type",
            Self::Malformed { .. } => "receipt.malformed",
            Self::Embedded { .. } => "receipt.embedded",
            Self::OtherManifest { .. } => "receipt.other_manifest",
            Self::Tree { .. } => "receipt.tree",
            Self::Key { .. } => "receipt.key",
            Self::Io { .. } => "receipt.io",
            Self::Manifest(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::UnknownKey { .. } => {
                "Get the issuer's public key by a way that you trust, and verify with it."
            }
            Self::Embedded { .. } => "Allow embedded authority if the owner's own word is enough.",
            Self::Manifest(error) => return error.hint(),
            Self::BadSignature { .. } => "Ask the issuer for the receipt again.",
            Self::PayloadType { .. } | Self::Malformed { .. } => {
                "Name the receipt.json that DataBridge wrote, as it was written."
            }
            Self::OtherManifest { .. } => "Find the list that belongs to this receipt.",
            Self::Tree { .. } => {
                "Find out who changed the files; the receipt still speaks of others."
            }
            Self::Key { .. } => "Name a receipt.pub, or a key file that this user can read.",
            Self::Io { .. } => "Check the path, and that this user may read it.",
        }))
    }
}
