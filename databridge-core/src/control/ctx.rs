//! Who asks, for whom, and on whose authority.

use serde::{Deserialize, Serialize};

use crate::base::error::{ErrorKind, Fault};
use crate::base::id::{OrgId, UserId};
use crate::symbols;
use crate::workflow::Symbol;

symbols! {
    /// What stands behind an actor's name.
    pub enum Authority {
        /// A daemon that signed the person in.
        Daemon = "daemon",
        /// Somebody who can open the store's files: the OS user is the actor.
        Embedded = "embedded",
        /// A job of DataBridge itself.
        System = "system",
    }
}

/// One role that a person has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Grant {
    /// The role's name; domains say what it permits.
    pub role: String,
    /// Only in this project; `None` is everywhere in the organisation.
    pub project: Option<String>,
    /// Takes the role away instead: deny wins.
    pub deny: bool,
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The person who is answerable.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// Whose roles are used, if not their own (`--as` on an embedded store).
    pub on_behalf_of: Option<String>,
    /// What stands behind the name.
    pub authority: Authority,
    /// The roles in force.
    pub grants: Vec<Grant>,
    /// What an API key is limited to; `None`: everything that its user may.
    pub scopes: Option<Vec<Scope>>,
    /// The session that asks; `None` for API keys, embedded stores and jobs.
    pub session: Option<uuid::Uuid>,
    /// Those who are away and named this actor as their deputy.
    pub stands_in_for: Vec<Absent>,
}

/// Somebody who is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Who.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// Their roles, which their deputy uses to review, and for nothing else.
    pub grants: Vec<Grant>,
}

/// A part of the interface that an API key reaches, by its paths' first word:
/// `transfers`, or `transfers:read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Scope {
    /// The part; `*` is all of them.
    pub part: String,
    /// Only what changes nothing.
    pub read_only: bool,
}

impl Scope {
    /// Whether it lets through what `other` would.
    pub fn covers(&self, other: &Self) -> bool {
        (self.part == "*" || self.part == other.part) && (!self.read_only || other.read_only)
    }
}

impl TryFrom<String> for Scope {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (part, read_only) = match text.split_once(':') {
            None => (text.as_str(), false),
            Some((part, "read")) => (part, true),
            Some(_) => return Err(format!("the scope {text:?} is neither PART nor PART:read")),
        };
        Ok(Self { part: part.to_owned(), read_only })
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.part, if self.read_only { ":read" } else { "" })
    }
}

/// The API key does not reach this part.
#[derive(Debug, thiserror::Error)]
#[error("this API key is limited to {}, and this takes {needed}", shown(.has))]
pub struct OutOfScope {
    has: Vec<Scope>,
    needed: Scope,
}

fn shown(scopes: &[Scope]) -> String {
    let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    if scopes.is_empty() { "nothing".into() } else { scopes.join(", ") }
}

impl Fault for OutOfScope {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }
    fn code(&self) -> &str {
        "identity.out_of_scope"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(format!("make a key with the scope {}", self.needed).into())
    }
}

/// The first argument of everything that acts or looks.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The organisation; every query is scoped by it.
    pub org: OrgId,
    /// Who.
    pub actor: Actor,
    /// The same key twice is one command.
    pub idempotency: Option<Idempotency>,
    /// The version that the command is bound to: what was looked at (`If-Match`).
    pub expected: Option<Expected>,
}

/// What a command is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    Any,
    /// Just that version.
    Version(i64),
}

/// A caller's name for one request, and what that request was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Chosen by the caller.
    pub key: String,
    /// SHA-256 of the request, so that a key is not used for two.
    pub request: Vec<u8>,
}

/// Not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{username} may not {permission}")]
pub struct Forbidden {
    /// Who asked.
    pub username: String,
    /// What it takes.
    pub permission: &'static str,
    /// Roles that would do.
    pub roles: Vec<String>,
}

impl Fault for Forbidden {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }
    fn code(&self) -> &str {
        "identity.forbidden"
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(format!("ask somebody who is {}", self.roles.join(" or ")).into())
    }
    fn required_roles(&self) -> Vec<String> {
        self.roles.clone()
    }
}

