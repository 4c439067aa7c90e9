//! The daemon: serves REST and works jobs, until it is told to stop.

use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use databridge_core::app::{App, Config};
use databridge_core::base::cancel::Cancel;
use databridge_core::control::db::Target;
use databridge_core::{Error, ErrorKind, Fault};
use databridge_daemon::{config, http};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// How long requests in hand may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves DataBridge and works its jobs.
#[derive(Debug, Parser)]
#[command(name = "databridged", version)]
struct Args {
    /// Settings, as TOML.
    #[arg(long, env = "DATABRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where database, keys and, unless they are set, staging and production are.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port; port 0 takes a free one and says which.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot listen on {address}")]
    Listen { address: String, source: std::io::Error },
    #[error("another databridged works on {0}")]
    Taken(String),
    #[error("cannot {what}")]
    System { what: &'static str, source: std::io::Error },
}

impl Fault for Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken(_) => ErrorKind::Conflict,
            Self::Listen { .. } | Self::System { .. } => ErrorKind::Io,
        }
    }
    fn code(&self) -> &str {
        match self {
            Self::Taken(_) => "daemon.taken",
            Self::Listen { .. } => "daemon.listen",
            Self::System { .. } => "daemon.system",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(match self {
            Self::Taken(_) => "stop it, or give this one another --data".into(),
            Self::Listen { .. } => "choose another --listen; port 0 takes a free one".into(),
            Self::System { .. } => {
                "check the data folder, its owner and the limits of the unit".into()
            }
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter =
        EnvFilter::try_from_env("DATABRIDGE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(args).await {
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

/// SQLite is for one daemon; the CLI may open the store beside it.
fn lock(config: &Config) -> Result<Option<File>, Error> {
    let Target::Sqlite(_) = config.target() else { return Ok(None) };
    let path = config.data.join("databridged.lock");
    let file = File::create(&path)
        .map_err(|source| Failure::System { what: "lock the data folder", source })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(Failure::Taken(config.data.display().to_string()).into()),
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let config = config::load(args.config.as_deref(), args.data, args.listen)?;
    config.make_folders()?;
    let _lock = lock(&config)?;
    let opened = App::open(config).await?;
    let app = opened.app;
    if let Some(password) = &opened.one_time_password {
        println!("one-time password for admin: {password}");
    }
    let address = app.config().listen.clone();
    raise_descriptors();
    let listener = listen(&address).await?;
    let local = address_of(&listener)?;
    println!("listening on http://{local}");
    let stop = Cancel::new();
    let background = tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { app.run(&stop).await }
    });
    let shutdown = wait_for_end()?;
    let asked = Arc::new(Notify::new());
    let (router, metrics) = http::routers(app.clone());
    if let (Some(router), Some(address)) = (metrics, &app.config().http.metrics_listen) {
        let listener = listen(address).await?;
        let (local, stop) = (address_of(&listener)?, stop.clone());
        println!("metrics on http://{local}/metrics");
        let http = app.config().http.clone();
        tokio::spawn(async move {
            http::server::serve(listener, router, &http, until(stop)).await;
        });
    }
    let served = http::server::serve(listener, router, &app.config().http, {
        let (asked, stop) = (asked.clone(), stop.clone());
        async move {
            shutdown.await;
            info!("stopping: jobs in hand are put back");
            stop.cancel();
            asked.notify_one();
        }
    });
    // Requests may end what they are at, but one that waits for events does not hold
    // the daemon up.
    let patience = async {
        asked.notified().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        () = served => {}
        () = patience => {}
    }
    background.await.map_err(|e| Failure::System {
        what: "end the workers",
        source: std::io::Error::other(e),
    })?;
    app.close().await;
    Ok(())
}

async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let refused = |source| Failure::Listen { address: address.to_owned(), source };
    TcpListener::bind(address).await.map_err(refused)
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    let failed = |source| Failure::System { what: "tell the own address", source };
    listener.local_addr().map_err(failed)
}

async fn until(stop: Cancel) {
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A thousand streams take a thousand descriptors, and the usual limit is that.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Ends on SIGTERM (systemd) or SIGINT (a terminal).
fn wait_for_end() -> Result<impl Future<Output = ()>, Failure> {
    let on = |kind| signal(kind).map_err(|source| Failure::System { what: "take signals", source });
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
