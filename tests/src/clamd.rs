//! A real clamd with signatures of our own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{Daemon, PATIENCE, find_program, free_port, give_away, unprivileged};

const ADVICE: &str = "on Debian `apt-get install clamav-daemon`";
const CONFIG: &str = include_str!("../../testdata/clamd/clamd.conf");
const SIGNATURES: [(&str, &str); 3] = [
    ("databridge.hdb", include_str!("../../testdata/clamd/db/databridge.hdb")),
    ("databridge.ldb", include_str!("../../testdata/clamd/db/databridge.ldb")),
    ("databridge.ndb", include_str!("../../testdata/clamd/db/databridge.ndb")),
];

/// A scanner on a Unix socket and a loopback port; it ends with this value.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts one with the limits of `testdata/clamd/clamd.conf`.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of clamd.conf(5), which win over ours.
    pub fn start_with(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-clamd-").tempdir().unwrap();
        give_away(folder.path());
        for name in ["signatures", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            give_away(&folder.path().join(name));
        }
        for (name, text) in SIGNATURES {
            fs::write(folder.path().join("signatures").join(name), text).unwrap();
        }
        // Between the choice of a port and its use somebody may take it.
        let (daemon, port) = (0..8)
            .find_map(|_| Self::launch(folder.path(), settings))
            .expect("clamd found no free port");
        let server = Self { daemon, port, folder };
        assert_eq!(server.command("PING"), "PONG");
        server
    }

    fn launch(folder: &Path, settings: &str) -> Option<(Daemon, u16)> {
        let port = free_port();
        fs::write(folder.join("clamd.conf"), Self::config(folder, port, settings)).unwrap();
        Some((Self::run(folder)?, port))
    }

    /// `None` where its port was taken.
    fn run(folder: &Path) -> Option<Daemon> {
        let mut command =
            unprivileged(find_program("prlimit", &[], "on Debian `apt-get install util-linux`"));
        if let Ok(bytes) = fs::read_to_string(folder.join("memory")) {
            command.arg(format!("--as={bytes}"));
        }
        command.arg(find_program("clamd", &[], ADVICE)).arg("-c").arg(folder.join("clamd.conf"));
        let mut daemon = Daemon::spawn_in(command, folder);
        let line = daemon.wait_for_line(PATIENCE, |line| {
            line.contains("Listening daemon") || line.contains("already in use")
        });
        line.contains("Listening").then_some(daemon)
    }

    /// Kills it, if it still runs, and starts it again where it was.
    pub fn restart(&mut self) {
        self.daemon.kill_9();
        self.daemon = Self::run(self.folder.path()).expect("clamd's port was taken");
    }

    fn config(folder: &Path, port: u16, settings: &str) -> String {
        let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let ours = CONFIG
            .replace("@DIR@", folder.to_str().expect("the temporary folder's name is no text"))
            .replace("@PORT@", &port.to_string());
        let replaced: Vec<_> = settings.lines().filter_map(name).collect();
        let kept =
            ours.lines().filter(|line| name(line).is_none_or(|name| !replaced.contains(&name)));
        kept.chain(settings.lines()).map(|line| format!("{line}\n")).collect()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("clamd.sock")
    }

    /// Its loopback address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts it again with so much address space and no more.
    pub fn starve(&mut self, bytes: u64) {
        fs::write(self.folder.path().join("memory"), bytes.to_string()).unwrap();
        self.restart();
    }

    /// Its configuration.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("clamd.conf")
    }

    /// Where its signatures lie, for tests of their date and of `RELOAD`.
    pub fn signatures(&self) -> PathBuf {
        self.folder.path().join("signatures")
    }

    /// Replaces its signatures by one that matches nothing, and loads that.
    pub fn forget(&mut self) {
        for (name, _) in SIGNATURES {
            fs::remove_file(self.signatures().join(name)).unwrap();
        }
        let none = format!("{}:1:None\n", "0".repeat(32));
        fs::write(self.signatures().join("none.hdb"), none).unwrap();
        self.reload();
    }

    /// Makes it read its signatures again, and waits until it has.
    pub fn reload(&mut self) {
        assert_eq!(self.command("RELOAD"), "RELOADING");
        self.daemon.wait_for_line(PATIENCE, |line| line.contains("correctly reloaded"));
    }

    /// Hangs, kills or wakes the scanner, for fault tests.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Sends one command of clamd(8) over the Unix socket; the answer without
    /// its end.
    pub fn command(&self, command: &str) -> String {
        let stream = UnixStream::connect(self.socket()).expect("clamd's socket");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answer(stream, command)
    }

    /// The same over TCP.
    pub fn command_tcp(&self, command: &str) -> String {
        let stream = TcpStream::connect(self.address()).expect("clamd's port");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        answer(stream, command)
    }
}

fn answer(mut stream: impl Read + Write, command: &str) -> String {
    stream.write_all(format!("z{command}\0").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.trim_end_matches('\0').to_owned()
}

/// The EICAR test file, put together here so that no scanner finds it in the
/// program or in its source.
pub fn eicar() -> Vec<u8> {
    let name = ["EICAR", "STANDARD", "ANTIVIRUS", "TEST", "FILE!"].join("-");
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$", &name, "$H+H*"].concat().into_bytes()
}

/// The text that our own signature `DataBridge.Test.Marker` finds anywhere.
pub fn marker() -> Vec<u8> {
    ["DATABRIDGE", "MALWARE", "TEST", "STRING"].join("-").into_bytes()
}
