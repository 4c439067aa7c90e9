//! A receipt against the files that it speaks of.

use std::path::Path;

use super::{Error, Receipt};
use crate::media::checksum::Sha256;
use crate::media::manifest::{Manifest, parse_sha256sums};
use crate::media::monitor::Monitor;

/// Reads the whole tree and proves that it is what the receipt was issued for.
/// `sha256sums` is the text of the SHA256SUMS that stands beside the receipt.
///
/// # Errors
/// [`Error::OtherManifest`] where the list is not the one that was signed,
/// [`Error::Tree`] with every difference between list and tree,
/// [`Error::Manifest`] where the tree cannot be read or the check is cancelled.
pub fn verify_tree(
    receipt: &Receipt,
    sha256sums: &str,
    tree: &Path,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    verify_list(receipt, Sha256::of(sha256sums.as_bytes()))?;
    let signed = &receipt.manifest;
    let read = Manifest::of_tree(tree, None, monitor);
    let found = match &read {
        Ok(manifest) => manifest.digest(),
        // Perhaps only because something stands there that no manifest admits.
        Err(_) => Sha256([0; 32]),
    };
    if found == signed.sha256 {
        return Ok(());
    }
    // Not the tree that was signed: a second read says where.
    let differences = parse_sha256sums(sha256sums)?.check_tree(tree, None, monitor)?;
    if !differences.is_empty() {
        return Err(Error::Tree { code: receipt.transfer.code.clone(), differences });
    }
    // Only folders, of which the list knows nothing, or a tree in motion.
    read?;
    Err(other(receipt, found, signed.sha256, "the manifest digest of the tree"))
}

/// Proves that the SHA256SUMS with this digest is the one that was signed.
///
/// # Errors
/// [`Error::OtherManifest`].
pub fn verify_list(receipt: &Receipt, found: Sha256) -> Result<(), Error> {
    let signed = receipt.manifest.sums_sha256;
    if found == signed { Ok(()) } else { Err(other(receipt, found, signed, "SHA256SUMS")) }
}

fn other(receipt: &Receipt, found: Sha256, signed: Sha256, what: &'static str) -> Error {
    let code = receipt.transfer.code.clone();
    Error::OtherManifest { code, what, found: found.to_string(), signed: signed.to_string() }
}
