//! `databridge lot …`

use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::app::Call;
use databridge_core::app::call::{LotCode, LotHistory, LotLink, LotList, LotMove};
use databridge_core::domains::lineage::state::LotStatus;
use databridge_core::domains::lineage::{NewLot, Parent};

use super::super::Outcome;
use super::super::backend::Backend;
use super::super::view::{Show, text};
use super::{capital, decision_line, events, lot_line, number, page, read};

#[derive(Debug, Subcommand)]
pub enum Lot {
    /// Registers a lot.
    Register {
        /// RAW, MIX, PLATE, COMP, …; `databridge flow profiles` lists them.
        lot_type: String,
        /// Its code; made from the type where none is given.
        #[arg(long)]
        code: Option<String>,
        /// What it is made from: CODE, or CODE=KG where it was weighed.
        #[arg(long = "parent", value_name = "CODE[=KG]", value_parser = parent)]
        parents: Vec<Parent>,
        /// Kilograms.
        #[arg(long = "weight", value_name = "KG", allow_negative_numbers = true)]
        weight_kg: Option<f64>,
        /// Degrees Celsius.
        #[arg(long = "temp", value_name = "C", allow_negative_numbers = true)]
        temp_c: Option<f64>,
        /// 0 to 10.
        #[arg(long = "step", value_name = "INDEX", allow_negative_numbers = true)]
        step_index: Option<i64>,
        /// The phase.
        #[arg(long = "phase", value_name = "NUMBER")]
        phase_num: Option<i64>,
        /// The run it is made in.
        #[arg(long)]
        run: Option<String>,
    },
    /// Registers many lots from a JSON file, a thousand at a time.
    Import {
        /// An array of lots; `-` is standard input.
        file: PathBuf,
    },
    /// Lots, newest first.
    List {
        /// In this status.
        #[arg(long, value_parser = capital::<LotStatus>)]
        status: Option<LotStatus>,
        /// Of this type.
        #[arg(long = "type", value_name = "TYPE")]
        lot_type: Option<String>,
        /// Of this run.
        #[arg(long)]
        run: Option<String>,
        /// The last code of the page before.
        #[arg(long)]
        after: Option<String>,
        /// 1 to 200.
        #[arg(long)]
        limit: Option<i64>,
    },
    /// Everything about a lot.
    Show {
        /// Its code.
        code: String,
    },
    /// Its status history, from the ledger.
    History {
        /// Its code.
        code: String,
        /// After this position.
        #[arg(long)]
        after: Option<i64>,
    },
    /// Links a lot to another parent.
    Link {
        /// The child.
        code: String,
        /// The parent: CODE, or CODE=KG.
        #[arg(value_parser = parent)]
        parent: Parent,
    },
    /// Moves a lot: quarantine, released, hold, rejected, consumed, finished.
    Move {
        /// Its code.
        code: String,
        /// Where to.
        #[arg(value_parser = capital::<LotStatus>)]
        status: LotStatus,
        /// Why; leaving HOLD takes one.
        #[arg(long)]
        note: Option<String>,
    },
}

fn parent(text: &str) -> Result<Parent, String> {
    match text.split_once('=') {
        None => Ok(Parent::Code(text.to_owned())),
        Some((code, kg)) => {
            let weight_kg = kg.parse().map_err(|_| format!("{kg:?} is no weight in kilograms"))?;
            Ok(Parent::Drawn { lot_code: code.to_owned(), weight_kg })
        }
    }
}

impl Lot {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let answer = match self {
            Self::Register {
                lot_type,
                code,
                parents,
                weight_kg,
                temp_c,
                step_index,
                phase_num,
                run,
            } => on.call(Call::LotRegister(NewLot {
                lot_code: code,
                lot_type,
                weight_kg,
                temp_c,
                step_index,
                phase_num,
                run,
                parents,
            }))?,
            Self::Import { file } => {
                let lots: Vec<NewLot> = read(&file)?;
                for part in lots.chunks(1000) {
                    on.call(Call::LotRegisterAll { lots: part.to_vec() })?;
                }
                show.line(format!("{} lots", lots.len()));
                show.document(&serde_json::json!({ "lots": lots.len() }));
                return Ok(0);
            }
            Self::List { status, lot_type, run, after, limit } => {
                let list = LotList { status, lot_type, run, after, limit };
                page(show, &on.call(Call::LotList(list))?, |lot| lot_line(show, lot));
                return Ok(0);
            }
            Self::Show { code } => return detail(on, show, code),
            Self::History { code, after } => {
                let history = LotHistory { lot_code: code, after, limit: Some(1000) };
                events(show, &on.call(Call::LotHistory(history))?);
                return Ok(0);
            }
            Self::Link { code, parent } => {
                on.call(Call::LotLink(LotLink { lot_code: code, parent }))?
            }
            Self::Move { code, status, note } => {
                on.call(Call::LotMove(LotMove { lot_code: code, status, note }))?
            }
        };
        lot_line(show, &answer);
        show.document(&answer);
        Ok(0)
    }
}

fn detail(on: &Backend, show: &Show, code: String) -> Outcome {
    let lot = on.call(Call::LotShow(LotCode { lot_code: code }))?;
    lot_line(show, &lot);
    for (label, field) in [("run", "run"), ("from transfer", "origin"), ("resolved", "resolution")]
    {
        if let Some(value) = lot[field].as_str() {
            show.line(format!("  {label}: {value}"));
        }
    }
    for (label, field) in [("made from", "parents"), ("made into", "children")] {
        for link in lot[field].as_array().into_iter().flatten() {
            show.line(format!(
                "  {label} {:<24} {:<9} {:<10} {}",
                text(&link["lot_code"]),
                text(&link["lot_type"]),
                text(&link["status"]),
                number(&link["weight_kg"], "kg"),
            ));
        }
    }
    let decisions = lot["decisions"].as_array().into_iter().flatten();
    decisions.for_each(|one| decision_line(show, one));
    let actions: Vec<_> = lot["actions"].as_array().into_iter().flatten().map(text).collect();
    show.line(format!("  can: {}", actions.join(", ")));
    show.document(&lot);
    Ok(0)
}
