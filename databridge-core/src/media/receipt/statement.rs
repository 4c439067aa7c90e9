//! The in-toto Statement v1 around a receipt.

use serde::{Deserialize, Serialize};

use super::{Error, Receipt};
use crate::media::checksum::Sha256;

/// `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The name of what a receipt says; a name, not a link.
pub const PREDICATE_TYPE: &str = "https://databridge.dev/receipt/v1";

#[derive(Serialize, Deserialize)]
struct Statement<R> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: R,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Digest {
    sha256: Sha256,
}

/// The statement's JSON.
pub fn to_payload(receipt: &Receipt) -> Result<Vec<u8>, Error> {
    let statement = Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject {
            name: receipt.transfer.code.clone(),
            digest: Digest { sha256: receipt.manifest.sha256 },
        }],
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: receipt,
    };
    serde_json::to_vec(&statement).map_err(Error::because("the receipt"))
}

/// Reads it back; subject and predicate must speak of the same thing.
pub fn from_payload(payload: &[u8]) -> Result<Receipt, Error> {
    let statement: Statement<Receipt> =
        serde_json::from_slice(payload).map_err(Error::because("the statement"))?;
    if statement.kind != STATEMENT_TYPE {
        return Err(Error::malformed("the statement's type"));
    }
    if statement.predicate_type != PREDICATE_TYPE {
        return Err(Error::malformed("the predicate's type"));
    }
    let receipt = statement.predicate;
    let about = (&receipt.transfer.code, receipt.manifest.sha256);
    match &statement.subject[..] {
        [one] if (&one.name, one.digest.sha256) == about => Ok(receipt),
        _ => Err(Error::malformed("the statement's subject")),
    }
}
