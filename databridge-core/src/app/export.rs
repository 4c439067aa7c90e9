//! What happened, as a file for other people's programs: a line an event.

use serde::{Deserialize, Serialize};

use super::App;
use crate::base::clock::Timestamp;
use crate::base::error::Error;
use crate::control::ctx::Ctx;
use crate::control::ledger;

/// Events read at a time.
const BATCH: i64 = 500;
/// The first line of a table.
const HEAD: &str = "position,at,kind,subject,by,on_behalf_of,data\n";

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// A table (RFC 4180).
    Csv,
    /// A JSON object a line.
    #[default]
    Json,
}

/// What is to be exported.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// `csv` or `json`.
    pub format: Written,
    /// As for reading what happened.
    pub subject: Option<String>,
    /// As for reading what happened.
    pub kind: Option<String>,
    /// As for reading what happened.
    pub actor: Option<String>,
    /// As for reading what happened.
    pub since: Option<Timestamp>,
    /// As for reading what happened.
    pub until: Option<Timestamp>,
}

/// An export under way: as much at a time as is at hand.
#[derive(Debug)]
pub struct Export {
    app: App,
    ctx: Ctx,
    format: Written,
    filter: ledger::Filter,
    after: Option<i64>,
    ended: bool,
}

impl App {
    /// Begins an export, for who may read everybody's events.
    ///
    /// # Errors
    /// Not permitted.
    pub async fn export(&self, ctx: Ctx, wanted: Wanted) -> Result<Export, Error> {
        ctx.within_scope("activity", false)?;
        let Wanted { format, subject, kind, actor, since, until } = wanted;
        let texts = serde_json::json!({ "subject": subject, "kind": kind, "actor": actor });
        super::fields::check(&texts)?;
        let filter = ledger::Filter { subject, kind, actor, since, until };
        // A refusal comes before the first line.
        self.activity(&ctx, &filter, None, Some(1)).await?;
        Ok(Export { app: self.clone(), ctx, format, filter, after: None, ended: false })
    }
}

impl Export {
    /// The next lines; `None` at the end.
    ///
    /// # Errors
    /// Of the store.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        if self.ended {
            return Ok(None);
        }
        let first = self.after.is_none();
        let page = self.app.activity(&self.ctx, &self.filter, self.after, Some(BATCH)).await?;
        self.ended = (page.len() as i64) < BATCH;
        self.after = page.last().map(|event| event.position);
        let mut text = String::new();
        if first && self.format == Written::Csv {
            text.push_str(HEAD);
        }
        for event in &page {
            match self.format {
                Written::Csv => text.push_str(&row(event)),
                Written::Json => {
                    text.push_str(&serde_json::to_string(event).unwrap_or_default());
                    text.push('\n');
                }
            }
        }
        Ok(Some(text))
    }
}

fn row(page: &ledger::Page) -> String {
    let event = &page.event;
    let fields = [
        page.position.to_string(),
        event.at.to_string(),
        event.kind.clone(),
        event.subject.code.clone(),
        event.by.username.clone(),
        event.by.on_behalf_of.clone().unwrap_or_default(),
        event.data.to_string(),
    ];
    let cells: Vec<String> = fields.iter().map(|field| cell(field)).collect();
    format!("{}\n", cells.join(","))
}

/// Quoted where it must be; what a spreadsheet would take for a formula is not one.
fn cell(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(cell("=cmd()"), "'=cmd()");
        assert_eq!(cell("@SUM(1,2)"), "\"'@SUM(1,2)\"");
    }
}
