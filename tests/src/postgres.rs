//! A real PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Daemon, PATIENCE, find_program, free_port, give_away, run, unprivileged};

/// Names a URL of an administrator's database on a server that runs already.
pub const VARIABLE: &str = "DATABRIDGE_TEST_POSTGRES";

const ADVICE: &str = "on Debian `apt-get install postgresql`, elsewhere put initdb, postgres and \
                      psql on PATH";

/// A server of our own on a free loopback port, with its data in a temporary
/// folder; it ends with this value.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    admin_url: String,
    port: u16,
    durability: Durability,
    /// Where it listens.
    hosts: String,
    folder: TempDir,
}

/// Whether a told success must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `fsync=off`: fast, for all tests that cut no power.
    Off,
    /// As in production.
    On,
}

impl Server {
    /// Starts one and waits until it accepts connections.
    pub fn start(durability: Durability) -> Self {
        Self::start_on(durability, None)
    }

    /// One that listens on another address of this machine too, for whoever comes from its
    /// network.
    pub fn start_at(durability: Durability, address: &str) -> Self {
        Self::start_on(durability, Some(address))
    }

    fn start_on(durability: Durability, address: Option<&str>) -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-pg-").tempdir().unwrap();
        give_away(folder.path());
        let data = folder.path().join("data");
        run(unprivileged(program("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]));
        let mut hosts = "127.0.0.1".to_owned();
        if let Some(address) = address {
            hosts = format!("{hosts},{address}");
            let path = data.join("pg_hba.conf");
            let rules = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, format!("{rules}\nhost all all samenet trust\n")).unwrap();
        }
        // Between the choice of a port and its use somebody may take it.
        let (daemon, port) = (0..8)
            .find_map(|_| Self::launch(&data, folder.path(), durability, &hosts, free_port()))
            .expect("PostgreSQL found no free port");
        let admin_url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Self { daemon, admin_url, port, durability, hosts, folder }
    }

    fn launch(
        data: &Path,
        sockets: &Path,
        durability: Durability,
        hosts: &str,
        port: u16,
    ) -> Option<(Daemon, u16)> {
        let mut command = unprivileged(program("postgres"));
        command.arg("-D").arg(data).arg("-k").arg(sockets);
        command.args(["-h", hosts, "-p", &port.to_string()]);
        command.args(["-c", "max_connections=200", "-c", "lc_messages=C"]);
        if durability == Durability::Off {
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let mut daemon = Daemon::spawn_in(command, sockets);
        let line = daemon.wait_for_line(PATIENCE, |line| {
            line.contains("ready to accept connections") || line.contains("could not bind")
        });
        line.contains("ready").then_some((daemon, port))
    }

    /// The URL of its administrator's database.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Hangs, kills or wakes the server, for fault tests.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Kills the server and every session of it.
    pub fn crash(&mut self) {
        self.daemon.kill_9();
    }

    /// Starts it again at its address, with what stood on its disk.
    pub fn come_back(&mut self) {
        let data = self.folder.path().join("data");
        // Backends of the killed one may still hold its memory for a moment.
        let (daemon, _) = (0..50)
            .find_map(|_| {
                let _ = std::fs::remove_file(data.join("postmaster.pid"));
                Self::launch(&data, self.folder.path(), self.durability, &self.hosts, self.port)
            })
            .expect("PostgreSQL does not come back");
        self.daemon = daemon;
    }

    /// A new, empty database of this server.
    pub fn fresh_database(&self) -> Database {
        Database::create(&self.admin_url)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fast shutdown; what does not obey is killed with the daemon.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(self.daemon.pid().cast_signed()).unwrap(),
            Signal::INT,
        );
        self.daemon.ends_within(PATIENCE);
    }
}

/// A database for one test; dropped with this value.
#[derive(Debug)]
pub struct Database {
    admin_url: String,
    name: String,
    url: String,
}

impl Database {
    fn create(admin_url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{}_{:x}_{count}", std::process::id(), now.as_micros());
        psql(admin_url, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (server, _) = admin_url.rsplit_once('/').expect("no database in the URL");
        Self { url: format!("{server}/{name}"), admin_url: admin_url.to_owned(), name }
    }

    /// `postgres://…`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL by `psql` and returns its rows, unaligned, as an oracle that
    /// shares nothing with our own database code.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone by now, and with it the database.
        let _ = psql_command(&self.admin_url)
            .arg(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
            .output();
    }
}

/// A new database on the server that [`VARIABLE`] names, else on one that this
/// process starts at the first call and that ends with it.
pub fn fresh_database() -> Database {
    static OWN: Mutex<Option<Server>> = Mutex::new(None);
    let url = std::env::var(VARIABLE).unwrap_or_else(|_| {
        let mut own = OWN.lock().unwrap();
        own.get_or_insert_with(|| Server::start(Durability::Off)).admin_url.clone()
    });
    Database::create(&url)
}

fn psql(url: &str, sql: &str) -> String {
    run(psql_command(url).arg(sql))
}

fn psql_command(url: &str) -> Command {
    let mut command = Command::new(program("psql"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c"]);
    command
}

/// Debian keeps the programs of each version in a folder of its own; the newest
/// counts.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let folders: Vec<PathBuf> = versions.into_iter().rev().map(|(_, folder)| folder).collect();
    find_program(name, &folders, ADVICE)
}
