//! The graph of a flow version: its steps, the ways between them, its gates.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::Error;
use super::balance::MassBalance;
use super::state::LAST_STEP;
use super::types::{check_code, check_step, check_text};

/// Gates of a version, and questions of a gate, at most.
const MOST: usize = 100;

/// What a version of a flow says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The eleven steps, 0 to 10.
    pub steps: Vec<Step>,
    /// Ways between steps, by node.
    #[serde(default)]
    pub edges: Vec<Edge>,
    /// Where quality is decided.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// That masses are to balance; without it nobody weighs.
    #[serde(default)]
    pub mass_balance: Option<MassBalance>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// 0 to 10.
    pub step_index: i64,
    /// The node in a drawing (`node-3`).
    pub node_id: String,
    /// What people read.
    pub name: String,
    /// The phase it belongs to.
    #[serde(default)]
    pub phase_num: Option<i64>,
}

/// A way from one step to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The node it leaves.
    pub from: String,
    /// The node it leads to.
    pub to: String,
}

/// A gate at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Its name in the flow.
    pub key: String,
    /// The step it stands at.
    pub step_index: i64,
    /// What is looked at (`temperature`, `tech_check`).
    pub gate_type: String,
    /// A critical control point: its failure puts the run on HOLD.
    #[serde(default)]
    pub is_ccp: bool,
    /// Whether the run waits for it.
    #[serde(default)]
    pub blocking: bool,
    /// What has to be answered.
    #[serde(default)]
    pub checklist: Vec<Question>,
}

/// A line of a checklist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its name.
    pub key: String,
    /// What is asked.
    pub text: String,
    /// Whether no decision is made without an answer.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

fn bad(field: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::BadField { field, value: value.to_string(), reason: reason.into() }
}

impl Schema {
    /// Whether a run can follow it.
    ///
    /// # Errors
    /// [`Error::BadField`], naming what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let indexes: Vec<i64> = self.steps.iter().map(|s| s.step_index).collect();
        if indexes != (0..=LAST_STEP).collect::<Vec<_>>() {
            let reason = format!("a flow has the steps 0 to {LAST_STEP}, each once, in order");
            return Err(bad("steps", format!("{indexes:?}"), reason));
        }
        let mut nodes = HashSet::new();
        for step in &self.steps {
            check_code("node_id", &step.node_id)?;
            check_text("name", &step.name, 100)?;
            if !nodes.insert(step.node_id.as_str()) {
                return Err(bad("node_id", &step.node_id, "two steps have it"));
            }
        }
        for edge in &self.edges {
            for node in [&edge.from, &edge.to] {
                if !nodes.contains(node.as_str()) {
                    return Err(bad("edges", node, "no step has that node"));
                }
            }
            if edge.from == edge.to {
                return Err(bad("edges", &edge.from, "it leads to itself"));
            }
        }
        self.check_gates()?;
        match &self.mass_balance {
            Some(b) if !(0.0..=50.0).contains(&b.tolerance_percent) => {
                Err(bad("tolerance_percent", b.tolerance_percent, "0 to 50"))
            }
            _ => Ok(()),
        }
    }

    fn check_gates(&self) -> Result<(), Error> {
        let mut keys = HashSet::new();
        if self.gates.len() > MOST {
            return Err(bad("gates", self.gates.len(), format!("at most {MOST}")));
        }
        for gate in &self.gates {
            check_code("key", &gate.key)?;
            check_code("gate_type", &gate.gate_type)?;
            check_step(gate.step_index)?;
            if !keys.insert(gate.key.as_str()) {
                return Err(bad("gates", &gate.key, "two gates have that name"));
            }
            if gate.checklist.len() > MOST {
                return Err(bad("checklist", gate.checklist.len(), format!("at most {MOST}")));
            }
            let mut asked = HashSet::new();
            for question in &gate.checklist {
                check_code("checklist", &question.key)?;
                check_text("checklist", &question.text, 500)?;
                if !asked.insert(question.key.as_str()) {
                    return Err(bad("checklist", &question.key, "two questions have that name"));
                }
            }
        }
        Ok(())
    }

    /// The phase of a step.
    pub(super) fn phase(&self, step_index: i64) -> Option<i64> {
        self.steps.iter().find(|s| s.step_index == step_index)?.phase_num
    }
}

