//! The daemon: serves REST and works jobs, until it is told to stop.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use databridge_core::app::{App, Config, LOCK};
use databridge_core::base::cancel::Cancel;
use databridge_core::control::db::Target;
use databridge_core::{Error, ErrorKind, Fault};
use databridge_daemon::config::Source;
use databridge_daemon::http;
use databridge_daemon::http::tls::Tls;
use databridge_daemon::log::{self, Log};
use databridge_daemon::reload::Reload;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

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
    /// What it is for, where several share a store: it answers (serve), does jobs (work),
    /// or both.
    #[arg(long, value_name = "ROLE", value_parser = ["serve", "work", "all"])]
    role: Option<String>,
    /// How the log on standard error is written.
    #[arg(long, env = "DATABRIDGE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,
    /// Only says whether the configuration can work: settings, log and certificate.
    #[arg(long)]
    check_config: bool,
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

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::from(ErrorKind::Io.exit_code());
        }
    };
    let ended = runtime.block_on(run(args));
    // A job that did not let go in time is left to its lease: what it still does is fenced.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match ended {
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

/// Tells systemd, where it asked to be told.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd could not be told");
    }
}

/// Tells systemd's watchdog that we are well for as long as the database answers.
async fn keep_watchdog(app: App) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        match app.is_ready().await {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            // A database that is away comes back without us being started anew; only a
            // daemon that hangs says nothing at all.
            Err(error) => {
                notify(&[NotifyState::Watchdog, NotifyState::Status("the database is away")]);
                warn!(error = error.chain(), "not ready");
            }
        }
        tokio::time::sleep(limit / 3).await;
    }
}

/// SQLite is for one daemon; the CLI may open the store beside it.
fn lock(config: &Config) -> Result<Option<File>, Error> {
    let Target::Sqlite(_) = config.target() else { return Ok(None) };
    let path = config.data.join(LOCK);
    let file = File::create(&path)
        .map_err(|source| Failure::System { what: "lock the data folder", source })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(Failure::Taken(config.data.display().to_string()).into()),
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let Args { config: file, data, listen: on, role, log_format, check_config } = args;
    let source = Source { file, data, listen: on, role };
    let config = source.load()?;
    log::check(&config.log)?;
    let tls = Tls::open(&config.tls)?;
    if check_config {
        println!("every setting can work");
        return Ok(());
    }
    let log = Log::start(log_format, &config.log)?;
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
    // Before anybody knows of us: by default they end the process.
    let shutdown = wait_for_end()?;
    reload_on_hang_up(Reload { source, app: app.clone(), tls: tls.clone(), log })?;
    println!("listening on {}://{local}", if tls.is_some() { "https" } else { "http" });
    let drain = Duration::from_secs(app.config().drain_seconds);
    let stop = Cancel::new();
    let background = tokio::spawn({
        let (app, stop) = (app.clone(), stop.clone());
        async move { app.run(&stop).await }
    });
    notify(&[NotifyState::Ready]);
    tokio::spawn(keep_watchdog(app.clone()));
    let asked = Arc::new(Notify::new());
    let (router, metrics) = http::routers(app.clone());
    if let (Some(router), Some(address)) = (metrics, &app.config().http.metrics_listen) {
        let listener = listen(address).await?;
        let (local, stop) = (address_of(&listener)?, stop.clone());
        println!("metrics on http://{local}/metrics");
        let http = app.config().http.clone();
        tokio::spawn(async move {
            http::server::serve(listener, router, &http, None, until(stop)).await;
        });
    }
    let served = http::server::serve(listener, router, &app.config().http, tls, {
        let (asked, stop) = (asked.clone(), stop.clone());
        async move {
            shutdown.await;
            info!(within_seconds = drain.as_secs(), "stopping: jobs in hand are put back");
            notify(&[NotifyState::Stopping]);
            stop.cancel();
            asked.notify_one();
        }
    });
    // Requests may end what they are at, but one that waits for events does not hold
    // the daemon up.
    let patience = async {
        asked.notified().await;
        tokio::time::sleep(PATIENCE.min(drain)).await;
    };
    tokio::select! {
        () = served => {}
        () = patience => {}
    }
    // Some of the time is gone already.
    match tokio::time::timeout(drain.saturating_sub(PATIENCE.min(drain) / 2), background).await {
        Ok(ended) => ended.map_err(|e| Failure::System {
            what: "end the workers",
            source: std::io::Error::other(e),
        })?,
        Err(_) => hand_back(&app).await,
    }
    // A connection that was cut, or that a job still has, is not waited for.
    let _ = tokio::time::timeout(PATIENCE, app.close()).await;
    Ok(())
}

/// Leaves to others what does not let go of us.
async fn hand_back(app: &App) {
    match tokio::time::timeout(PATIENCE, app.hand_back()).await {
        Ok(Ok(jobs)) => warn!(jobs, "jobs in hand did not let go in time: others may have them"),
        Ok(Err(error)) => warn!(
            error = error.chain(),
            "jobs in hand did not let go in time: their leases will run out"
        ),
        Err(_) => warn!("jobs in hand did not let go in time: their leases will run out"),
    }
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

/// Reads the configuration again at each SIGHUP.
fn reload_on_hang_up(reload: Reload) -> Result<(), Failure> {
    let mut hang_up = on(SignalKind::hangup())?;
    let reload = Arc::new(reload);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            let reload = reload.clone();
            // It reads files.
            let _ = tokio::task::spawn_blocking(move || reload.run()).await;
        }
    });
    Ok(())
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|source| Failure::System { what: "take signals", source })
}

/// Ends on SIGTERM (systemd) or SIGINT (a terminal).
fn wait_for_end() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
