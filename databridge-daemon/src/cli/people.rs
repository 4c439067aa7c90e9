//! `databridge user …`, `databridge token …`, `databridge chain …`

use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::Error;
use databridge_core::app::Call;
use databridge_core::base::clock::Timestamp;
use databridge_core::control::identity::{NewUser, RoleChange};
use databridge_core::domains::transfer::{NewChain, Stage};
use databridge_core::remote::Remote;
use serde_json::Value;

use super::backend::{Backend, Tokens};
use super::error::{io, usage};
use super::view::{Show, text};
use super::{Global, Outcome};

/// Where a password comes from: never from an argument, which others can see.
#[derive(Debug, clap::Args)]
pub struct Secret {
    /// Read the password from this file, or from standard input by `-`.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Secret {
    fn read(&self, prompt: &str) -> Result<String, Error> {
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
        #[command(flatten)]
        password: Secret,
    },
    /// Everybody.
    List,
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
    /// Shuts somebody out at once.
    Deactivate {
        /// Whom.
        username: String,
    },
}

/// What has no answer but that it is done.
fn done(show: &Show, what: impl AsRef<str>) -> Outcome {
    show.document(&serde_json::json!({ "ok": true }));
    show.line(what);
    Ok(0)
}

fn timestamp(text: Option<String>) -> Result<Option<Timestamp>, Error> {
    text.map(|t| {
        t.parse()
            .map_err(|_| usage(format!("{t:?} is no time"), "write it as 2026-12-31T18:00:00Z"))
    })
    .transpose()
}

impl User {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let answer = match self {
            Self::Create { username, roles, name, email, no_password, password } => {
                let password = match no_password {
                    true => None,
                    false => Some(password.read(&format!("password for {username}: "))?),
                };
                on.call(Call::UserCreate(NewUser {
                    username,
                    display_name: name,
                    email,
                    roles,
                    password,
                }))?
            }
            Self::List => {
                let users = on.call(Call::UserList {})?;
                users.as_array().into_iter().flatten().for_each(|u| person(show, u));
                show.document(&users);
                return Ok(0);
            }
            Self::Role { username, role, project, remove, deny, until } => {
                let until = timestamp(until)?;
                let change = RoleChange { username, role, project, granted: !remove, deny, until };
                on.call(Call::UserRole(change))?
            }
            Self::Password { username, password } => {
                let new_password = password.read(&format!("new password for {username}: "))?;
                let name = username.clone();
                on.call(Call::UserPassword { username, new_password })?;
                return done(show, format!("{name} has a new password, and no session any more"));
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

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Signs in at a daemon and stores the token.
    Login {
        /// Who.
        username: String,
        #[command(flatten)]
        password: Secret,
        /// Choose a new password, read from this file or standard input (`-`).
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Ends every session of yours at a daemon and forgets the token.
    Logout,
    /// Makes an API key and prints it, once.
    Create {
        /// What to call it.
        name: String,
        /// For somebody else (who manages users).
        #[arg(long)]
        user: Option<String>,
        /// Until when it holds (RFC 3339).
        #[arg(long)]
        until: Option<String>,
    },
    /// API keys, without their secrets.
    List {
        /// Of somebody else (who manages users).
        #[arg(long)]
        user: Option<String>,
    },
    /// Ends an API key.
    Revoke {
        /// Which.
        name: String,
        /// Of somebody else (who manages users).
        #[arg(long)]
        user: Option<String>,
    },
}

impl Token {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        match self {
            Self::Login { username, password, new_password_file } => {
                login(global, show, &username, &password, new_password_file)
            }
            Self::Logout => {
                Backend::open(global)?.call(Call::Logout {})?;
                let mut tokens = Tokens::load()?;
                tokens.0.remove(global.server.as_deref().unwrap_or_default().trim_end_matches('/'));
                tokens.save()?;
                done(show, "signed out everywhere")
            }
            Self::Create { name, user, until } => {
                let expires_at = timestamp(until)?;
                let call = Call::KeyCreate { name, username: user, expires_at };
                let key = Backend::open(global)?.call(call)?;
                show.line(text(&key["secret"]));
                show.document(&key);
                Ok(0)
            }
            Self::List { user } => {
                let keys = Backend::open(global)?.call(Call::KeyList { username: user })?;
                for key in keys.as_array().into_iter().flatten() {
                    let ended = if key["revoked_at"].is_null() { "" } else { "  (ended)" };
                    show.line(format!("{}{ended}", text(&key["name"])));
                }
                show.document(&keys);
                Ok(0)
            }
            Self::Revoke { name, user } => {
                let ended = format!("{name} is no key any more");
                Backend::open(global)?.call(Call::KeyRevoke { name, username: user })?;
                done(show, ended)
            }
        }
    }
}

fn login(
    global: &Global,
    show: &Show,
    username: &str,
    password: &Secret,
    new_password_file: Option<PathBuf>,
) -> Outcome {
    let Some(server) = &global.server else {
        return Err(usage("signing in is for daemons", "say --server URL"));
    };
    let remote = Remote::new(server, None);
    let secret = password.read("password: ")?;
    let from_file = new_password_file.map(|file| Secret { password_file: Some(file) });
    let new = from_file.map(|p| p.read("")).transpose()?;
    let session = match remote.login(username, &secret, new.as_deref()) {
        Err(error)
            if databridge_core::Fault::code(&error) == "identity.must_change_password"
                && password.password_file.is_none() =>
        {
            let new = rpassword::prompt_password("this password must be changed; new password: ")
                .map_err(|e| io("ask on", "the terminal", e))?;
            remote.login(username, &secret, Some(&new))?
        }
        other => other?,
    };
    let mut tokens = Tokens::load()?;
    tokens.0.insert(server.trim_end_matches('/').to_owned(), session.access_token.clone());
    tokens.save()?;
    show.line(format!("signed in as {} until {}", session.username, session.expires_at));
    show.document(&serde_json::json!({
        "username": session.username, "roles": session.roles, "expires_at": session.expires_at,
    }));
    Ok(0)
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