/// The projects that a permission reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every one, these aside.
    AllBut(Vec<String>),
    /// These.
    Only(Vec<String>),
}

/// Which roles a permission takes: a domain's matrix, one row a role.
pub type Matrix<P> = &'static [(&'static str, &'static [P])];

/// Whether these grants give `role` in `project`; `Some(false)` where they deny it.
fn holds(grants: &[Grant], role: &str, project: Option<&str>) -> Option<bool> {
    let covers = |grant: &&Grant| {
        grant.role == role
            && (grant.project.is_none() || project.is_none() || grant.project.as_deref() == project)
    };
    let denied = grants.iter().filter(covers).any(|g| {
        // A denial in one project does not reach a question about any.
        g.deny && (g.project.is_none() || project.is_some())
    });
    if denied {
        return Some(false);
    }
    grants.iter().filter(covers).any(|g| !g.deny).then_some(true)
}

impl Ctx {
    /// Jobs act as nobody in particular.
    pub fn system(org: OrgId) -> Self {
        let actor = Actor {
            user_id: UserId(uuid::Uuid::nil()),
            username: "databridge".into(),
            on_behalf_of: None,
            authority: Authority::System,
            grants: Vec::new(),
            scopes: None,
            session: None,
            stands_in_for: Vec::new(),
        };
        Self { org, actor, idempotency: None, expected: None }
    }

    /// Whether the actor has `role` in `project` (`None`: anywhere at all).
    pub fn has_role(&self, role: &str, project: Option<&str>) -> bool {
        holds(&self.actor.grants, role, project) == Some(true)
    }

    /// Who that is away has `role` in `project`, so that the actor may decide in their
    /// place; nobody where the role is denied to the actor.
    pub fn in_place_of(&self, role: &str, project: &str) -> Vec<&Absent> {
        if holds(&self.actor.grants, role, Some(project)) == Some(false) {
            return Vec::new();
        }
        let has = |away: &&Absent| holds(&away.grants, role, Some(project)) == Some(true);
        self.actor.stands_in_for.iter().filter(has).collect()
    }

    /// Whether the actor's API key, if it is one, reaches this part of the interface.
    ///
    /// # Errors
    /// [`OutOfScope`].
    pub fn within_scope(&self, part: &str, writes: bool) -> Result<(), OutOfScope> {
        let needed = Scope { part: part.to_owned(), read_only: !writes };
        match &self.actor.scopes {
            Some(has) if !has.iter().any(|scope| scope.covers(&needed)) => {
                Err(OutOfScope { has: has.clone(), needed })
            }
            _ => Ok(()),
        }
    }

    /// The roles the actor has in `project`.
    pub fn roles(&self, project: Option<&str>) -> Vec<&str> {
        let mut roles: Vec<&str> = Vec::new();
        for grant in &self.actor.grants {
            if !roles.contains(&grant.role.as_str()) && self.has_role(&grant.role, project) {
                roles.push(&grant.role);
            }
        }
        roles
    }

    /// Whether `matrix` gives the actor `permission` in `project`.
    pub fn may<P: Symbol>(&self, matrix: Matrix<P>, permission: P, project: Option<&str>) -> bool {
        matrix
            .iter()
            .any(|(role, granted)| granted.contains(&permission) && self.has_role(role, project))
    }

    /// In which projects `matrix` gives the actor `permission`.
    pub fn reach<P: Symbol>(&self, matrix: Matrix<P>, permission: P) -> Reach {
        let mut named: Vec<String> =
            self.actor.grants.iter().filter_map(|grant| grant.project.clone()).collect();
        named.sort();
        named.dedup();
        // No project has this name: it stands for all that no grant speaks of.
        if self.may(matrix, permission, Some("\0")) {
            named.retain(|project| !self.may(matrix, permission, Some(project)));
            Reach::AllBut(named)
        } else {
            named.retain(|project| self.may(matrix, permission, Some(project)));
            Reach::Only(named)
        }
    }

