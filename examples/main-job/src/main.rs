//! The main job, with real people in their roles and a real daemon:
//!
//! ```text
//! make run                       makes a small shot, delivers it, keeps serving
//! make run SRC=/path/to/frames   delivers these instead
//! make run ONCE=1                ends after the delivery
//! ```

mod daemon;
mod job;
mod shot;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use databridge_core::Error;
use databridge_daemon::config;

/// Carries one transfer from upload to verified delivery.
#[derive(Debug, Parser)]
struct Args {
    /// A file or folder to deliver; without it a small shot is made.
    #[arg(long, value_name = "PATH")]
    src: Option<PathBuf>,
    /// End after the delivery.
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let config = config::load(None, None, None)?;
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let mut daemon = daemon::start(&data).await?;
    let source = match args.src {
        Some(source) => source,
        None => shot::make(&data.join("demo-shot"))?,
    };
    let people = job::people(config).await?;
    let url = daemon.url.clone();
    let delivered = tokio::task::spawn_blocking(move || job::deliver(&url, &people, &source))
        .await
        .map_err(|e| daemon::failure("carry the transfer", std::io::Error::other(e)))?;
    if let Err(error) = delivered {
        daemon.stop().await?;
        return Err(error);
    }
    if !args.once {
        println!("\nServing on {} until you press Ctrl-C.", daemon.url);
        daemon.wait_for_interrupt().await?;
    }
    daemon.stop().await
}
