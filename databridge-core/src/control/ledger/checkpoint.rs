//! Signed tree heads (C2SP tlog-checkpoint in a C2SP signed note), written outside
//! the database so that whoever can rewrite the one cannot rewrite the other.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use super::Error;

/// Ed25519, as the signed-note specification numbers it.
const ED25519: u8 = 1;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
}

/// Signs this ledger's checkpoints.
#[derive(Clone)]
pub struct Signer {
    origin: String,
    signer: StandardSigner,
    public: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn key_text(name: &str, public: &[u8; 32], key: &[u8; 32]) -> String {
    let id = signed_note::key_id(name, &[&[ED25519], public.as_slice()].concat());
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[ED25519], key.as_slice()].concat()))
}

impl Signer {
    /// Signs as `origin` with an Ed25519 seed and its public key.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the key or the name is not acceptable.
    pub fn new(origin: &str, seed: &[u8; 32], public: [u8; 32]) -> Result<Self, Error> {
        let text = format!("PRIVATE+KEY+{}", key_text(origin, &public, seed));
        let signer = StandardSigner::new(&text).map_err(|e| Error::Checkpoint(e.to_string()))?;
        Ok(Self { origin: origin.to_owned(), signer, public })
    }

    /// The verifier key other people's tools take (`name+id+key`).
    pub fn verifier_key(&self) -> String {
        key_text(&self.origin, &self.public, &self.public)
    }

    /// The ledger's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A signed note over a tree head.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where signing fails.
    pub fn sign(&self, size: u64, root: [u8; 32]) -> Result<String, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Checkpoint(e.to_string());
        let head = tlog_tiles::Checkpoint::new(&self.origin, size, tlog_tiles::Hash(root), "")
            .map_err(|e| wrong(&e))?;
        let mut note = Note::new(&head.to_bytes(), &[]).map_err(|e| wrong(&e))?;
        note.add_sigs(&[&self.signer]).map_err(|e| wrong(&e))?;
        String::from_utf8(note.to_bytes()).map_err(|e| wrong(&e))
    }
}

impl Checkpoint {
    /// Reads a note and checks that the key in `verifier_key` signed it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is malformed or not signed by that key.
    pub fn open(note: &str, verifier_key: &str) -> Result<Self, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Checkpoint(e.to_string());
        let verifier = StandardVerifier::new(verifier_key).map_err(|e| wrong(&e))?;
        let note = Note::from_bytes(note.as_bytes()).map_err(|e| wrong(&e))?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|e| wrong(&e))?;
        let head = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|e| wrong(&e))?;
        Ok(Self { origin: head.origin().to_owned(), size: head.size(), root: head.hash().0 })
    }
}

/// The newest checkpoint in a folder, if there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let io = |source| Error::Io { path: folder.display().to_string(), source };
    let mut newest = None;
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(io)?.path();
                let size = path
                    .file_stem()
                    .and_then(|s| s.to_str())
                    .filter(|_| path.extension().is_some_and(|e| e == "checkpoint"))
                    .and_then(|s| s.parse::<u64>().ok());
                if let Some(size) = size {
                    newest = newest.max(Some((size, path)));
                }
            }
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Keeps a checkpoint as `<folder>/<size>.checkpoint`, durably.
///
/// # Errors
/// [`Error::Io`].
pub fn keep(folder: &Path, size: u64, note: &str) -> Result<PathBuf, Error> {
    let io = |source| Error::Io { path: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let path = folder.join(format!("{size:012}.checkpoint"));
    let draft = folder.join(format!(".{size:012}.{}", std::process::id()));
    let mut file = std::fs::File::create(&draft).map_err(io)?;
    file.write_all(note.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&draft, &path).map_err(io)?;
    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
    Ok(path)
}
