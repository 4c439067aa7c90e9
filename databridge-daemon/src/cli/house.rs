//! `databridge housekeeping`

use databridge_core::app::Call;
use serde_json::Value;

use super::Outcome;
use super::backend::Backend;
use super::view::{Show, size, text, time};

/// What a transfer needs, production, the ledger and quarantine are never touched; what was
/// removed is in the ledger.
#[derive(Debug, clap::Args)]
pub struct Housekeeping {
    /// Only show what would be removed from staging.
    #[arg(long)]
    dry_run: bool,
}

impl Housekeeping {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        if self.dry_run {
            return plan(show, &on.call(Call::HousekeepingPlan {})?);
        }
        let job = on.call(Call::HousekeepingRun {})?;
        show.document(&job);
        show.line(format!("housekeeping: job {} is {}", text(&job["id"]), text(&job["state"])));
        if let Some(error) = job["last_error"].as_str() {
            show.line(format!("  {error}"));
        }
        Ok(0)
    }
}

fn plan(show: &Show, found: &Value) -> Outcome {
    show.document(found);
    let list = |name: &str| found[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |item: &Value| {
        format!(
            "{:<10} {:>9}  since {}  {}",
            text(&item["what"]),
            size(item["bytes"].as_u64().unwrap_or(0)),
            time(&item["since_at"]),
            text(&item["path"]),
        )
    };
    let items = list("items");
    for item in items {
        show.line(line(item));
    }
    for item in list("strangers") {
        show.line(format!("{}  (left to you: not known to be this store's)", line(item)));
    }
    for item in list("unreadable") {
        show.line(format!("unreadable  {}: {}", text(&item["path"]), text(&item["error"])));
    }
    let more = if found["more"] == true { ", and more" } else { "" };
    let bytes = size(found["bytes"].as_u64().unwrap_or(0));
    show.line(format!("{} things, {} files, {bytes}{more}", items.len(), found["files"]));
    Ok(0)
}
