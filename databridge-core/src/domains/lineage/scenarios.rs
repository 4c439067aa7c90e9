//! Scenarios: how a line is laid out for people, in streams and phases. Versioned;
//! a new version leaves the old one as it was.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::state::Permission;
use super::types::{check_code, check_text};
use super::{Error, Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::ledger::Subject;

/// A scenario, its streams in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// Given by the store, from 1.
    #[serde(default)]
    pub version: i64,
    /// At most 50.
    pub streams: Vec<Stream>,
}

/// A lane of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Its name.
    pub stream_key: String,
    /// `#rrggbb`.
    pub color: String,
    /// Its place.
    pub sort_order: i64,
    /// At most 50.
    #[serde(default)]
    pub phases: Vec<Phase>,
}

/// A part of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its number.
    pub phase_num: i64,
    /// What people read.
    pub name: String,
}

const MOST: usize = 50;

fn bad(field: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::BadField { field, value: value.to_string(), reason: reason.to_owned() }
}

fn check(scenario: &Scenario) -> Result<(), Error> {
    check_code("name", &scenario.name)?;
    if scenario.streams.len() > MOST {
        return Err(bad("streams", scenario.streams.len(), "at most 50"));
    }
    let mut keys = HashSet::new();
    for stream in &scenario.streams {
        check_code("stream_key", &stream.stream_key)?;
        let hex = stream.color.strip_prefix('#').unwrap_or_default();
        if hex.len() != 6 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(bad("color", &stream.color, "it is written #rrggbb"));
        }
        if !keys.insert(stream.stream_key.as_str()) {
            return Err(bad("stream_key", &stream.stream_key, "two streams have it"));
        }
        if stream.phases.len() > MOST {
            return Err(bad("phases", stream.phases.len(), "at most 50"));
        }
        let mut numbers = HashSet::new();
        for phase in &stream.phases {
            check_text("phase", &phase.name, 100)?;
            if !numbers.insert(phase.phase_num) {
                return Err(bad("phase_num", phase.phase_num, "two phases of a stream have it"));
            }
        }
    }
    Ok(())
}

/// Writes the next version of a scenario.
pub(super) async fn define(unit: &mut Unit, scenario: Scenario) -> Result<Scenario, AnyError> {
    check(&scenario)?;
    let (org, now) = (unit.org(), unit.now());
    let newest = sql::newest_scenario(unit.tx(), org, &scenario.name).await?;
    let scenario = Scenario { version: newest.unwrap_or(0) + 1, ..scenario };
    let (id, name) = (Uuid::now_v7(), format!("{} v{}", scenario.name, scenario.version));
    let exists = || Error::Exists { what: "scenario", name: name.clone() };
    sql::taken(sql::insert_scenario(unit.tx(), org, id, &scenario, now).await, exists)?;
    let subject = Subject { kind: "scenario".into(), id, code: name };
    unit.record(&subject, "scenario.defined", json!({ "streams": scenario.streams }));
    Ok(scenario)
}

impl Service {
    /// Defines a scenario, or the next version of one.
    ///
    /// # Errors
    /// [`Error::BadField`], not permitted.
    pub async fn define_scenario(
        &self,
        ctx: &Ctx,
        scenario: Scenario,
    ) -> Result<Scenario, AnyError> {
        let mut unit = self.begin(ctx, Permission::DesignFlow).await?;
        let scenario = define(&mut unit, scenario).await?;
        unit.commit(scenario).await
    }

    /// Every version of every scenario.
    ///
    /// # Errors
    /// Not permitted.
    pub async fn scenarios(&self, ctx: &Ctx) -> Result<Vec<Scenario>, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        Ok(sql::scenarios(&mut tx, ctx.org).await?)
    }
}
