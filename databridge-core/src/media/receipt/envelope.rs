//! The DSSE envelope v1.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Error, PublicKey, SigningKey};

/// The payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A payload and who says to have signed it; only [`super::verify`] believes any
/// of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The statement's JSON.
    #[serde(with = "base64_bytes")]
    pub payload: Vec<u8>,
    /// What the payload is; [`PAYLOAD_TYPE`].
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// Signatures over [`pae`], in any order.
    pub signatures: Vec<Signature>,
}

/// One signature over [`pae`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// [`PublicKey::key_id`]; a hint that proves nothing.
    #[serde(default, rename = "keyid")]
    pub key_id: String,
    /// The Ed25519 signature, 64 bytes.
    #[serde(with = "base64_bytes")]
    pub sig: Vec<u8>,
}

/// What is signed: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`, lengths in
/// bytes as decimal numbers (DSSE protocol, PAE).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    pub(super) fn sign(payload: Vec<u8>, key: &SigningKey) -> Result<Self, Error> {
        let sig = key.sign(&pae(PAYLOAD_TYPE, &payload))?;
        Ok(Self {
            payload,
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { key_id: key.public_key().key_id(), sig }],
        })
    }

    /// The payload, once a signature by `key` holds. Signatures that name no key
    /// are tried too; those that name another are not `key`'s.
    pub(super) fn verify(&self, key: &PublicKey) -> Result<&[u8], Error> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(Error::PayloadType { found: self.payload_type.clone() });
        }
        let key_id = key.key_id();
        let is_own = |s: &&Signature| s.key_id.is_empty() || s.key_id == key_id;
        let mut own = self.signatures.iter().filter(is_own).peekable();
        if own.peek().is_none() {
            let found: Vec<_> = self.signatures.iter().map(|s| s.key_id.as_str()).collect();
            return Err(Error::UnknownKey { wanted: key_id, found: found.join(", ") });
        }
        let signed = pae(&self.payload_type, &self.payload);
        if own.any(|signature| key.verifies(&signed, &signature.sig)) {
            Ok(&self.payload)
        } else {
            Err(Error::BadSignature { key_id })
        }
    }

    /// As a file holds it.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn to_json(&self) -> Result<String, Error> {
        let mut json =
            serde_json::to_string_pretty(self).map_err(Error::because("the envelope"))?;
        json.push('\n');
        Ok(json)
    }

    /// Reads what [`Envelope::to_json`] or another DSSE tool wrote. Nothing is
    /// verified.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_json(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(Error::because("the envelope"))
    }
}

/// Base64 in text: the standard alphabet is written, the URL-safe one is read
/// too, as the DSSE specification asks.
mod base64_bytes {
    use super::{Deserialize, Deserializer, Engine, STANDARD, Serializer, URL_SAFE};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).map_err(serde::de::Error::custom)
    }
}