    /// As [`Ctx::may`], as a refusal that names the roles that would do.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn require<P: Symbol>(
        &self,
        matrix: Matrix<P>,
        permission: P,
        project: Option<&str>,
    ) -> Result<(), Forbidden> {
        if self.may(matrix, permission, project) {
            return Ok(());
        }
        let roles = matrix
            .iter()
            .filter(|(_, granted)| granted.contains(&permission))
            .map(|(role, _)| (*role).to_owned())
            .collect();
        Err(self.forbidden(permission.name(), roles))
    }

    /// The refusal itself, where the roles that would do are data.
    pub fn forbidden(&self, permission: &'static str, roles: Vec<String>) -> Forbidden {
        let username =
            self.actor.on_behalf_of.clone().unwrap_or_else(|| self.actor.username.clone());
        Forbidden { username, permission, roles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctx(grants: &[(&str, Option<&str>, bool)]) -> Ctx {
        let mut ctx = Ctx::system(OrgId::new());
        ctx.actor.grants = grants
            .iter()
            .map(|(role, project, deny)| Grant {
                role: (*role).into(),
                project: project.map(str::to_owned),
                deny: *deny,
            })
            .collect();
        ctx
    }

    #[test]
    fn a_grant_for_one_project_reaches_no_other() {
        let ctx = ctx(&[("lead", Some("alpha"), false)]);
        assert!(ctx.has_role("lead", Some("alpha")));
        assert!(!ctx.has_role("lead", Some("beta")));
        assert!(ctx.has_role("lead", None));
    }

    #[test]
    fn deny_wins_where_it_reaches() {
        let ctx = ctx(&[("lead", None, false), ("lead", Some("alpha"), true)]);
        assert!(!ctx.has_role("lead", Some("alpha")));
        assert!(ctx.has_role("lead", Some("beta")));
        assert!(ctx.has_role("lead", None));
    }

    #[test]
    fn a_deputy_decides_where_the_absent_may_and_nothing_is_denied_to_them() {
        let lead = |project: Option<&str>| Grant {
            role: "lead".into(),
            project: project.map(str::to_owned),
            deny: false,
        };
        let mut ctx = ctx(&[("lead", Some("beta"), true)]);
        let away = |name: &str, grant| Absent {
            user_id: UserId::new(),
            username: name.into(),
            grants: vec![grant],
        };
        ctx.actor.stands_in_for = vec![away("ann", lead(None)), away("bob", lead(Some("alpha")))];
        let names = |project| -> Vec<String> {
            ctx.in_place_of("lead", project).iter().map(|a| a.username.clone()).collect()
        };
        assert_eq!(names("alpha"), ["ann", "bob"]);
        assert_eq!(names("gamma"), ["ann"]);
        assert!(names("beta").is_empty(), "denied to the deputy");
        assert!(!ctx.has_role("lead", Some("alpha")), "a deputy has no role of it");
    }

    #[test]
    fn scopes_reach_what_they_name_and_no_more() {
        let scope = |text: &str| Scope::try_from(text.to_owned()).ok();
        assert_eq!(scope("transfers:write"), None);
        let mut ctx = ctx(&[]);
        assert!(ctx.within_scope("users", true).is_ok(), "no key, no limits");
        ctx.actor.scopes =
            Some([scope("transfers"), scope("lots:read")].into_iter().flatten().collect());
        for (part, writes, may) in [
            ("transfers", true, true),
            ("transfers", false, true),
            ("lots", false, true),
            ("lots", true, false),
            ("users", false, false),
        ] {
            assert_eq!(ctx.within_scope(part, writes).is_ok(), may, "{part} {writes}");
        }
        ctx.actor.scopes = Some(scope("*:read").into_iter().collect());
        assert!(
            ctx.within_scope("users", false).is_ok() && ctx.within_scope("users", true).is_err()
        );
        ctx.actor.scopes = Some(Vec::new());
        assert!(ctx.within_scope("users", false).is_err());
    }
}
