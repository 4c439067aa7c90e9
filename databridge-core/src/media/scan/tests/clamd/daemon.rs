//! A clamd of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::media::scan::{Clamd, ClamdAddress, ClamdClient};

const CONFIG: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/clamd/clamd.conf.in"));
const SIGNATURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/clamd/db");

/// What it is configured to do.
#[derive(Clone, Copy)]
pub struct Limits {
    pub max_file_mb: u32,
    pub max_stream_mb: u32,
    /// `AlertExceedsMax`.
    pub alert: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_file_mb: 2000, max_stream_mb: 2000, alert: true }
    }
}

/// Runs until dropped.
pub struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Daemon {
    pub fn start(limits: &Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = CONFIG
            .replace("@DIR@", dir.path().to_str().unwrap())
            .replace("@DB@", SIGNATURES)
            .replace("@PORT@", &port.to_string())
            .replace("@MAX_FILE@", &format!("{}M", limits.max_file_mb))
            .replace("@MAX_STREAM@", &format!("{}M", limits.max_stream_mb))
            .replace("@ALERT@", if limits.alert { "yes" } else { "no" });
        let config_file = dir.path().join("clamd.conf");
        std::fs::write(&config_file, config).unwrap();
        let child = Command::new(program())
            .arg("-c")
            .arg(&config_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut daemon = Self { child, dir, port };
        daemon.wait();
        daemon
    }

    /// Until it answers PING.
    fn wait(&mut self) {
        while ClamdClient::connect(&self.unix()).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.dir.path().join("clamd.log"));
                panic!("clamd ended with {status}: {log:?}");
            }
            // It says nothing when it begins to listen, so there is only asking.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("clamd.conf")
    }

    pub fn unix(&self) -> Clamd {
        Clamd::at(ClamdAddress::Unix(self.dir.path().join("clamd.sock")))
    }

    pub fn tcp(&self) -> Clamd {
        Clamd::at(ClamdAddress::Tcp(format!("127.0.0.1:{}", self.port)))
    }

    /// Makes it hang.
    pub fn stop(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
    }

    /// Ends it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian keeps it where the PATH of ordinary users does not lead.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("clamd"))
        .find(|program| program.exists())
        .expect("clamd is not installed; on Debian: apt-get install clamav-daemon")
}
