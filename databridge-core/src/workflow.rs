//! State machines as const tables: `from --action--> to`, with the permission it
//! takes, the guard that must hold and the work that follows. One table answers
//! whether a step is legal, what can be done next, and draws the diagram.

use std::fmt;

use crate::base::error::{ErrorKind, Fault};

/// A name from a closed set: a state, an action, a guard, a permission.
pub trait Symbol: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// Every member, in the order of declaration.
    const ALL: &'static [Self];
    /// The stable text, snake case.
    fn name(self) -> &'static str;
    /// The member of that name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|symbol| symbol.name() == name)
    }
}

/// Declares an enum whose members have a stable text, in serde as well.
#[macro_export]
macro_rules! symbols {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $member:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $member),+ }

        impl $crate::workflow::Symbol for $name {
            const ALL: &'static [Self] = &[$(Self::$member),+];
            fn name(self) -> &'static str {
                match self { $(Self::$member => $text),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::workflow::Symbol::name(*self))
            }
        }
    };
}

/// One row of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Transition<S: 'static, A: 'static, G: 'static, P: 'static> {
    /// The state it leaves.
    pub from: S,
    /// What somebody, or a job, does.
    pub action: A,
    /// The state it leads to.
    pub to: S,
    /// What the actor must be permitted; `None` for the system's own steps.
    pub permission: Option<P>,
    /// What must hold besides; rows with one `from` and `action` differ in it.
    pub guard: Option<G>,
    /// The kind of job that is enqueued with the step.
    pub work: Option<&'static str>,
}

/// A lifecycle.
#[derive(Debug)]
pub struct Machine<S: 'static, A: 'static, G: 'static, P: 'static> {
    /// The subject's name, as messages and diagrams say it.
    pub subject: &'static str,
    /// Where a subject is born.
    pub initial: S,
    /// Every legal step.
    pub transitions: &'static [Transition<S, A, G, P>],
}

/// Why a step is not legal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The table has no such row.
    #[error("a {subject} in state {state} cannot {action}; from here it can: {}", list(.allowed))]
    Illegal {
        /// The machine's subject.
        subject: &'static str,
        /// The state it is in.
        state: &'static str,
        /// What was asked for.
        action: &'static str,
        /// What would have been legal.
        allowed: Vec<&'static str>,
    },
    /// The row is there, its guard does not hold.
    #[error("a {subject} in state {state} can {action} only when: {}", .guards.join(" or "))]
    Guarded {
        /// The machine's subject.
        subject: &'static str,
        /// The state it is in.
        state: &'static str,
        /// What was asked for.
        action: &'static str,
        /// The guards that did not hold.
        guards: Vec<&'static str>,
    },
}

fn list(names: &[&str]) -> String {
    // Not that it is final: a job may be at it.
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::IllegalState
    }
    fn code(&self) -> &str {
        match self {
            Self::Illegal { .. } => "workflow.illegal_state",
            Self::Guarded { .. } => "workflow.guard",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(
            "look at it again, somebody may have moved it since; `databridge explain` says of a transfer what is next"
                .into(),
        )
    }
}

impl<S: Symbol, A: Symbol, G: Symbol, P: Symbol> Machine<S, A, G, P> {
    /// The row for `action` in `state` whose guard `holds`.
    ///
    /// # Errors
    /// [`Refusal`] where there is no such row or none whose guard holds.
    pub fn step(
        &self,
        state: S,
        action: A,
        holds: impl Fn(G) -> bool,
    ) -> Result<&'static Transition<S, A, G, P>, Refusal> {
        let mut guards = Vec::new();
        for row in self.transitions.iter().filter(|r| r.from == state && r.action == action) {
            match row.guard {
                Some(guard) if !holds(guard) => guards.push(guard.name()),
                _ => return Ok(row),
            }
        }
        let (subject, state_name, action) = (self.subject, state.name(), action.name());
        if guards.is_empty() {
            let allowed = self.choices(state).iter().map(|a| a.name()).collect();
            Err(Refusal::Illegal { subject, state: state_name, action, allowed })
        } else {
            Err(Refusal::Guarded { subject, state: state_name, action, guards })
        }
    }

    /// What can be done in `state`, each action once, guards aside.
    pub fn actions(&self, state: S) -> Vec<A> {
        let mut actions: Vec<A> = Vec::new();
        for row in self.transitions.iter().filter(|r| r.from == state) {
            if !actions.contains(&row.action) {
                actions.push(row.action);
            }
        }
        actions
    }

    /// What a person can do in `state`: the system's own steps are no choice.
    pub fn choices(&self, state: S) -> Vec<A> {
        let by_person = |a: &A| {
            self.transitions
                .iter()
                .any(|r| r.from == state && r.action == *a && r.permission.is_some())
        };
        self.actions(state).into_iter().filter(by_person).collect()
    }

    /// Whether nothing leads out of `state`.
    pub fn is_final(&self, state: S) -> bool {
        self.transitions.iter().all(|row| row.from != state)
    }

    /// The permission rows ask for when `action` is taken in any state.
    pub fn permission(&self, action: A) -> Option<P> {
        self.transitions.iter().find(|r| r.action == action).and_then(|r| r.permission)
    }

    /// The machine as a Mermaid state diagram.
    pub fn mermaid(&self) -> String {
        let mut text = format!("stateDiagram-v2\n    [*] --> {}\n", self.initial.name());
        for row in self.transitions {
            let guard = row.guard.map(|g| format!(" [{}]", g.name())).unwrap_or_default();
            let work = row.work.map(|w| format!(" / {w}")).unwrap_or_default();
            text.push_str(&format!(
                "    {} --> {}: {}{guard}{work}\n",
                row.from.name(),
                row.to.name(),
                row.action.name()
            ));
        }
        for state in S::ALL.iter().filter(|s| self.is_final(**s)) {
            text.push_str(&format!("    {} --> [*]\n", state.name()));
        }
        text
    }
}
