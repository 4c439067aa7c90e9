//! The store's secrets, in files that only its user can read: the token secret,
//! and the Ed25519 key that signs receipts and checkpoints.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::base::error::Error as AnyError;
use crate::control::ledger;
use crate::media::receipt::{PublicKey, SigningKey};
use crate::media::storage::make_dirs;

use super::config::Error;

/// What stands in the folder, and what of it is secret.
pub(super) const FILES: [(&str, bool); 4] =
    [("ledger.origin", false), ("receipt.key", true), ("receipt.pub", false), ("token.key", true)];

/// Where the secrets are, and those that are needed all the time.
#[derive(Clone)]
pub struct Keys {
    folder: PathBuf,
    token_secret: Vec<u8>,
    origin: String,
    public: PublicKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The content of a secret file; the first to come makes it, whole and durable.
fn once(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Folder { setting: "keys", path: path.display().to_string(), source };
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        read => return read.map_err(io),
    }
    let draft = path.with_extension(Uuid::new_v4().simple().to_string());
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(io)?;
    file.write_all(&make()).and_then(|()| file.sync_all()).map_err(io)?;
    // A link and not a rename: it refuses where another process was first.
    let linked = std::fs::hard_link(&draft, path);
    let _ = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    path.parent().map_or(Ok(()), |dir| File::open(dir).and_then(|f| f.sync_all())).map_err(io)?;
    std::fs::read(path).map_err(io)
}

impl Keys {
    /// Opens the folder, and makes what is missing in it.
    ///
    /// # Errors
    /// [`Error::Folder`], or what a damaged key says.
    pub fn open(folder: &Path) -> Result<Self, AnyError> {
        make_dirs(folder, 0o700).map_err(|source| Error::Folder {
            setting: "keys",
            path: folder.display().to_string(),
            source,
        })?;
        let mut random = [0; 48];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| crate::control::identity::Error::Crypto("randomness"))?;
        let token_secret = once(&folder.join("token.key"), || random.to_vec())?;
        let name = || format!("databridge.{}", Uuid::new_v4().simple()).into_bytes();
        let origin =
            String::from_utf8_lossy(&once(&folder.join("ledger.origin"), name)?).into_owned();
        let pem = SigningKey::generate()?.to_pem()?;
        let pem = once(&folder.join("receipt.key"), || pem.into_bytes())?;
        let public = SigningKey::from_pem(&String::from_utf8_lossy(&pem))?.public_key();
        once(&folder.join("receipt.pub"), || public.to_pem().into_bytes())?;
        Ok(Self { folder: folder.to_owned(), token_secret, origin, public })
    }

    /// Signs access tokens.
    pub(super) fn token_secret(&self) -> &[u8] {
        &self.token_secret
    }

    /// A digest that only this network can make: what was hashed cannot be guessed by it.
    pub(super) fn digest(&self, data: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.token_secret);
        hmac::sign(&key, data).as_ref().to_vec()
    }

    /// Signs receipts.
    pub(super) fn receipts(&self) -> Result<SigningKey, AnyError> {
        Ok(SigningKey::read_file(&self.folder.join("receipt.key"))?)
    }

    /// Signs checkpoints, with the same key under the ledger's name.
    pub(super) fn signer(&self) -> Result<ledger::Signer, AnyError> {
        let seed = self.receipts()?.seed()?;
        Ok(ledger::Signer::new(&self.origin, &seed, *self.public.as_bytes())?)
    }

    /// What verifies receipts.
    pub fn receipt_key(&self) -> &PublicKey {
        &self.public
    }

    /// The file with the public key.
    pub fn receipt_key_file(&self) -> PathBuf {
        self.folder.join("receipt.pub")
    }
}
