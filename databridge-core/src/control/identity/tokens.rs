//! Access tokens: JWTs (RFC 7519), HS256, algorithm, issuer and audience pinned. Each
//! names a session in the store, so that what ends it holds at the next request on every
//! host.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use crate::base::clock::Timestamp;

pub(super) const ISSUER: &str = "databridge";

/// Signs and reads access tokens.
#[derive(Clone)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: Uuid,
    pub org: Uuid,
    pub sid: Uuid,
    pub roles: Vec<String>,
    pub iat: i64,
    pub exp: i64,
}

impl Tokens {
    /// With this network's secret, at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    pub(super) fn issue(&self, claims: &Claims) -> Result<String, Error> {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .map_err(|_| Error::Crypto("signing a token"))
    }

    /// What a token says, where it holds at `now`. That is the store's time, by which it
    /// was issued too, so that a host whose clock is wrong takes and refuses what the
    /// others do. One that ends later than two `terms` from now is of a clock that has
    /// been set back since.
    pub(super) fn read(
        &self,
        token: &str,
        now: Timestamp,
        term: Duration,
    ) -> Result<Claims, Error> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_exp = false;
        let claims = match decode::<Claims>(token, &self.decoding, &validation) {
            Ok(data) => data.claims,
            Err(_) => return Err(Error::BadToken("it was not issued here")),
        };
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        if claims.exp <= seconds(now) {
            return Err(Error::BadToken("it has expired"));
        }
        if claims.exp > seconds(now + term * 2) {
            return Err(Error::BadToken("it is of a time that has not come"));
        }
        Ok(claims)
    }
}
