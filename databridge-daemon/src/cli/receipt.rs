//! `databridge receipt …`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use databridge_core::Error;
use databridge_core::app::Call;
use databridge_core::app::call::Code;
use databridge_core::media::receipt::{self, Envelope, Options, PublicKey};
use serde_json::json;

use super::backend::Backend;
use super::error::{io, usage};
use super::progress::Terminal;
use super::view::Show;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub enum Receipt {
    /// Reads a receipt to you: of a file, or of a transfer in a store.
    Show {
        /// receipt.json, or TRF-00042.
        #[arg(value_name = "FILE|CODE")]
        what: String,
        /// Of a transfer: the statement that it was taken out of production again.
        #[arg(long)]
        recall: bool,
    },
    /// Proves a receipt, and with --tree that the files are those that were signed.
    Verify {
        /// receipt.json
        file: PathBuf,
        /// The public key of the store that issued it, from where you trust it.
        #[arg(long, value_name = "PUB")]
        key: Option<PathBuf>,
        /// The payload.
        #[arg(long, value_name = "DIR")]
        tree: Option<PathBuf>,
        /// Also accept what an embedded store says: it enforces nothing against whoever
        /// owns its files.
        #[arg(long)]
        allow_embedded: bool,
    },
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| io("read", path, e))
}

impl Receipt {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        match self {
            Self::Show { what, recall } => {
                let json = if Path::new(&what).exists() {
                    read(Path::new(&what))?
                } else if global.server.is_none()
                    && global.data.is_none()
                    && global.config.is_none()
                {
                    return Err(usage(
                        format!("there is no file {what}, and no store to look for a transfer in"),
                        "name a receipt.json; or a transfer, with --server URL or --data DIR",
                    ));
                } else {
                    let code = Code { code: what };
                    let call = match recall {
                        true => Call::TransferRecallReceipt(code),
                        false => Call::TransferReceipt(code),
                    };
                    Backend::open(global)?.call(call)?.to_string()
                };
                let envelope = Envelope::from_json(&json)?;
                let statement: serde_json::Value =
                    serde_json::from_slice(&envelope.payload).unwrap_or_default();
                show.document(&statement);
                let predicate = || statement["predicate"].clone();
                if let Ok(receipt) = serde_json::from_value(predicate()) {
                    show.line(receipt::text(&receipt).trim_end());
                } else if let Ok(recall) = serde_json::from_value(predicate()) {
                    show.line(receipt::recall_text(&recall).trim_end());
                }
                Ok(0)
            }
            Self::Verify { file, key, tree, allow_embedded } => {
                verify(show, &file, key.as_deref(), tree.as_deref(), allow_embedded)
            }
        }
    }
}

fn verify(
    show: &Show,
    file: &Path,
    key: Option<&Path>,
    tree: Option<&Path>,
    allow_embedded: bool,
) -> Outcome {
    let envelope = Envelope::from_json(&read(file)?)?;
    let beside = file.with_file_name("receipt.pub");
    if key.is_none() && !beside.is_file() {
        return Err(usage(
            "there is no receipt.pub beside the receipt",
            "name the public key by --key",
        ));
    }
    let public = PublicKey::read_file(key.unwrap_or(&beside))?;
    let options = Options { allow_embedded };
    if let Some(recall) = receipt::verify_recall(&envelope, &public, options)? {
        show.document(&json!({
            "verified": true, "key_id": public.key_id(), "key_given": key.is_some(),
            "recall": recall,
        }));
        show.line(format!("{} is signed by {}", file.display(), public.key_id()));
        show.line(format!("{} was recalled: {}", recall.transfer.code, recall.decision.reason));
        return Ok(0);
    }
    let receipt = receipt::verify(&envelope, &public, options)?;
    if let Some(tree) = tree {
        let sums = read(&file.with_file_name("SHA256SUMS"))?;
        receipt::verify_tree(&receipt, &sums, tree, &Terminal::new())?;
    }
    show.document(&json!({
        "verified": true, "tree_verified": tree.is_some(), "key_id": public.key_id(),
        "key_given": key.is_some(), "receipt": receipt,
    }));
    show.line(format!("{} is signed by {}", file.display(), public.key_id()));
    if let Some(tree) = tree {
        show.line(format!("{} is what was signed", tree.display()));
    }
    if key.is_none() {
        show.line("the key is the one that lies beside the receipt: this proves that nothing was");
        show.line("changed, not who signed. Compare it with the store's own (--key).");
    }
    Ok(0)
}
