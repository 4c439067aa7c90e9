//! Ed25519 keys: PKCS#8 and SPKI in PEM (RFC 8410, RFC 7468).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use crate::media::checksum::Sha256;

/// What precedes the 32 bytes of an Ed25519 key in its SPKI (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Signs receipts, and gives its seed to whoever signs checkpoints.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_key().key_id())
    }
}

impl SigningKey {
    /// A fresh one.
    ///
    /// # Errors
    /// [`Error::Key`]: the system gave no randomness.
    pub fn generate() -> Result<Self, Error> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| Error::Key { what: "no randomness" })
    }

    /// From a seed (the private key of RFC 8032).
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, Error> {
        Ed25519KeyPair::from_seed_unchecked(seed)
            .map(Self)
            .map_err(|_| Error::Key { what: "not an Ed25519 seed" })
    }

    /// The seed, for other signers. A secret.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn seed(&self) -> Result<[u8; 32], Error> {
        const WHAT: &str = "the key gives no seed";
        let seed = self.0.seed().map_err(|_| Error::Key { what: WHAT })?;
        let bytes: Curve25519SeedBin<'_> =
            seed.as_be_bytes().map_err(|_| Error::Key { what: WHAT })?;
        bytes.as_ref().try_into().map_err(|_| Error::Key { what: WHAT })
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(raw)
    }

    /// As PKCS#8 in PEM. A secret.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn to_pem(&self) -> Result<String, Error> {
        let der = self.0.to_pkcs8v1().map_err(|_| Error::Key { what: "the key has no PKCS#8" })?;
        Ok(to_pem("PRIVATE KEY", der.as_ref()))
    }

    /// From PKCS#8 in PEM, as OpenSSL writes it.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        const WHAT: &str = "not an Ed25519 private key in PKCS#8 PEM";
        let der = from_pem("PRIVATE KEY", pem).ok_or(Error::Key { what: WHAT })?;
        Ed25519KeyPair::from_pkcs8(&der).map(Self).map_err(|_| Error::Key { what: WHAT })
    }

    /// Writes a new file, mode 0600, and flushes it and its folder.
    ///
    /// # Errors
    /// [`Error::Io`], also where a file stands there already.
    pub fn create_file(&self, path: &Path) -> Result<(), Error> {
        let pem = self.to_pem()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("create", path))?;
        let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(Error::io("write", path))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io("flush", folder))
    }

    /// Reads a file that nobody but its owner may read.
    ///
    /// # Errors
    /// [`Error::Io`], also where group or others have rights to it;
    /// [`Error::Key`].
    pub fn read_file(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mode = file.metadata().map_err(Error::io("examine", path))?.mode();
        if mode & 0o077 != 0 {
            let open = io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("mode {:03o} lets others at a secret key", mode & 0o777),
            );
            return Err(Error::io("trust", path)(open));
        }
        Self::from_pem(&io::read_to_string(file).map_err(Error::io("read", path))?)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature =
            self.0.try_sign(message).map_err(|_| Error::Key { what: "the key does not sign" })?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Verifies receipts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl PublicKey {
    /// The 32 bytes of RFC 8032.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From PEM (SPKI), or from the 32 bytes in base64.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        const WHAT: &str = "not an Ed25519 public key in PEM or base64";
        let raw = if text.contains("-----BEGIN") {
            from_pem("PUBLIC KEY", text)
                .and_then(|der| der.strip_prefix(&SPKI_PREFIX).map(<[u8]>::to_vec))
        } else {
            STANDARD.decode(text.trim()).ok()
        };
        raw.and_then(|raw| raw.try_into().ok()).map(Self).ok_or(Error::Key { what: WHAT })
    }

    /// Reads a file that holds what [`PublicKey::parse`] takes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Key`].
    pub fn read_file(path: &Path) -> Result<Self, Error> {
        Self::parse(&std::fs::read_to_string(path).map_err(Error::io("read", path))?)
    }

    /// SPKI in PEM, as OpenSSL reads it.
    pub fn to_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.to_spki())
    }

    /// The 32 bytes in base64.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// SHA-256 of the SPKI DER, lower-case hex.
    pub fn key_id(&self) -> String {
        Sha256::of(&self.to_spki()).to_string()
    }

    fn to_spki(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    let text = STANDARD.encode(der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The first block of that label.
fn from_pem(label: &str, pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}
