//! `databridge lot …`, `trace …`, `run …`, `gate …`, `flow …`

mod flow;
mod lot;
mod run;
mod trace;

pub use flow::Flow;
pub use lot::Lot;
pub use run::{Gate, Run};
pub use trace::Trace;

use std::path::Path;

use databridge_core::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{io, usage};
use super::view::{Show, text, time};

/// A name of a closed set, as people type it.
fn symbol<T: DeserializeOwned>(name: &str, upper: bool) -> Result<T, String> {
    let name = if upper { name.to_uppercase().replace('-', "_") } else { name.to_lowercase() };
    serde_json::from_value(Value::String(name)).map_err(|e| e.to_string())
}

/// As [`symbol`], for names that are written in capitals.
fn capital<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    symbol(name, true)
}

/// As [`symbol`], for names that are not.
fn small<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    symbol(name, false)
}

/// A document of the user's, as JSON.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = match path.as_os_str() == "-" {
        true => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)
                .map_err(|e| io("read", "standard input", e))?;
            bytes
        }
        false => std::fs::read(path).map_err(|e| io("read", path, e))?,
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        usage(format!("{} is not understood: {e}", path.display()), "see docs/lineage.md")
    })
}

/// A number that may not be there.
fn number(value: &Value, unit: &str) -> String {
    value.as_f64().map(|n| format!("{n} {unit}")).unwrap_or_default()
}

/// A lot on a line.
fn lot_line(show: &Show, lot: &Value) {
    let depth = lot["depth"].as_i64().map(|d| format!("{d:>4}  ")).unwrap_or_default();
    show.line(format!(
        "{depth}{:<24} {:<9} {:<10} step {:<2} {}",
        text(&lot["lot_code"]),
        text(&lot["lot_type"]),
        text(&lot["status"]),
        lot["step_index"],
        number(&lot["weight_kg"], "kg"),
    ));
}

/// The rows of a page, and how to go on.
fn page(show: &Show, answer: &Value, row: impl Fn(&Value)) {
    answer["items"].as_array().into_iter().flatten().for_each(row);
    if let Some(next) = answer["next"].as_str() {
        show.line(format!("(more: --after {next})"));
    }
    show.document(answer);
}

/// A decision on a line.
fn decision_line(show: &Show, one: &Value) {
    show.line(format!(
        "{}  {:<24} {:<24} {:<4} {} {}",
        time(&one["decided_at"]),
        text(&one["lot_code"]),
        text(&one["gate"]),
        text(&one["decision"]),
        text(&one["decided_by"]),
        text(&one["notes"]),
    ));
}

/// What happened, a line an event.
fn events(show: &Show, answer: &Value) {
    for event in answer.as_array().into_iter().flatten() {
        let data = &event["data"];
        let moved = match (data["from"].as_str(), data["to"].as_str()) {
            (Some(from), Some(to)) => format!(" {from} → {to}"),
            _ => data["status"].as_str().map(|s| format!(" {s}")).unwrap_or_default(),
        };
        let note = data["note"].as_str().or(data["notes"].as_str());
        show.line(format!(
            "{:>6}  {}  {:<22} {}{moved} {}",
            event["position"],
            time(&event["at"]),
            text(&event["kind"]),
            text(&event["by"]["username"]),
            note.unwrap_or_default(),
        ));
    }
    show.document(answer);
}
