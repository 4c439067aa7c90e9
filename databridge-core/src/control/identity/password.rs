//! Passwords are kept as argon2id (RFC 9106) in PHC strings.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::Error;

/// The shortest password that is taken, in characters (NIST SP 800-63B asks for 8
/// where there is a second factor, and there is none yet).
const LEAST: usize = 12;

pub(super) fn check_strength(password: &str) -> Result<(), Error> {
    let found = password.chars().count();
    if found < LEAST { Err(Error::WeakPassword { least: LEAST, found }) } else { Ok(()) }
}

/// Hashing takes long on purpose, so it leaves the async threads alone.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Crypto("password hashing"))?
}

pub(super) async fn hash(password: String) -> Result<String, Error> {
    off_thread(move || {
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|h| h.to_string()).map_err(|_| Error::Crypto("password hashing"))
    })
    .await
}

/// Whether the password is the hashed one. Without a hash the same work is done
/// for nothing, so that an unknown name takes as long as a wrong password.
pub(super) async fn matches(password: String, hash: Option<String>) -> Result<bool, Error> {
    off_thread(move || {
        let Some(hash) = hash else {
            let _ = Argon2::default().hash_password(password.as_bytes());
            return Ok(false);
        };
        let parsed =
            PasswordHash::new(&hash).map_err(|_| Error::Crypto("reading a password hash"))?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
    })
    .await
}

/// A password nobody chose: 20 characters without look-alikes, over 110 bits.
pub(super) fn random() -> Result<String, Error> {
    const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut text = String::new();
    while text.len() < 20 {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Crypto("randomness"))?;
        let fair =
            bytes.iter().filter(|b| usize::from(**b) < 256 / ALPHABET.len() * ALPHABET.len());
        text.extend(fair.map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])));
    }
    text.truncate(20);
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = hash("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(matches("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!matches("wrong horse battery".into(), Some(hash)).await.unwrap());
        assert!(!matches("whatever".into(), None).await.unwrap());
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let one = random().unwrap();
        assert_eq!(one.len(), 20);
        assert_ne!(one, random().unwrap());
    }
}
