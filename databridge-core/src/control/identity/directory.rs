//! A directory (LDAP, Active Directory) that knows the people and their groups.
//!
//! It is asked who somebody is, whether a password is theirs, and which groups they are
//! in; which roles that gives is a table of ours. Without the feature `ldap` a
//! configured directory is an error, never a silent fallback.

#[cfg(feature = "ldap")]
mod ldap;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::base::error::Error as AnyError;

/// What nested groups count for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// Only groups that name the person.
    #[default]
    Off,
    /// Also groups of such groups, asked for one by one: any server.
    Walk,
    /// The same in one question: Active Directory's matching rule in a chain.
    Rule,
}

/// What holds while no server of the directory answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenDown {
    /// Its people cannot sign in; local accounts can.
    #[default]
    Refuse,
    /// Those of its people to whom an admin has given a local password may use it.
    Local,
}

/// A group and what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRole {
    /// The group's DN.
    pub group: String,
    /// The role.
    pub role: String,
    /// Only in this project.
    #[serde(default)]
    pub project: Option<String>,
}

/// Where it is and how it is asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `ldaps://host` or `ldap://host`, asked in order; none: there is no directory.
    pub servers: Vec<String>,
    /// Begins TLS on `ldap://` before anything is said.
    pub start_tls: bool,
    /// Lets `ldap://` be without TLS, passwords and all: for loopback.
    pub allow_plaintext: bool,
    /// Who may vouch for the servers (PEM); else whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Who looks people up.
    pub bind_dn: Option<String>,
    /// The password to it. Never written out.
    #[serde(skip_serializing)]
    pub bind_password: Option<String>,
    /// A file that holds the password instead, and nothing else.
    pub bind_password_file: Option<PathBuf>,
    /// A person's DN with `{username}` in it, where people bind without being looked up.
    pub user_dn: Option<String>,
    /// Below where people are looked up.
    pub user_base: Option<String>,
    /// Which entry is a person's; `{username}` is what they typed, escaped.
    pub user_filter: String,
    /// Below where groups are looked up; without it only the person's `memberOf` counts.
    pub group_base: Option<String>,
    /// Which groups name `{dn}` (or `{username}`).
    pub group_filter: String,
    /// Groups of groups.
    pub nested: Nested,
    /// What groups give. Who is in none of them is not let in.
    pub roles: Vec<GroupRole>,
    /// The attribute with the name that people read.
    pub name_attribute: String,
    /// The attribute with the address.
    pub mail_attribute: String,
    /// How long one server may take to answer, in seconds.
    pub timeout_seconds: u64,
    /// What holds while none answers.
    pub when_down: WhenDown,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            start_tls: false,
            allow_plaintext: false,
            ca_file: None,
            bind_dn: None,
            bind_password: None,
            bind_password_file: None,
            user_dn: None,
            user_base: None,
            user_filter: "(uid={username})".into(),
            group_base: None,
            group_filter: "(member={dn})".into(),
            nested: Nested::Off,
            roles: Vec::new(),
            name_attribute: "cn".into(),
            mail_attribute: "mail".into(),
            timeout_seconds: 5,
            when_down: WhenDown::Refuse,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("bind_dn", &self.bind_dn)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// What cannot work; `known_roles` are those of all domains.
    ///
    /// # Errors
    /// The setting and why.
    pub fn check(&self, known_roles: &[&str]) -> Result<(), (&'static str, String)> {
        let bad = |setting, reason: &str| Err((setting, reason.to_owned()));
        if self.servers.is_empty() {
            return Ok(());
        }
        for server in &self.servers {
            if !server.starts_with("ldap://") && !server.starts_with("ldaps://") {
                return bad("directory.servers", &format!("{server:?} is no ldap(s):// URL"));
            }
            if server.contains('@') {
                return bad("directory.servers", "they may hold no credentials");
            }
            if server.starts_with("ldap://") && !self.start_tls && !self.allow_plaintext {
                return bad(
                    "directory.servers",
                    "passwords would go in clear: ldaps:// or start_tls",
                );
            }
        }
        if self.user_dn.is_none() && (self.user_base.is_none() || self.bind_dn.is_none()) {
            return bad("directory.user_dn", "either it, or bind_dn and user_base");
        }
        if self.user_dn.as_ref().is_some_and(|dn| !dn.contains("{username}")) {
            return bad("directory.user_dn", "it has no {username}");
        }
        if !self.user_filter.contains("{username}") {
            return bad(
                "directory.user_filter",
                "it has no {username}: everybody would be anybody",
            );
        }
        if self.bind_password.is_some() && self.bind_password_file.is_some() {
            return bad("directory.bind_password", "either it or bind_password_file");
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            return bad("directory.timeout_seconds", "1 to 60");
        }
        for role in &self.roles {
            if !known_roles.contains(&role.role.as_str()) {
                return bad("directory.roles", &format!("there is no role {:?}", role.role));
            }
        }
        if self.roles.is_empty() {
            return bad("directory.roles", "without any nobody is let in");
        }
        Ok(())
    }

    #[cfg(feature = "ldap")]
    fn secret(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.bind_password_file else { return Ok(self.bind_password.clone()) };
        let text = std::fs::read_to_string(file)
            .map_err(|e| format!("bind_password_file {} cannot be read: {e}", file.display()))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// What membership in these groups gives, in order and each once.
    #[cfg(any(feature = "ldap", test))]
    fn roles_of(&self, groups: &[String]) -> Vec<(String, Option<String>)> {
        let mut roles: Vec<_> = self
            .roles
            .iter()
            .filter(|role| groups.contains(&same_dn(&role.group)))
            .map(|role| (role.role.clone(), role.project.clone()))
            .collect();
        roles.sort();
        roles.dedup();
        roles
    }
}

