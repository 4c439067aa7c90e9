//! `databridge login`, `databridge logout`, `databridge token …`

use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::app::{Call, call};
use databridge_core::control::ctx::Scope;
use databridge_core::control::identity::KeyRequest;
use databridge_core::remote::Remote;

use super::backend::{Backend, Tokens};
use super::error::{io, usage};
use super::people::{Secret, done, timestamp};
use super::view::{Show, text};
use super::{Global, Outcome};

const SCOPES: &str = "a scope is a part of the interface, as `transfers`, or `transfers:read`";

#[derive(Debug, Subcommand)]
pub enum Token {
    /// The same as `databridge login`.
    Login(Login),
    /// The same as `databridge logout`.
    Logout(Logout),
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
        /// What it reaches: `transfers`, `lots:read`, `*:read`, …; several times for
        /// several. Without it all that its user may.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
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
            Self::Login(login) => login.run(global, show),
            Self::Logout(logout) => logout.run(global, show),
            Self::Create { name, user, until, scopes } => {
                let expires_at = timestamp(until)?;
                let scope = |text: String| Scope::try_from(text).map_err(|e| usage(e, SCOPES));
                let scopes: Vec<Scope> = scopes.into_iter().map(scope).collect::<Result<_, _>>()?;
                let scopes = (!scopes.is_empty()).then_some(scopes);
                let wish = KeyRequest { name, username: user, expires_at, scopes };
                let key = Backend::open(global)?.call(Call::KeyCreate(wish))?;
                show.line(text(&key["secret"]));
                show.document(&key);
                Ok(0)
            }
            Self::List { user } => {
                let keys = Backend::open(global)?.call(Call::KeyList { username: user })?;
                for key in keys.as_array().into_iter().flatten() {
                    let ended = if key["revoked_at"].is_null() { "" } else { "  (ended)" };
                    let used = key["last_used_at"].as_str().unwrap_or("never");
                    let scopes: Vec<&str> =
                        key["scopes"].as_array().into_iter().flatten().map(text).collect();
                    let scopes =
                        if scopes.is_empty() { "everything".into() } else { scopes.join(",") };
                    show.line(format!(
                        "{:<24} {scopes}, last used {used}{ended}",
                        text(&key["name"])
                    ));
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

/// Signing in at a daemon.
#[derive(Debug, clap::Args)]
pub struct Login {
    /// Who.
    username: String,
    #[command(flatten)]
    password: Secret,
    /// Choose a new password, read from this file or standard input (`-`).
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl Login {
    /// Signs in and stores the session, which later commands renew.
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let Some(server) = &global.server else {
            return Err(usage("signing in is for daemons", "say --server URL"));
        };
        let remote = Remote::new(server, None);
        let secret = self.password.read("password: ")?;
        let from_file = self.new_password_file.map(Secret::in_file);
        let new = from_file.map(|p| p.read("")).transpose()?;
        let session = match remote.login(&self.username, &secret, new.as_deref()) {
            Err(error)
                if databridge_core::Fault::code(&error) == "identity.must_change_password"
                    && self.password.asks() =>
            {
                let prompt = "this password must be changed; new password: ";
                let new = rpassword::prompt_password(prompt)
                    .map_err(|e| io("ask on", "the terminal", e))?;
                remote.login(&self.username, &secret, Some(&new))?
            }
            other => other?,
        };
        show.line(format!("signed in as {} until {}", session.username, session.refresh_until));
        show.document(&serde_json::json!({
            "username": session.username, "roles": session.roles,
            "expires_at": session.expires_at, "refresh_until": session.refresh_until,
        }));
        Tokens::change(|tokens| tokens.put(server, session))?;
        Ok(0)
    }
}

/// Signing out at a daemon.
#[derive(Debug, clap::Args)]
pub struct Logout {
    /// End every session of yours, and not only this one.
    #[arg(long)]
    everywhere: bool,
}

impl Logout {
    /// Ends the session, or all of the caller's, and forgets the stored one.
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let Some(server) = &global.server else {
            return Err(usage("signing out is for daemons", "say --server URL"));
        };
        let of = call::Logout { everywhere: Some(self.everywhere) };
        Backend::open(global)?.call(Call::Logout(of))?;
        Tokens::change(|tokens| tokens.forget(server))?;
        done(show, if self.everywhere { "signed out everywhere" } else { "signed out" })
    }
}
