//! The command line: it builds a [`Call`](databridge_core::app::Call), or calls the
//! media wing where no store is involved, and shows what comes back.

mod backend;
mod backup;
mod doctor;
mod error;
mod files;
mod house;
mod ledger;
mod lineage;
mod organisation;
mod people;
mod places;
mod progress;
mod receipt;
mod scan;
mod sign;
mod traffic;
mod transfer;
mod upload;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use databridge_core::Error;

use backend::Backend;
use view::Show;

/// Moves media across networks through approvals, a scan and a verified copy.
#[derive(Debug, Parser)]
#[command(name = "databridge", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// A daemon's address (http://… or https://…).
    #[arg(long, global = true, env = "DATABRIDGE_SERVER", value_name = "URL")]
    server: Option<String>,
    /// A token or an API key for the daemon, instead of the stored one.
    #[arg(
        long,
        global = true,
        env = "DATABRIDGE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// A local store's data folder.
    #[arg(long, global = true, env = "DATABRIDGE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Settings of a local store, as TOML.
    #[arg(long, global = true, env = "DATABRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// On a local store: act with this user's roles. Both names are recorded.
    #[arg(long = "as", global = true, env = "DATABRIDGE_AS", value_name = "USER")]
    on_behalf_of: Option<String>,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    /// A store named on the command line outweighs one named by the environment.
    fn prefer_what_was_typed(&mut self, matches: &ArgMatches) {
        let mut deepest = matches;
        while let Some((_, below)) = deepest.subcommand() {
            deepest = below;
        }
        let typed = |id| deepest.value_source(id) == Some(ValueSource::CommandLine);
        if typed("data") && !typed("server") {
            self.server = None;
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Digests of files, or of every file below a folder.
    Checksum(files::Checksum),
    /// Copies a file or a folder, verified: the destination appears whole or not at all.
    /// Both may be in an object store (s3://bucket/prefix).
    Copy(files::Copy),
    /// Compares a folder with its checksums.
    Verify(files::Verify),
    /// What a folder consists of, and the one digest that stands for it.
    #[command(subcommand)]
    Manifest(files::Manifest),
    /// Frame sequences in a folder, with the frames that are missing, empty, of another
    /// size, or there twice.
    Sequences(files::Sequences),
    /// Scans files.
    Scan(scan::Scan),
    /// Transfers, from creation to delivery.
    #[command(subcommand)]
    Transfer(transfer::Transfer),
    /// Uploads in pieces that are not at their end.
    #[command(subcommand)]
    Upload(upload::Upload),
    /// Where a transfer stands, since when, what it waits for and who does what next.
    Explain {
        /// TRF-00042
        code: String,
    },
    /// Where a transfer's files are, as a system calls the place; or what it calls a path
    /// of another.
    Where(places::Where),
    /// How much of a host's bandwidth its copies may use.
    #[command(subcommand)]
    Bandwidth(traffic::Bandwidth),
    /// The daemons that share a store.
    #[command(subcommand)]
    Host(traffic::Host),
    /// People and their roles.
    #[command(subcommand)]
    User(people::User),
    /// Signs in at a daemon; later commands renew the session by themselves.
    Login(sign::Login),
    /// Ends the session at a daemon; every one of yours by `--everywhere`.
    Logout(sign::Logout),
    /// API keys.
    #[command(subcommand)]
    Token(sign::Token),
    /// Who decides while somebody is away.
    #[command(subcommand)]
    Away(people::Away),
    /// Approval chains.
    #[command(subcommand)]
    Chain(people::Chain),
    /// Lots: what things are made of.
    #[command(subcommand)]
    Lot(lineage::Lot),
    /// Genealogy: what a lot was made from, and what was made from it.
    #[command(subcommand)]
    Trace(lineage::Trace),
    /// Production runs.
    #[command(subcommand)]
    Run(lineage::Run),
    /// Gates, and decisions at them.
    #[command(subcommand)]
    Gate(lineage::Gate),
    /// Flows and their versions.
    #[command(subcommand)]
    Flow(lineage::Flow),
    /// The record of all that happened.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Signed receipts of deliveries.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Backs a local store up: database, keys, configuration; daemons work on meanwhile.
    Backup(backup::Backup),
    /// Puts a backup back, proved by its ledger.
    Restore(backup::Restore),
    /// Removes what staging and the store no longer need.
    Housekeeping(house::Housekeeping),
    /// Organisations beside a local store's own.
    #[command(subcommand)]
    Organisation(organisation::Organisation),
    /// Makes a local store; the daemon's first start and `user create` do it, too.
    Init,
    /// Whether a local store can do its work.
    Doctor,
    /// A local store's settings.
    #[command(subcommand)]
    Config(doctor::Settings),
    /// Completions for a shell, on standard output.
    Completions {
        /// bash, zsh, fish, …
        shell: clap_complete::Shell,
    },
    /// Manual pages: of every command into a folder, or the first on standard output.
    Man {
        /// The folder; it is made where it is missing.
        dir: Option<PathBuf>,
    },
}

/// How a command ended, where it did not fail: 0, or a verdict's own code.
type Outcome = Result<u8, Error>;

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misused(&error),
    };
    let mut cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    cli.global.prefer_what_was_typed(&matches);
    let show = Show { json: cli.global.json };
    match run(cli, &show) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            show.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Help, a version, or what cannot be understood; the last as JSON where that is wanted.