/// A DN as we compare it: case and the spaces around separators say nothing
/// (RFC 4514, and the attributes of names and groups ignore case).
#[cfg(any(feature = "ldap", test))]
fn same_dn(dn: &str) -> String {
    let mut out = String::with_capacity(dn.len());
    let (mut escaped, mut begins) = (false, true);
    for c in dn.trim().chars() {
        if !escaped && matches!(c, ',' | '=' | '+') {
            let bare = out.trim_end_matches(' ').len();
            // A space that is escaped belongs to the value.
            let kept = bare + usize::from(out[..bare].ends_with('\\') && out.len() > bare);
            out.truncate(kept);
            out.push(c);
            begins = true;
        } else if c != ' ' || escaped || !begins {
            out.extend(c.to_lowercase());
            begins = false;
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// Somebody whom the directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub dn: String,
    pub display_name: String,
    pub mail: Option<String>,
    /// What their groups give: role and project.
    pub roles: Vec<(String, Option<String>)>,
}

/// What a look at somebody who is signed in came to.
pub(super) enum Looked {
    /// Nobody may look, or there is nothing to look at.
    Unchanged,
    /// There is no such person any more, or no role for them.
    #[cfg_attr(not(feature = "ldap"), allow(dead_code))]
    Gone,
    /// As they are now.
    #[cfg_attr(not(feature = "ldap"), allow(dead_code))]
    Found(Person),
}

/// An open directory. Cheap to clone: it connects anew each time.
#[derive(Clone)]
pub struct Directory {
    settings: Arc<Settings>,
    #[cfg(feature = "ldap")]
    client: ldap::Client,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directory").field(&self.settings).finish()
    }
}

impl Directory {
    /// The configured one, if there is one. No server is asked yet.
    ///
    /// # Errors
    /// [`Error::Directory`] where its files cannot be read, or this build knows none.
    pub fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        if settings.servers.is_empty() {
            return Ok(None);
        }
        let settings = Arc::new(settings.clone());
        #[cfg(feature = "ldap")]
        {
            let client = ldap::Client::open(settings.clone()).map_err(Error::Directory)?;
            Ok(Some(Self { settings, client }))
        }
        #[cfg(not(feature = "ldap"))]
        {
            let _ = settings;
            Err(Error::Directory("this build knows no directories (feature ldap)".into()))
        }
    }

    pub(super) fn when_down(&self) -> WhenDown {
        self.settings.when_down
    }

    /// Who this is, if the password is theirs and some group of theirs gives a role.
    ///
    /// # Errors
    /// [`Error::Directory`] where no server answers.
    #[cfg(feature = "ldap")]
    pub(super) async fn authenticate(
        &self,
        username: &str,
        password: &str,
    ) -> Result<Option<Person>, AnyError> {
        Ok(self.client.person(username, Some(password)).await.map_err(Error::Directory)?)
    }

    /// Who this is by now; only where there is an account to look by.
    ///
    /// # Errors
    /// [`Error::Directory`] where no server answers.
    #[cfg(feature = "ldap")]
    pub(super) async fn look_up(&self, username: &str) -> Result<Looked, AnyError> {
        if self.settings.bind_dn.is_none() || self.settings.user_base.is_none() {
            return Ok(Looked::Unchanged);
        }
        match self.client.person(username, None).await {
            Ok(Some(person)) => Ok(Looked::Found(person)),
            Ok(None) => Ok(Looked::Gone),
            Err(down) => Err(Error::Directory(down).into()),
        }
    }

    #[cfg(not(feature = "ldap"))]
    #[allow(clippy::unused_async)]
    pub(super) async fn authenticate(&self, _: &str, _: &str) -> Result<Option<Person>, AnyError> {
        Ok(None)
    }

    #[cfg(not(feature = "ldap"))]
    #[allow(clippy::unused_async)]
    pub(super) async fn look_up(&self, _: &str) -> Result<Looked, AnyError> {
        Ok(Looked::Unchanged)
    }

    /// The file with those who vouch for its servers.
    pub fn ca_file(&self) -> Option<&Path> {
        self.settings.ca_file.as_deref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings() -> Settings {
        Settings {
            servers: vec!["ldaps://dc1.studio".into()],
            user_dn: Some("uid={username},ou=people,dc=studio".into()),
            roles: vec![
                GroupRole {
                    group: "CN=Leads, OU=Groups, DC=Studio".into(),
                    role: "team_lead".into(),
                    project: None,
                },
                GroupRole {
                    group: "cn=film,ou=groups,dc=studio".into(),
                    role: "artist".into(),
                    project: Some("film".into()),
                },
            ],
            ..Settings::default()
        }
    }

    #[test]
    fn groups_are_compared_as_dns_are() {
        let groups = vec![same_dn("cn=leads,ou=groups,dc=studio"), same_dn("cn=other,dc=studio")];
        assert_eq!(settings().roles_of(&groups), [("team_lead".to_owned(), None)]);
        assert_eq!(same_dn("CN = A\\, B , DC=x"), "cn=a\\, b,dc=x");
        assert_ne!(same_dn("cn=a b,dc=x"), same_dn("cn=ab,dc=x"));
        assert_eq!(same_dn("cn=a\\  ,dc=x"), "cn=a\\ ,dc=x");
    }

    #[test]
    fn what_would_let_anybody_in_or_tell_passwords_is_refused() {
        let known = ["team_lead", "artist"];
        settings().check(&known).unwrap();
        let bad: [fn(&mut Settings); 7] = [
            |s| s.servers = vec!["ldap://dc1.studio".into()],
            |s| s.servers = vec!["http://dc1.studio".into()],
            |s| s.servers = vec!["ldaps://me:secret@dc1.studio".into()],
            |s| s.user_dn = Some("uid=admin,dc=studio".into()),
            |s| s.user_filter = "(objectClass=person)".into(),
            |s| s.roles.clear(),
            |s| s.roles[0].role = "janitor".into(),
        ];
        for (index, spoil) in bad.into_iter().enumerate() {
            let mut settings = settings();
            spoil(&mut settings);
            assert!(settings.check(&known).is_err(), "{index}");
        }
        let mut plain = settings();
        plain.servers = vec!["ldap://127.0.0.1".into()];
        plain.allow_plaintext = true;
        plain.check(&known).unwrap();
    }

    #[test]
    fn its_password_is_shown_to_nobody() {
        let settings = Settings { bind_password: Some("hunter2".into()), ..settings() };
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
