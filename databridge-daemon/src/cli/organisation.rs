//! `databridge organisation …` and `databridge init`: what only who has a store's files
//! does.

use clap::Subcommand;
use databridge_core::app::Call;
use databridge_core::control::identity::NewOrganisation;

use super::backend::Backend;
use super::error::usage;
use super::view::{Show, text};
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub enum Organisation {
    /// Makes one beside the store's own, with an admin, and prints that admin's API key,
    /// once. Its people sign in by keys.
    Create {
        /// Its short name: a-z, 0-9, dot, underscore, hyphen.
        code: String,
        /// What people read.
        #[arg(long)]
        name: Option<String>,
    },
}

impl Organisation {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        match self {
            Self::Create { code, name } => {
                let made = on.call(Call::OrganisationCreate(NewOrganisation { code, name }))?;
                show.document(&made);
                show.line(text(&made["api_key"]));
                show.aside(format!(
                    "the key of {}, admin of {}",
                    text(&made["admin"]),
                    text(&made["code"])
                ));
            }
        }
        Ok(0)
    }
}

/// Makes a local store where there is none, and tells its first admin's password.
pub fn init(global: &Global, show: &Show) -> Outcome {
    if let Some(server) = &global.server {
        return Err(usage(
            format!("a store is made on its own host, not at {server}"),
            "leave --server and DATABRIDGE_SERVER out, and say --data DIR",
        ));
    }
    let is_new = !super::doctor::load(global)?.has_store();
    Backend::open_or_make(global)?;
    show.document(&serde_json::json!({ "made": is_new }));
    show.line(if is_new { "the store is made" } else { "the store is there already" });
    Ok(0)
}
