//! What goes in and what comes out.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::state::{Decision, LAST_STEP, LotAction, LotStatus};
use crate::base::clock::Timestamp;

/// Characters of notes and reasons.
pub(super) const LONGEST: usize = 2000;
/// Parents that one lot may have, and lots that one call may register.
pub const MOST: usize = 1000;
/// A thousand tonnes times a thousand: what a lot may weigh.
const MOST_KG: f64 = 1e9;
/// What has no colder.
const LEAST_C: f64 = -273.15;
const MOST_C: f64 = 10_000.0;

/// A parent of a lot: its code, or that with what was drawn from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Parent {
    /// Its code.
    Code(String),
    /// With how much of it went into the child.
    Drawn {
        /// Its code.
        lot_code: String,
        /// Kilograms.
        weight_kg: f64,
    },
}

impl Parent {
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Code(code) | Self::Drawn { lot_code: code, .. } => code,
        }
    }
}

/// A lot to be registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewLot {
    /// 1 to 64 of letters, digits, `.`, `_`, `-`; made from the type where none is given.
    #[serde(default)]
    pub lot_code: Option<String>,
    /// One of the lot types of a [profile](super::profiles).
    pub lot_type: String,
    /// Kilograms, to the milligram.
    #[serde(default)]
    pub weight_kg: Option<f64>,
    /// Degrees Celsius, to the thousandth.
    #[serde(default)]
    pub temp_c: Option<f64>,
    /// 0 to 10; the run's current step where none is given, else 0.
    #[serde(default)]
    pub step_index: Option<i64>,
    /// The phase; the step's own in the run's flow where none is given.
    #[serde(default)]
    pub phase_num: Option<i64>,
    /// The run it is made in.
    #[serde(default)]
    pub run: Option<String>,
    /// What it is made from, up to 1,000 lots.
    #[serde(default)]
    pub parents: Vec<Parent>,
}

/// A lot as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LotView {
    /// What people call it.
    pub lot_code: String,
    /// Its type.
    pub lot_type: String,
    /// Kilograms.
    pub weight_kg: Option<f64>,
    /// Degrees Celsius.
    pub temp_c: Option<f64>,
    /// 0 to 10.
    pub step_index: i64,
    /// The phase.
    pub phase_num: Option<i64>,
    /// Where it stands.
    pub status: LotStatus,
    /// How its last hold was resolved.
    pub resolution: Option<String>,
    /// The run it was made in.
    pub run: Option<String>,
    /// The transfer that brought it.
    pub origin: Option<String>,
    /// Grows with every change.
    pub version: i64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A neighbour in the genealogy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Link {
    /// The other lot.
    pub lot_code: String,
    /// Its type.
    pub lot_type: String,
    /// Where it stands.
    pub status: LotStatus,
    /// Kilograms of the parent that went into the child, where known.
    pub weight_kg: Option<f64>,
}

/// A lot with its neighbours, and what the caller can do with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LotDetail {
    /// The lot.
    #[serde(flatten)]
    pub lot: LotView,
    /// What it was made from, up to 1,000.
    pub parents: Vec<Link>,
    /// What was made from it, up to 1,000.
    pub children: Vec<Link>,
    /// Decisions at gates.
    pub decisions: Vec<DecisionView>,
    /// What the caller can do with it now.
    pub actions: Vec<LotAction>,
}

/// A decision at a gate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DecisionView {
    /// Its id: the cursor of lists.
    pub id: Uuid,
    /// The gate (`food@1:metal`).
    pub gate: String,
    /// Its kind.
    pub gate_type: String,
    /// Whether it is a critical control point.
    pub is_ccp: bool,
    /// The lot.
    pub lot_code: String,
    /// The run, if the lot has one.
    pub run: Option<String>,
    /// What.
    pub decision: Decision,
    /// In words.
    pub notes: Option<String>,
    /// What was answered to the checklist.
    pub answers: serde_json::Value,
    /// Who.
    pub decided_by: String,
    /// When.
    pub decided_at: Timestamp,
}

