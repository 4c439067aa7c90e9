//! A real S3 server, s3s-fs, which checks signatures, checksums and conditions and
//! keeps each object as a plain file that anybody can look at.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Daemon, PATIENCE, find_program, free_port, give_away, unprivileged};
use crate::tree::{Listing, Node};

const ADVICE: &str = "tests/install-tools.sh installs it";
/// Who may use the server.
pub const ACCESS_KEY: &str = "DATABRIDGETESTS";
/// The secret to it.
pub const SECRET_KEY: &str = "a-secret-that-no-log-may-hold";
/// The bucket that is there.
pub const BUCKET: &str = "production";

/// An S3 server on a loopback port; it ends with this value.
#[derive(Debug)]
pub struct Server {
    daemon: Option<Daemon>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts one with [`BUCKET`], empty.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-s3-").tempdir().unwrap();
        give_away(folder.path());
        let bucket = folder.path().join(BUCKET);
        std::fs::create_dir(&bucket).unwrap();
        give_away(&bucket);
        // Between the choice of a port and its use somebody may take it.
        let (daemon, port) = (0..8)
            .find_map(|_| {
                let port = free_port();
                launch(folder.path(), port).map(|daemon| (daemon, port))
            })
            .expect("s3s-fs found no free port");
        Self { daemon: Some(daemon), port, folder }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where an object's file is.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// Where the server keeps what is no object, as parts on their way.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Parts of uploads that are not finished.
    pub fn parts(&self) -> Vec<String> {
        let names = crate::delivery::names(self.folder.path());
        names.into_iter().filter(|name| name.starts_with(".upload_id-")).collect()
    }

    /// Hangs or wakes it.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the server is down")
    }

    /// Ends it as a crash does. The objects stay.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.end(Signal::KILL, PATIENCE);
        }
    }

    /// Starts it again, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let again = (0..100).find_map(|_| launch(self.folder.path(), self.port));
        self.daemon = Some(again.expect("the server's port is taken"));
    }
}

fn launch(folder: &Path, port: u16) -> Option<Daemon> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let mut command = unprivileged(find_program("s3s-fs", &[tools], ADVICE));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]).arg(folder);
    command.env("RUST_LOG", "s3s_fs=info").env("NO_COLOR", "1");
    let mut daemon = Daemon::spawn_in(command, folder);
    daemon.find_line(PATIENCE, |line| line.contains("server is running")).ok().map(|_| daemon)
}

/// Puts a file there by hand, as an object of a stranger's.
pub fn put(path: &Path, bytes: &[u8]) {
    let missing: Vec<_> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    missing.into_iter().chain([path]).for_each(give_away);
}

/// What of a tree has objects: its files.
pub fn objects(listing: &Listing) -> Listing {
    let files = listing.iter().filter(|(_, node)| matches!(node, Node::File { .. }));
    files.map(|(path, node)| (path.clone(), node.clone())).collect()
}

/// What is below a folder of the server's, files only.
pub fn found(folder: &Path) -> Listing {
    if !folder.exists() {
        return Listing::new();
    }
    objects(&crate::tree::digest_tree(folder))
}

/// A wire to a port on which each `from` that a client sends arrives as `to`, which
/// is as long; the port to use instead. It lasts as long as the process.
pub fn bent_wire(port: u16, from: &'static [u8], to: &'static [u8]) -> u16 {
    assert_eq!(from.len(), to.len());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let (back, answer) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pump(answer, back, |_| {}));
            std::thread::spawn(move || pump(client, server, |bytes| bend(bytes, from, to)));
        }
    });
    own
}

fn bend(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let starts = 0..(bytes.len() + 1).saturating_sub(from.len());
    for start in starts {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
