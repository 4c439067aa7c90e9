//! `databridge where …`

use databridge_core::app::Call;
use databridge_core::app::call::{PathTranslate, Where as Asked};
use databridge_core::domains::transfer::{Meta, Metadata};
use databridge_core::media::mounts::System;
use databridge_core::workflow::Symbol;

use super::Outcome;
use super::backend::Backend;
use super::error::usage;
use super::view::{Show, text};

#[derive(Debug, clap::Args)]
pub struct Where {
    /// TRF-00042; with --from a path.
    #[arg(value_name = "CODE|PATH")]
    what: String,
    /// Who is to be told: linux, windows or macos; this computer where it is left out.
    #[arg(long = "for", value_name = "SYSTEM", value_parser = system)]
    to: Option<System>,
    /// Whose path it is.
    #[arg(long, value_name = "SYSTEM", value_parser = system)]
    from: Option<System>,
    /// The frozen files in staging instead of the delivery.
    #[arg(long, conflicts_with = "from")]
    staging: bool,
}

fn system(name: &str) -> Result<System, String> {
    System::parse(name).ok_or_else(|| "linux, windows or macos".into())
}

impl Where {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let to = self.to.unwrap_or(System::here());
        if let Some(from) = self.from {
            let call = Call::PathTranslate(PathTranslate { path: self.what, from, to });
            let found = on.call(call)?;
            show.document(&found);
            show.line(text(&found["path"]));
            return Ok(0);
        }
        let found = on.call(Call::TransferWhere(Asked { code: self.what, system: to }))?;
        show.document(&found);
        let place = if self.staging { &found["staging"] } else { &found["production"] };
        let Some(path) = place.as_str() else {
            return Err(usage(
                format!(
                    "{} has no files in staging that {to} has a name for",
                    text(&found["code"])
                ),
                "they are there once it was submitted; and staging must be among the mounts",
            ));
        };
        show.line(path);
        if found["state"] != "delivered" && !self.staging {
            show.aside(format!("{} is {}", text(&found["code"]), text(&found["state"])));
        }
        Ok(0)
    }
}

/// `NAME=VALUE`, of a transfer's metadata.
pub fn meta(text: &str) -> Result<(String, Meta), String> {
    let (name, value) = text.split_once('=').ok_or("it is written NAME=VALUE")?;
    Ok((name.to_owned(), Meta::Text(value.to_owned())))
}

/// Each name once.
pub fn metadata(given: Vec<(String, Meta)>) -> Result<Metadata, databridge_core::Error> {
    let mut metadata = Metadata::new();
    for (name, value) in given {
        if metadata.insert(name.clone(), value).is_some() {
            return Err(usage(format!("--meta {name} is given twice"), "give each field once"));
        }
    }
    Ok(metadata)
}