/// A page of a list, with where the next one begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it as `after` to go on; `None` at the end.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// `items` holds one row more than `limit` where there is a next page.
    pub(super) fn cut(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// A lot as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Lot {
    pub id: Uuid,
    pub lot_code: String,
    pub lot_type: String,
    pub weight_mg: Option<i64>,
    pub temp_mc: Option<i64>,
    pub step_index: i64,
    pub status: LotStatus,
    pub resolution: Option<String>,
    pub run_id: Option<Uuid>,
    pub run: Option<String>,
    pub phase_num: Option<i64>,
    pub origin: Option<String>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Lot {
    pub(super) fn view(&self) -> LotView {
        LotView {
            lot_code: self.lot_code.clone(),
            lot_type: self.lot_type.clone(),
            weight_kg: self.weight_mg.map(kg),
            temp_c: self.temp_mc.map(celsius),
            step_index: self.step_index,
            phase_num: self.phase_num,
            status: self.status,
            resolution: self.resolution.clone(),
            run: self.run.clone(),
            origin: self.origin.clone(),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Milligrams as kilograms.
#[allow(clippy::cast_precision_loss)]
pub(super) fn kg(mg: i64) -> f64 {
    mg as f64 / 1e6
}

/// Thousandths of a degree as degrees.
#[allow(clippy::cast_precision_loss)]
pub(super) fn celsius(mc: i64) -> f64 {
    mc as f64 / 1e3
}

fn bad(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::BadField { field, value: value.to_string(), reason: reason.into() }
}

/// Kilograms as milligrams: exact, so that sums are.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn milligrams(weight_kg: f64) -> Result<i64, Error> {
    match weight_kg {
        w if !w.is_finite() => Err(bad("weight_kg", w, "it is no number")),
        w if w < 0.0 => Err(bad("weight_kg", w, "it is negative")),
        w if w > MOST_KG => Err(bad("weight_kg", w, format!("it is more than {MOST_KG}"))),
        w => Ok((w * 1e6).round() as i64),
    }
}

/// Degrees as thousandths.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn millidegrees(temp_c: f64) -> Result<i64, Error> {
    if (LEAST_C..=MOST_C).contains(&temp_c) {
        Ok((temp_c * 1e3).round() as i64)
    } else {
        Err(bad("temp_c", temp_c, format!("{LEAST_C} to {MOST_C}")))
    }
}

/// A step of the canonical flow.
pub(super) fn check_step(step_index: i64) -> Result<i64, Error> {
    if (0..=LAST_STEP).contains(&step_index) {
        Ok(step_index)
    } else {
        Err(bad("step_index", step_index, format!("0 to {LAST_STEP}")))
    }
}

/// A code or name: 1 to 64 of letters, digits, `.`, `_`, `-`, beginning with a letter
/// or digit. It stands in diagrams, paths and file names without being quoted.
pub(super) fn check_code<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match value.chars().next() {
        None => Err(bad(field, value, "it is empty")),
        _ if value.len() > 64 => Err(bad(field, value, "it is longer than 64 characters")),
        Some(c) if !c.is_ascii_alphanumeric() => {
            Err(bad(field, value, "it must begin with a letter or digit"))
        }
        Some(_) if value.chars().all(fine) => Ok(value),
        Some(_) => Err(bad(field, value, "only letters, digits, dot, underscore and hyphen")),
    }
}

/// Free text for people.
pub(super) fn check_text(field: &'static str, value: &str, most: usize) -> Result<(), Error> {
    match value.chars().count() {
        _ if value.trim().is_empty() => Err(bad(field, value, "it is empty")),
        n if n > most => Err(bad(field, "…", format!("it is longer than {most} characters"))),
        _ if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => {
            Err(bad(field, value, "it has control characters"))
        }
        _ => Ok(()),
    }
}

/// A note that may be left out, but not be empty.
pub(super) fn check_note(note: Option<&str>) -> Result<Option<&str>, Error> {
    match note.map(str::trim).filter(|note| !note.is_empty()) {
        None => Ok(None),
        Some(note) => check_text("note", note, LONGEST).map(|()| Some(note)),
    }
}

/// The reason for what must not be done without one.
pub(super) fn reason<'a>(
    subject: &str,
    action: &'static str,
    note: Option<&'a str>,
) -> Result<&'a str, Error> {
    check_note(note)?.ok_or_else(|| Error::NoReason { subject: subject.to_owned(), action })
}

/// A page's size: 1 to `most`, `usual` where none is given.
pub(super) fn check_limit(limit: Option<i64>, usual: i64, most: i64) -> Result<i64, Error> {
    match limit.unwrap_or(usual) {
        n if (1..=most).contains(&n) => Ok(n),
        n => Err(bad("limit", n, format!("1 to {most}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn weights_are_exact_to_the_milligram_and_never_negative() {
        assert_eq!(milligrams(0.1).unwrap() + milligrams(0.2).unwrap(), milligrams(0.3).unwrap());
        assert_eq!(milligrams(0.0).unwrap(), 0);
        for wrong in [-0.001, f64::NAN, f64::INFINITY, 1e10] {
            assert!(milligrams(wrong).is_err(), "{wrong}");
        }
        assert_eq!(millidegrees(-18.5).unwrap(), -18_500);
        for wrong in [-274.0, f64::NAN, 1e6] {
            assert!(millidegrees(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_go_from_0_to_10() {
        assert!(check_step(0).is_ok() && check_step(10).is_ok());
        assert!(check_step(-1).is_err() && check_step(11).is_err());
    }

    #[test]
    fn a_code_needs_no_quotes_anywhere() {
        for fine in ["LOT-1", "7", "a.b_c-d"] {
            assert!(check_code("lot_code", fine).is_ok(), "{fine}");
        }
        for wrong in ["", "-a", "a b", "a\"b", "a/b", "ä", "a\nb", &"x".repeat(65)] {
            assert!(check_code("lot_code", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_tells_where_it_goes_on() {
        let list = List::cut(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((list.items, list.next), (vec![1, 2], Some("2".into())));
        let list = List::cut(vec![1, 2], 2, ToString::to_string);
        assert_eq!(list.next, None);
    }
}
