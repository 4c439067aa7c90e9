//! The in-toto Statement v1 around a receipt.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::media::checksum::Sha256;

/// `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The name of what a receipt says; a name, not a link.
pub const PREDICATE_TYPE: &str = "https://databridge.dev/receipt/v1";
/// The name of what is said of a recall.
pub const RECALL_TYPE: &str = "https://databridge.dev/recall/v1";

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

/// The statement's JSON: `kind` says what the predicate is, which speaks of the delivery
/// of that code and manifest.
pub fn to_payload<R: Serialize>(
    kind: &str,
    (code, manifest): (&str, Sha256),
    predicate: &R,
) -> Result<Vec<u8>, Error> {
    let statement = Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject { name: code.to_owned(), digest: Digest { sha256: manifest } }],
        predicate_type: kind.to_owned(),
        predicate,
    };
    serde_json::to_vec(&statement).map_err(Error::because("the receipt"))
}

/// Reads it back; subject and predicate must speak of the same thing.
pub fn from_payload<R: DeserializeOwned>(
    kind: &str,
    payload: &[u8],
    about: impl Fn(&R) -> (&str, Sha256),
) -> Result<R, Error> {
    let statement: Statement<serde_json::Value> =
        serde_json::from_slice(payload).map_err(Error::because("the statement"))?;
    if statement.kind != STATEMENT_TYPE {
        return Err(Error::malformed("the statement's type"));
    }
    if statement.predicate_type != kind {
        return Err(Error::malformed("the predicate's type"));
    }
    let predicate = R::deserialize(statement.predicate).map_err(Error::because("the statement"))?;
    let is_about = |one: &Subject| (one.name.as_str(), one.digest.sha256) == about(&predicate);
    match &statement.subject[..] {
        [one] if is_about(one) => Ok(predicate),
        _ => Err(Error::malformed("the statement's subject")),
    }
}

/// What a payload says its predicate is.
pub fn kind_of(payload: &[u8]) -> Option<String> {
    let statement: serde_json::Value = serde_json::from_slice(payload).ok()?;
    statement["predicateType"].as_str().map(str::to_owned)
}
