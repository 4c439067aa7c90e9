//! `databridge backup` and `databridge restore`.

use std::path::PathBuf;

use databridge_core::app::backup::{self, Wish};
use tokio::runtime::Runtime;

use super::doctor::load;
use super::error::{io, usage};
use super::view::{Show, size};
use super::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The folder to make; with --keep the folder of dated backups to make it in.
    dest: PathBuf,
    /// Leaves the secret keys out, and the configuration's file, for who backs them up apart.
    #[arg(long)]
    without_keys: bool,
    /// Names it by the time, and then removes all but the newest so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
}

#[derive(Debug, clap::Args)]
pub struct Restore {
    /// A folder that `databridge backup` made.
    src: PathBuf,
    /// Lays aside what is there.
    #[arg(long, conflicts_with = "check")]
    replace: bool,
    /// Only reads the backup and says whether it is what it was.
    #[arg(long)]
    check: bool,
}

fn local(global: &Global) -> Result<Runtime, databridge_core::Error> {
    // The environment may name a daemon for all other commands.
    if global.data.is_none() && global.config.is_none() {
        return Err(usage("no store is named", "say --data DIR or --config FILE"));
    }
    Runtime::new().map_err(|e| io("start", "the runtime", e))
}

impl Backup {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let (runtime, config) = (local(global)?, load(global)?);
        let to = match self.keep {
            Some(_) => backup::dated(&self.dest),
            None => self.dest.clone(),
        };
        let config_file = global.config.clone();
        let wish = Wish { to, config_file, keys: !self.without_keys };
        let made = runtime.block_on(backup::save(&config, &wish))?;
        show.document(&made);
        let total = made.contents.parts.iter().map(|part| part.size_bytes).sum();
        let keys = match made.contents.keys {
            true => "with its secret keys",
            false => "without keys and configuration, which may hold passwords",
        };
        show.line(format!("{}: {}, {keys}", made.path.display(), size(total)));
        show.line(format!("everything told before {} is in it", made.contents.taken_at));
        show.line(format!("SHA-256 of backup.json: {}", made.digest));
        if let Some(keep) = self.keep {
            for gone in backup::prune(&made, usize::from(keep))? {
                show.line(format!("removed {}", gone.display()));
            }
        }
        Ok(0)
    }
}

impl Restore {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        if self.check {
            let contents = backup::look(&self.src)?;
            show.document(&contents);
            show.line(format!("{} files, as they were", contents.parts.len()));
            show.line(format!("everything told before {} is in it", contents.taken_at));
            return Ok(0);
        }
        let (runtime, config) = (local(global)?, load(global)?);
        let restored = runtime.block_on(backup::restore(&config, &self.src, self.replace))?;
        show.document(&restored);
        show.line(format!("put back as it was at {}", restored.taken_at));
        let ledger = &restored.ledger;
        show.line(match ledger.proved_to {
            Some(size) => format!("ledger: {} events, proved to {size}", ledger.events),
            None => format!("ledger: {} events", ledger.events),
        });
        for finding in &ledger.findings {
            show.line(format!("  {finding:?}"));
        }
        if let Some(aside) = &restored.set_aside {
            show.line(format!("what was there is in {aside}"));
        }
        show.line("everybody signs in anew; keys and roles that were taken back since hold again");
        Ok(u8::from(!ledger.findings.is_empty()))
    }
}
