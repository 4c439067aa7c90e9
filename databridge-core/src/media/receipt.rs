//! The signed statement that ends a delivery: who approved which manifest, who
//! scanned it, what was written where, what was read back, and which rules were
//! overridden.
//!
//! An in-toto Statement v1 in a DSSE envelope v1, signed with Ed25519 (RFC
//! 8032), so that other people's tools verify it without us:
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>,
//! <https://github.com/secure-systems-lab/dsse>. Its one subject is the
//! delivery, named by its code and digested by its manifest digest; the files
//! are listed in the SHA256SUMS that stands beside the receipt and whose digest
//! the receipt holds, so that `sha256sum` alone leads from the signature to
//! every file.

mod envelope;
mod error;
mod key;
mod recall;
mod statement;
mod text;
mod tree;
mod types;

pub use self::envelope::{Envelope, PAYLOAD_TYPE, Signature, pae};
pub use self::error::Error;
pub use self::key::{PublicKey, SigningKey};
pub use self::recall::{Recall, recall_text, sign_recall, verify_recall};
pub use self::statement::{PREDICATE_TYPE, RECALL_TYPE, STATEMENT_TYPE};
pub use self::text::text;
pub use self::tree::{verify_list, verify_tree};
pub use self::types::{
    Approval, Authority, Copy, Decision, Issuer, Ledger, ManifestFacts, Override, Receipt, Scan,
    Transfer,
};

/// What a verifier accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Also receipts of an embedded store, which enforces nothing against the
    /// owner of its files.
    pub allow_embedded: bool,
}

/// Signs a receipt.
///
/// # Errors
/// [`Error::Malformed`] where the receipt cannot be written as JSON,
/// [`Error::Key`] where the key does not sign.
pub fn sign(receipt: &Receipt, key: &SigningKey) -> Result<Envelope, Error> {
    let about = (receipt.transfer.code.as_str(), receipt.manifest.sha256);
    Envelope::sign(statement::to_payload(PREDICATE_TYPE, about, receipt)?, key)
}

/// Verifies the signature, then reads the statement.
///
/// # Errors
/// [`Error::UnknownKey`] where nothing in the envelope claims to be by `key`,
/// [`Error::BadSignature`], [`Error::PayloadType`], [`Error::Malformed`],
/// [`Error::Embedded`] unless `options` allow it.
pub fn verify(envelope: &Envelope, key: &PublicKey, options: Options) -> Result<Receipt, Error> {
    let payload = envelope.verify(key)?;
    let receipt = statement::from_payload(PREDICATE_TYPE, payload, |receipt: &Receipt| {
        (&receipt.transfer.code, receipt.manifest.sha256)
    })?;
    if receipt.authority == Authority::Embedded && !options.allow_embedded {
        return Err(Error::Embedded { code: receipt.transfer.code });
    }
    Ok(receipt)
}

#[cfg(test)]
mod tests;
