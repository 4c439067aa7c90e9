//! Passwords are kept as argon2id (RFC 9106) in PHC strings. Hashes by bcrypt, taken over
//! from elsewhere, are understood, and replaced when their owner signs in.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};

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

/// What holding a password against a hash came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// It is another.
    No,
    /// It is this one.
    Yes,
    /// It is this one, and should be hashed anew: the hash is not as ours are.
    Stale,
}

/// Whether the password is the hashed one. Without a hash the same work is done
/// for nothing, so that an unknown name takes as long as a wrong password.
pub(super) async fn matches(password: String, hash: Option<String>) -> Result<Match, Error> {
    off_thread(move || {
        let Some(hash) = hash else {
            let _ = Argon2::default().hash_password(password.as_bytes());
            return Ok(Match::No);
        };
        if is_bcrypt(&hash) {
            let same = bcrypt::verify(&password, &hash)
                .map_err(|_| Error::Crypto("reading a password hash"))?;
            return Ok(if same { Match::Stale } else { Match::No });
        }
        let parsed =
            PasswordHash::new(&hash).map_err(|_| Error::Crypto("reading a password hash"))?;
        if Argon2::default().verify_password(password.as_bytes(), &parsed).is_err() {
            return Ok(Match::No);
        }
        let fresh = parsed.algorithm.as_str() == "argon2id"
            && Params::try_from(&parsed).is_ok_and(|p| cost(&p) == cost(&Params::default()));
        Ok(if fresh { Match::Yes } else { Match::Stale })
    })
    .await
}

fn cost(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

/// Whether a hash from elsewhere can be taken over: bcrypt or argon2, and not so dear
/// that a sign-in by it would stop the daemon.
pub(super) fn check_foreign(hash: &str) -> Result<(), Error> {
    let bad = |reason: &str| {
        let (field, value) = ("password_hash", "…".to_owned());
        Err(Error::BadField { field, value, reason: reason.to_owned() })
    };
    if is_bcrypt(hash) {
        return match hash.parse::<bcrypt::HashParts>() {
            Ok(parts) if parts.get_cost() <= 15 => Ok(()),
            Ok(_) => bad("a bcrypt cost over 15 takes too long"),
            Err(_) => bad("it is no bcrypt hash"),
        };
    }
    let params = PasswordHash::new(hash).ok().and_then(|h| Params::try_from(&h).ok());
    match params.map(|p| cost(&p)) {
        Some((memory, rounds, _)) if memory <= 262_144 && rounds <= 20 => Ok(()),
        Some(_) => bad("it takes more than 256 MiB or 20 rounds"),
        None => bad("it is neither bcrypt ($2b$…) nor argon2 ($argon2id$…)"),
    }
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
        let says = async |password: &str, hash: Option<&str>| {
            matches(password.into(), hash.map(str::to_owned)).await.unwrap()
        };
        assert_eq!(says("correct horse battery", Some(&hash)).await, Match::Yes);
        assert_eq!(says("wrong horse battery", Some(&hash)).await, Match::No);
        assert_eq!(says("", Some(&hash)).await, Match::No);
        assert_eq!(says("whatever", None).await, Match::No);
    }

    /// From the test vectors of crypt_blowfish and of the reference argon2.
    const FOREIGN: [(&str, &str); 2] = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (
            "password",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
    ];

    #[tokio::test]
    async fn hashes_from_elsewhere_match_and_are_due_for_another() {
        for (password, hash) in FOREIGN {
            check_foreign(hash).unwrap();
            assert_eq!(matches(password.into(), Some(hash.into())).await.unwrap(), Match::Stale);
            assert_eq!(matches("other".into(), Some(hash.into())).await.unwrap(), Match::No);
        }
    }

    #[test]
    fn what_is_no_hash_or_too_dear_a_one_is_not_taken_over() {
        let dear = FOREIGN[0].1.replace("$05$", "$31$");
        let vast = FOREIGN[1].1.replace("m=65536", "m=4194304");
        for hash in ["", "5f4dcc3b5aa765d61d8327deb882cf99", "$2b$05$short", &dear, &vast] {
            let error = check_foreign(hash).unwrap_err().to_string();
            assert!(error.contains("password_hash") && !error.contains("CCCC"), "{error}");
        }
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let one = random().unwrap();
        assert_eq!(one.len(), 20);
        assert_ne!(one, random().unwrap());
    }
}
