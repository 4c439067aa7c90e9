//! Signing secrets, and the signature of Standard Webhooks 1.0: HMAC-SHA256 of
//! `ID.TIMESTAMP.BODY`, in base64 behind `v1,`. The specification's own crate was last
//! released in 2024 and brings a second HMAC and base64; the call is one of a library that
//! is linked anyway, and the tests verify it by the specification's Python package.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Error, Hook};

/// Bytes that the specification asks of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// One secret, or two while one takes the other's place. Tells nobody what it is.
pub(super) struct Secrets(Vec<hmac::Key>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Read anew for each message: a secret is changed without a restart.
    pub(super) fn of(hook: &Hook) -> Result<Self, Error> {
        let bad =
            |reason: String| Error::Material { hook: hook.name.clone(), what: "secret", reason };
        let text = match (&hook.secret_file, &hook.secret_env) {
            (Some(path), _) => std::fs::read_to_string(path)
                .map_err(|e| bad(format!("{} cannot be read: {e}", path.display())))?,
            (None, Some(name)) => std::env::var(name)
                .map_err(|_| bad(format!("the variable {name} is not set, or is no text")))?,
            (None, None) => return Err(bad("it has none".into())),
        };
        Self::parse(&text).map_err(|reason| bad(reason.into()))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<hmac::Key> = lines
            .map(|line| {
                let bytes = line.strip_prefix("whsec_").ok_or("it does not begin with whsec_")?;
                let bytes = STANDARD.decode(bytes).map_err(|_| "it is no base64")?;
                match BYTES.contains(&bytes.len()) {
                    true => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
                    false => Err("it has less than 24 or more than 64 bytes"),
                }
            })
            .collect::<Result<_, &str>>()?;
        match keys.len() {
            1 | 2 => Ok(Self(keys)),
            0 => Err("it is empty"),
            _ => Err("it has more than two lines"),
        }
    }

    /// `webhook-signature`: one signature for each secret.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let signed = format!("{id}.{seconds}.{body}");
        let one = |key: &hmac::Key| {
            format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes()).as_ref()))
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_specifications_example_has_its_signature() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn two_secrets_sign_twice_and_none_is_shown() {
        let key = format!("whsec_{}", STANDARD.encode([7; 32]));
        let secrets = Secrets::parse(&format!("{key}\n{key}\n")).unwrap();
        let signed = secrets.sign("a", 1, "{}");
        let (first, second) = signed.split_once(' ').unwrap();
        assert_eq!(first, second);
        assert_eq!(format!("{secrets:?}"), "2 secrets");
        for wrong in ["", "secret", "whsec_!", "whsec_YQ==", &format!("{key}\n{key}\n{key}")] {
            let told = Secrets::parse(wrong).unwrap_err();
            assert!(wrong.is_empty() || !told.contains(wrong), "{told}");
        }
    }
}
