//! `databridge upload …`

use clap::Subcommand;
use databridge_core::app::Call;
use databridge_core::app::call::{Code, Sweep, UploadName};
use serde_json::Value;
use uuid::Uuid;

use super::Outcome;
use super::backend::Backend;
use super::view::{Show, size, text, time};

#[derive(Debug, Subcommand)]
pub enum Upload {
    /// Those of a transfer, and how far they are.
    List {
        /// TRF-00042
        code: String,
    },
    /// Gives one up: what came of it is removed.
    End {
        /// TRF-00042
        code: String,
        /// As `list` names it.
        id: Uuid,
    },
    /// Removes those of all transfers that nobody came back for in time.
    Collect {
        /// Only tell which.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Upload {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::List { code } => {
                let uploads = on.call(Call::UploadList(Code { code }))?;
                show.document(&uploads);
                for upload in uploads.as_array().into_iter().flatten() {
                    if upload["from"].is_string() {
                        show.line(format!(
                            "{}  {}  by {}, a job takes it in",
                            text(&upload["id"]),
                            text(&upload["from"]),
                            text(&upload["username"]),
                        ));
                        continue;
                    }
                    show.line(format!(
                        "{}  {} of {}  {}  by {}, until {}",
                        text(&upload["id"]),
                        bytes(&upload["offset_bytes"]),
                        bytes(&upload["length_bytes"]),
                        text(&upload["path"]),
                        text(&upload["username"]),
                        time(&upload["expires_at"]),
                    ));
                }
            }
            Self::End { code, id } => {
                let ended = on.call(Call::UploadEnd(UploadName { code, id }))?;
                show.document(&ended);
                show.line(format!("{id} is given up"));
            }
            Self::Collect { dry_run } => {
                let uploads = on.call(Call::UploadCollect(Sweep { dry_run }))?;
                show.document(&uploads);
                let did = if dry_run { "would be removed" } else { "removed" };
                for upload in uploads.as_array().into_iter().flatten() {
                    show.line(format!(
                        "{did}: {} {}  {}  by {}, expired {}",
                        text(&upload["code"]),
                        text(&upload["path"]),
                        bytes(&upload["kept_bytes"]),
                        text(&upload["username"]),
                        time(&upload["expired_at"]),
                    ));
                }
                if uploads.as_array().is_some_and(Vec::is_empty) {
                    show.aside("no unfinished upload has expired");
                }
            }
        }
        Ok(0)
    }
}

fn bytes(value: &Value) -> String {
    size(value.as_u64().unwrap_or(0))
}
