//! `databridge ledger …`

use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::app::Call;
use serde_json::Value;

use super::Outcome;
use super::backend::Backend;
use super::error::io;
use super::view::{Show, text};

#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Reads the whole ledger and names what was edited, removed, reordered or cut.
    Verify {
        /// A checkpoint kept elsewhere: proves that nothing was cut off the end.
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
    /// Every event after a position, one JSON document a line.
    Export {
        /// The position; without it from the beginning.
        #[arg(long, default_value_t = -1)]
        after: i64,
    },
    /// The proof (RFC 6962) that an event is in the ledger, to be checked by anybody.
    Prove {
        /// The event's position.
        position: u64,
    },
    /// The newest signed checkpoint.
    Checkpoint,
}

impl Ledger {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::Verify { checkpoints } => {
                let notes = checkpoints
                    .iter()
                    .map(|path| std::fs::read_to_string(path).map_err(|e| io("read", path, e)))
                    .collect::<Result<_, _>>()?;
                let report = on.call(Call::LedgerVerify { checkpoints: notes })?;
                Ok(verdict(show, &report))
            }
            Self::Export { mut after } => loop {
                let page = on.call(Call::Activity {
                    subject: None,
                    kind: None,
                    actor: None,
                    since: None,
                    until: None,
                    after: Some(after),
                    limit: Some(1000),
                })?;
                let Some(events) = page.as_array().filter(|events| !events.is_empty()) else {
                    return Ok(0);
                };
                for event in events {
                    after = event["position"].as_i64().unwrap_or(after);
                    show.raw(format!("{event}\n").as_bytes());
                }
            },
            Self::Prove { position } => {
                let proof = on.call(Call::LedgerProve { position: Some(position) })?;
                show.raw(format!("{proof}\n").as_bytes());
                Ok(0)
            }
            Self::Checkpoint => {
                let answer = on.call(Call::LedgerCheckpoint {})?;
                show.document(&answer);
                show.line(text(&answer["note"]).trim_end());
                Ok(0)
            }
        }
    }
}

/// 0 proved, 1 something is wrong, 6 nothing proves the tail.
fn verdict(show: &Show, report: &Value) -> u8 {
    show.document(report);
    show.line(format!("{} events, root {}", report["events"], text(&report["root"])));
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings {
        show.line(format!("  {finding}"));
    }
    if !findings.is_empty() {
        show.line(format!("{} findings: the ledger is not what it was", findings.len()));
        return 1;
    }
    match report["proved_to"].as_u64() {
        Some(size) => {
            show.line(format!("intact; a checkpoint proves the first {size} events"));
            0
        }
        None => {
            show.line(
                "intact as far as it goes, but its tail is unprovable: no checkpoint was given",
            );
            6
        }
    }
}