/// How one thing differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// `step`, `edge`, `gate` or `mass_balance`.
    pub what: String,
    /// Which.
    pub key: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// As it was.
    pub before: Option<serde_json::Value>,
    /// As it is.
    pub after: Option<serde_json::Value>,
}

type Parts = BTreeMap<(&'static str, String), serde_json::Value>;

fn parts(schema: &Schema) -> Parts {
    let mut parts = Parts::new();
    for step in &schema.steps {
        parts.insert(("step", step.step_index.to_string()), json(step));
    }
    for edge in &schema.edges {
        parts.insert(("edge", format!("{} → {}", edge.from, edge.to)), json(edge));
    }
    for gate in &schema.gates {
        parts.insert(("gate", gate.key.clone()), json(gate));
    }
    if let Some(balance) = &schema.mass_balance {
        parts.insert(("mass_balance", String::new()), json(balance));
    }
    parts
}

/// What serialises without failing: our own plain types.
fn json<T: Serialize>(part: &T) -> serde_json::Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// What changed from one version to another.
pub fn diff(before: &Schema, after: &Schema) -> Vec<Change> {
    let (old, new) = (parts(before), parts(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (before, after) = (old.get(key).cloned(), new.get(key).cloned());
            let change = match (&before, &after) {
                (Some(a), Some(b)) if a == b => return None,
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "removed",
                _ => "added",
            };
            let (what, name) = key;
            Some(Change {
                what: (*what).to_owned(),
                key: name.clone(),
                change: change.to_owned(),
                before,
                after,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plain() -> Schema {
        let step = |i: i64| Step {
            step_index: i,
            node_id: format!("node-{i}"),
            name: format!("Step {i}"),
            phase_num: None,
        };
        let gate = Gate {
            key: "metal".into(),
            step_index: 4,
            gate_type: "metal".into(),
            is_ccp: true,
            blocking: true,
            checklist: vec![],
        };
        Schema {
            steps: (0..=10).map(step).collect(),
            edges: vec![Edge { from: "node-0".into(), to: "node-1".into() }],
            gates: vec![gate],
            mass_balance: None,
        }
    }

    #[test]
    fn a_flow_has_eleven_steps_and_names_what_is_there() {
        assert!(plain().check().is_ok());
        type Spoil = fn(&mut Schema);
        let spoils: [Spoil; 9] = [
            |s| drop(s.steps.pop()),
            |s| s.steps.swap(0, 1),
            |s| s.steps[3].node_id = "node-2".into(),
            |s| s.edges[0].to = "node-99".into(),
            |s| s.edges[0].to = "node-0".into(),
            |s| s.gates[0].step_index = 11,
            |s| s.gates.push(s.gates[0].clone()),
            |s| s.gates[0].key = "a b".into(),
            |s| s.mass_balance = Some(MassBalance { tolerance_percent: -1.0 }),
        ];
        for (i, spoil) in spoils.iter().enumerate() {
            let mut schema = plain();
            spoil(&mut schema);
            assert!(schema.check().is_err(), "spoil {i}");
        }
    }

    #[test]
    fn a_diff_names_every_difference_and_no_other() {
        let (before, mut after) = (plain(), plain());
        assert!(diff(&before, &after).is_empty());
        after.steps[2].name = "Mixing".into();
        after.gates.clear();
        after.edges.push(Edge { from: "node-1".into(), to: "node-2".into() });
        after.mass_balance = Some(MassBalance { tolerance_percent: 1.0 });
        let found: Vec<_> = diff(&before, &after)
            .into_iter()
            .map(|c| format!("{} {} {}", c.what, c.key, c.change))
            .collect();
        assert_eq!(
            found,
            [
                "edge node-1 → node-2 added",
                "gate metal removed",
                "mass_balance  added",
                "step 2 changed"
            ]
        );
    }
}