fn misused(error: &clap::Error) -> ExitCode {
    let mut typed = std::env::args_os().take_while(|arg| arg != "--");
    if !error.use_stderr() || !typed.any(|arg| arg == "--json") {
        error.exit();
    }
    let error = error::typed(error);
    Show { json: true }.error(&error);
    ExitCode::from(error.kind().exit_code())
}

fn run(cli: Cli, show: &Show) -> Outcome {
    let global = cli.global;
    let open = || Backend::open(&global);
    match cli.command {
        Command::Checksum(command) => command.run(&global, show),
        Command::Copy(command) => command.run(&global, show),
        Command::Verify(command) => command.run(&global, show),
        Command::Manifest(command) => command.run(show),
        Command::Sequences(command) => command.run(show),
        Command::Scan(command) => command.run(show),
        Command::Transfer(command) => command.run(&open()?, show),
        Command::Upload(command) => command.run(&open()?, show),
        Command::Explain { code } => transfer::explain(&open()?, show, code),
        Command::Where(command) => command.run(&open()?, show),
        Command::Bandwidth(command) => command.run(&open()?, show),
        Command::Host(command) => command.run(&open()?, show),
        Command::User(command) if command.makes_a_store() => {
            command.run(&Backend::open_or_make(&global)?, show)
        }
        Command::User(command) => command.run(&open()?, show),
        Command::Login(command) => command.run(&global, show),
        Command::Logout(command) => command.run(&global, show),
        Command::Token(command) => command.run(&global, show),
        Command::Away(command) => command.run(&open()?, show),
        Command::Chain(command) => command.run(&open()?, show),
        Command::Lot(command) => command.run(&open()?, show),
        Command::Trace(command) => command.run(&open()?, show),
        Command::Run(command) => command.run(&open()?, show),
        Command::Gate(command) => command.run(&open()?, show),
        Command::Flow(command) => command.run(&open()?, show),
        Command::Ledger(command) => command.run(&open()?, show),
        Command::Receipt(command) => command.run(&global, show),
        Command::Backup(command) => command.run(&global, show),
        Command::Restore(command) => command.run(&global, show),
        Command::Housekeeping(command) => command.run(&open()?, show),
        Command::Organisation(command) => command.run(&open()?, show),
        Command::Init => organisation::init(&global, show),
        Command::Doctor => doctor::run(&global, show),
        Command::Config(command) => command.run(&global, show),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "databridge", &mut text);
            show.raw(&text);
            Ok(0)
        }
        Command::Man { dir: Some(dir) } => {
            std::fs::create_dir_all(&dir)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &dir))
                .map_err(|e| error::io("write", &dir, e))?;
            show.document(&serde_json::json!({ "dir": dir.to_string_lossy() }));
            show.line(format!("man -l {}", dir.join("databridge.1").display()));
            Ok(0)
        }
        Command::Man { dir: None } => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut text)
                .map_err(|e| error::io("write", "the manual page", e))?;
            show.raw(&text);
            Ok(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
