//! Approval chains: who looks at a transfer, and in which order. They are data,
//! versioned; a transfer keeps the version it was created under.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::state::{MATRIX, Permission};
use super::{Error, Service, sql};
use crate::base::error::Error as AnyError;
use crate::control::commands::Unit;
use crate::control::ctx::Ctx;
use crate::control::ledger::Subject;

/// The chain a transfer gets when none is named.
pub const DEFAULT: &str = "default";
const MOST_STAGES: usize = 20;

/// One stage of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Stable name, snake case; `{key}_review` is how the state is shown.
    pub key: String,
    /// The role that decides.
    pub role: String,
}

/// A version of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Chain {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Grows by one with every change.
    pub version: i64,
    /// In order.
    pub stages: Vec<Stage>,
}

/// A chain, or a new version of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewChain {
    /// What to call it.
    pub name: String,
    /// In order, 1 to 20, keys each once.
    pub stages: Vec<Stage>,
}

/// Team lead, supervisor, line producer: the source's chain.
pub fn default_stages() -> Vec<Stage> {
    ["team_lead", "supervisor", "line_producer"]
        .map(|name| Stage { key: name.into(), role: name.into() })
        .into()
}

fn check(new: &NewChain) -> Result<(), Error> {
    let bad =
        |field, value: &str, reason: String| Error::BadField { field, value: value.into(), reason };
    super::types::check_name("name", &new.name)?;
    if new.stages.is_empty() || new.stages.len() > MOST_STAGES {
        return Err(bad("stages", &new.stages.len().to_string(), format!("1 to {MOST_STAGES}")));
    }
    for (i, stage) in new.stages.iter().enumerate() {
        super::types::check_name("stage", &stage.key)?;
        if !MATRIX
            .iter()
            .any(|(role, granted)| *role == stage.role && granted.contains(&Permission::Review))
        {
            let reviewers: Vec<&str> = MATRIX
                .iter()
                .filter(|(_, granted)| granted.contains(&Permission::Review))
                .map(|(role, _)| *role)
                .collect();
            return Err(bad(
                "role",
                &stage.role,
                format!("reviewers are {}", reviewers.join(", ")),
            ));
        }
        if new.stages[..i].iter().any(|other| other.key == stage.key) {
            return Err(bad("stage", &stage.key, "the chain has it twice".into()));
        }
    }
    Ok(())
}

/// The newest version of a chain; the default one is made when it is first asked
/// for.
pub(super) async fn newest(unit: &mut Unit, name: &str) -> Result<Chain, AnyError> {
    let (org, now) = (unit.org(), unit.now());
    loop {
        if let Some(chain) = sql::newest_chain(unit.tx(), org, name).await? {
            return Ok(chain);
        }
        if name != DEFAULT {
            return Err(Error::NoChain(name.to_owned()).into());
        }
        let (id, stages) = (Uuid::now_v7(), default_stages());
        let chain = Chain { id, name: DEFAULT.into(), version: 1, stages };
        // Who was faster has made the same, and it is there to be read by now.
        if sql::insert_chain(unit.tx(), org, &chain, now).await? {
            return Ok(chain);
        }
    }
}

impl Service {
    /// Defines a chain, or the next version of it. Transfers that are on their way
    /// keep theirs.
    ///
    /// # Errors
    /// [`Error::BadField`], or not permitted.
    pub async fn define_chain(&self, ctx: &Ctx, new: NewChain) -> Result<Chain, AnyError> {
        ctx.require(MATRIX, Permission::ManageChains, None)?;
        check(&new)?;
        let mut unit = self.store.begin(ctx).await?;
        let (org, now) = (unit.org(), unit.now());
        let (id, name, stages) = (Uuid::now_v7(), new.name, new.stages);
        let mut chain = Chain { id, name, version: 0, stages };
        loop {
            let newest = sql::newest_chain(unit.tx(), org, &chain.name).await?;
            chain.version = newest.map_or(0, |old| old.version) + 1;
            if sql::insert_chain(unit.tx(), org, &chain, now).await? {
                break;
            }
        }
        let code = format!("{} v{}", chain.name, chain.version);
        let subject = Subject { kind: "approval_chain".into(), id: chain.id, code };
        unit.record(&subject, "approval_chain.defined", json!({ "stages": chain.stages }));
        unit.commit(chain).await
    }

    /// Every version of every chain, newest first.
    ///
    /// # Errors
    /// [`Error::Db`].
    pub async fn chains(&self, ctx: &Ctx) -> Result<Vec<Chain>, AnyError> {
        let mut tx = self.store.db().read().await?;
        let mut chains = sql::chains(&mut tx, ctx.org).await?;
        if !chains.iter().any(|chain| chain.name == DEFAULT) {
            let stages = default_stages();
            chains.push(Chain { id: Uuid::nil(), name: DEFAULT.into(), version: 1, stages });
        }
        Ok(chains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(roles: &[(&str, &str)]) -> NewChain {
        let stages =
            roles.iter().map(|(k, r)| Stage { key: (*k).into(), role: (*r).into() }).collect();
        NewChain { name: "film".into(), stages }
    }

    #[test]
    fn a_chain_has_reviewers_each_stage_once() {
        assert!(check(&chain(&[("lead", "team_lead"), ("final", "line_producer")])).is_ok());
        assert!(check(&chain(&[])).is_err());
        assert!(check(&chain(&[("lead", "artist")])).is_err());
        assert!(check(&chain(&[("lead", "team_lead"), ("lead", "supervisor")])).is_err());
    }
}
