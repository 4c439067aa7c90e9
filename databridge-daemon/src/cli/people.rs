//! `databridge user …`, `databridge away …`, `databridge chain …`

use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::Error;
use databridge_core::app::Call;
use databridge_core::base::clock::Timestamp;
use databridge_core::control::identity::{NewAbsence, NewUser, RoleChange};
use databridge_core::domains::transfer::{NewChain, Stage};
use serde_json::Value;

use super::Outcome;
use super::backend::Backend;
use super::error::{io, usage};
use super::view::{Show, text};

/// Where a password comes from: never from an argument, which others can see.
#[derive(Debug, clap::Args)]
pub struct Secret {
    /// Read the password from this file, or from standard input by `-`.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Secret {
    /// In a file, or on standard input.
    pub(super) fn in_file(path: PathBuf) -> Self {
        Self { password_file: Some(path) }
    }

    /// Whether somebody is there to be asked.
    pub(super) fn asks(&self) -> bool {
        self.password_file.is_none()
    }

    pub(super) fn read(&self, prompt: &str) -> Result<String, Error> {
        let Some(path) = &self.password_file else {
            return rpassword::prompt_password(prompt).map_err(|_| {
                usage(
                    "there is no terminal to ask for a password on",
                    "give it by --password-file FILE, or on standard input by `-`",
                )
            });
        };
        let mut secret = String::new();
        if path.as_os_str() == "-" {
            std::io::stdin()
                .read_to_string(&mut secret)
                .map_err(|e| io("read", "standard input", e))?;
        } else {
            secret = std::fs::read_to_string(path).map_err(|e| io("read", path, e))?;
        }
        Ok(secret.trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Makes somebody known.
    Create {
        /// How they sign in.
        username: String,
        /// Their roles, in every project.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// What people read.
        #[arg(long)]
        name: Option<String>,
        /// Where mail goes.
        #[arg(long)]
        email: Option<String>,
        /// Without a password: signs in by API key only.
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        /// An account for programs: it signs in by API key only, for ever.
        #[arg(long, conflicts_with = "password_file")]
        service: bool,
        /// Read a bcrypt or argon2 hash taken over from elsewhere, instead of a password.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "service"])]
        password_hash_file: Option<PathBuf>,
        #[command(flatten)]
        password: Secret,
    },
    /// Everybody.
    List,
    /// Somebody, with every grant and its term.
    Show {
        /// Whom.
        username: String,
    },
    /// Gives a role, or takes it.
    Role {
        /// Whose.
        username: String,
        /// Which.
        role: String,
        /// Only in this project.
        #[arg(long)]
        project: Option<String>,
        /// Take it away.
        #[arg(long)]
        remove: bool,
        /// Forbid it instead, whatever else gives it.
        #[arg(long)]
        deny: bool,
        /// From when it holds (RFC 3339); from now on where it is not said.
        #[arg(long)]
        from: Option<String>,
        /// Until when it holds (RFC 3339).
        #[arg(long)]
        until: Option<String>,
    },
    /// Sets somebody's password.
    Password {
        /// Whose.
        username: String,
        #[command(flatten)]
        password: Secret,
    },
    /// Lets somebody in again.
    Activate {
        /// Whom.
        username: String,
    },
    /// Shuts somebody out at once; their keys are dead for good.
    Deactivate {
        /// Whom.
        username: String,
    },
    /// Lets somebody try again whom too many failures locked out.
    Unlock {
        /// Whom.
        username: String,
    },
}

/// What has no answer but that it is done.
pub(super) fn done(show: &Show, what: impl AsRef<str>) -> Outcome {
    show.document(&serde_json::json!({ "ok": true }));
    show.line(what);
    Ok(0)
}

pub(super) fn timestamp(text: Option<String>) -> Result<Option<Timestamp>, Error> {
    text.map(|t| {
        t.parse()
            .map_err(|_| usage(format!("{t:?} is no time"), "write it as 2026-12-31T18:00:00Z"))
    })
    .transpose()
}

impl User {
    /// Whether it may be what a new store begins with.
    pub fn makes_a_store(&self) -> bool {
        matches!(self, Self::Create { .. })
    }

    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let answer = match self {
            Self::Create {
                username,
                roles,
                name,
                email,
                no_password,
                service,
                password_hash_file,
                password,
            } => {
                let password_hash =
                    password_hash_file.map(|file| Secret::in_file(file).read("")).transpose()?;
                let password = match no_password || service || password_hash.is_some() {
                    true => None,
                    false => Some(password.read(&format!("password for {username}: "))?),
                };
                on.call(Call::UserCreate(NewUser {
                    username,
                    display_name: name,
                    email,
                    roles,
                    password,
                    password_hash,
                    service,
                }))?
            }
            Self::List => {
                let users = on.call(Call::UserList {})?;
                users.as_array().into_iter().flatten().for_each(|u| person(show, u));
                show.document(&users);
                return Ok(0);
            }
            Self::Show { username } => {
                let user = on.call(Call::UserShow { username })?;
                person(show, &user);
                user["terms"].as_array().into_iter().flatten().for_each(|g| term(show, g));
                show.document(&user);
                return Ok(0);
            }
            Self::Role { username, role, project, remove, deny, from, until } => {
                let (from, until, granted) = (timestamp(from)?, timestamp(until)?, !remove);
                let change = RoleChange { username, role, project, granted, deny, from, until };
                on.call(Call::UserRole(change))?
            }
            Self::Password { username, password } => {
                let new_password = password.read(&format!("new password for {username}: "))?;
                let name = username.clone();
                on.call(Call::UserPassword { username, new_password })?;
                return done(show, format!("{name} has a new password, and no session any more"));
            }
            Self::Unlock { username } => {
                let name = username.clone();
                on.call(Call::UserUnlock { username })?;
                return done(show, format!("{name} may try again"));
            }
            Self::Activate { username } => on.call(Call::UserActive { username, active: true })?,
            Self::Deactivate { username } => {
                on.call(Call::UserActive { username, active: false })?
            }
        };
        person(show, &answer);
        show.document(&answer);
        Ok(0)
    }
}

fn person(show: &Show, user: &Value) {
    let roles: Vec<String> = user["grants"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|g| {
            let deny = if g["deny"] == true { "not " } else { "" };
            let project = g["project"].as_str().map(|p| format!("@{p}")).unwrap_or_default();
            format!("{deny}{}{project}", text(&g["role"]))
        })
        .collect();
    let active = if user["active"] == true { "" } else { "  (deactivated)" };
    show.line(format!("{:<20} {}{active}", text(&user["username"]), roles.join(", ")));
}

/// A grant on a line: whether it holds, and from when until when.
fn term(show: &Show, granted: &Value) {
    let project = granted["project"].as_str().map(|p| format!("@{p}")).unwrap_or_default();
    let of = |name: &str, word: &str| {
        granted[name].as_str().map(|at| format!(" {word} {at}")).unwrap_or_default()
    };
    show.line(format!(
        "  {:<8} {:<5} {}{project}{}{}",
        if granted["in_force"] == true { "holds" } else { "not now" },
        if granted["deny"] == true { "deny" } else { "allow" },
        text(&granted["role"]),
        of("from", "from"),
        of("until", "until"),
    ));
}

#[derive(Debug, Subcommand)]
pub enum Away {
    /// Somebody else decides on approvals for a time.
    Set {
        /// Who decides meanwhile.
        deputy: String,
        /// Until when (RFC 3339), at most a year.
        #[arg(long)]
        until: String,
        /// From when (RFC 3339); from now on where it is not said.
        #[arg(long)]
        from: Option<String>,
        /// Who is away, if not yourself (who manages users).
        #[arg(long)]
        user: Option<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Who is or will be away.
    List,
    /// Ends an absence.
    End {
        /// Which, by its id.
        id: uuid::Uuid,
    },
}

impl Away {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let answer = match self {
            Self::Set { deputy, until, from, user, reason } => {
                let Some(until) = timestamp(Some(until))? else { return Ok(2) };
                let from = timestamp(from)?;
                let new = NewAbsence { username: user, deputy, from, until, reason };
                Value::Array(vec![on.call(Call::AbsenceSet(new))?])
            }
            Self::List => on.call(Call::AbsenceList {})?,
            Self::End { id } => {
                on.call(Call::AbsenceEnd { id })?;
                return done(show, "back: nobody stands in any more");
            }
        };
        for absence in answer.as_array().into_iter().flatten() {
            show.line(format!(
                "{}  {:<16} {} to {}  deputy {}",
                text(&absence["id"]),
                text(&absence["username"]),
                text(&absence["begins_at"]),
                text(&absence["ends_at"]),
                text(&absence["deputy"]),
            ));
        }
        show.document(&answer);
        Ok(0)
    }
}

#[derive(Debug, Subcommand)]
pub enum Chain {
    /// Defines a chain, or its next version.
    Define {
        /// What to call it.
        name: String,
        /// Its stages in order: ROLE, or KEY=ROLE.
        #[arg(required = true, value_name = "STAGE")]
        stages: Vec<String>,
    },
    /// Every version of every chain.
    List,
}

impl Chain {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let answer = match self {
            Self::Define { name, stages } => {
                let stages = stages
                    .iter()
                    .map(|stage| {
                        let (key, role) = stage.split_once('=').unwrap_or((stage, stage));
                        Stage { key: key.to_owned(), role: role.to_owned() }
                    })
                    .collect();
                Value::Array(vec![on.call(Call::ChainDefine(NewChain { name, stages }))?])
            }
            Self::List => on.call(Call::ChainList {})?,
        };
        for chain in answer.as_array().into_iter().flatten() {
            let stages: Vec<_> =
                chain["stages"].as_array().into_iter().flatten().map(|s| text(&s["key"])).collect();
            show.line(format!(
                "{:<16} v{:<3} {}",
                text(&chain["name"]),
                chain["version"],
                stages.join(" → ")
            ));
        }
        show.document(&answer);
        Ok(0)
    }
}
