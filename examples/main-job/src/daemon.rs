//! A `databridged` of our own, ended with us.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;

use databridge_core::{Error, ErrorKind, Fault};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// What kept the example from running.
#[derive(Debug)]
pub struct Failure {
    what: String,
    source: std::io::Error,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {}", self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Fault for Failure {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
    fn code(&self) -> &str {
        "example.failure"
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("databridged.log in the data folder tells what the daemon did".into())
    }
}

/// An I/O error with what was tried.
pub fn failure(what: impl Into<String>, source: std::io::Error) -> Error {
    Failure { what: what.into(), source }.into()
}

/// A running daemon.
pub struct Daemon {
    child: Child,
    /// Where it serves.
    pub url: String,
}

/// Starts the daemon that was built beside this program; on port 8000 or, where that
/// is taken, on a free one.
pub async fn start(data: &Path) -> Result<Daemon, Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|e| failure(format!("make {}", data.display()), e))?;
    let taken = std::net::TcpListener::bind("127.0.0.1:8000").is_err();
    let listen = if taken { "127.0.0.1:0" } else { "127.0.0.1:8000" };
    let program = std::env::current_exe()
        .map_err(|e| failure("find databridged", e))?
        .with_file_name("databridged");
    let log = File::options().create(true).append(true).open(data.join("databridged.log"));
    let mut child = Command::new(&program)
        .arg("--data")
        .arg(data)
        .args(["--listen", listen])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.map_err(|e| failure("write databridged.log", e))?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failure(format!("start {}", program.display()), e))?;
    println!("DataBridge, with its data in {}", data.display());
    let out = child.stdout.take().ok_or_else(|| {
        failure("hear databridged", std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    })?;
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await.map_err(|e| failure("hear databridged", e))? {
        println!("  {line}");
        if let Some(url) = line.strip_prefix("listening on ") {
            return Ok(Daemon { url: url.to_owned(), child });
        }
    }
    let log = std::fs::read_to_string(data.join("databridged.log")).unwrap_or_default();
    let last = log.lines().rev().take(2).collect::<Vec<_>>().join("; ");
    Err(failure("start databridged", std::io::Error::other(last)))
}

impl Daemon {
    /// Until somebody wants it to end.
    pub async fn wait_for_interrupt(&mut self) -> Result<(), Error> {
        let on = |kind| signal(kind).map_err(|e| failure("take signals", e));
        let (mut interrupt, mut terminate) =
            (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = self.child.wait() => {}
        }
        Ok(())
    }

    /// Asks it to end, and waits for it.
    pub async fn stop(mut self) -> Result<(), Error> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself, at the terminal's Ctrl-C.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.child.wait().await.map(|_| ()).map_err(|e| failure("end databridged", e))
    }
}
