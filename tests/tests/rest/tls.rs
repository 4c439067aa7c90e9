//! TLS as other people's clients see it, and a certificate that is replaced.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use databridge_tests::process::{PATIENCE, built, run};
use databridge_tests::studio::{People, Place, Running, Settings, found};
use rustix::process::Signal;

/// An authority and what it signed, made by OpenSSL.
struct Authority(PathBuf);

impl Authority {
    fn found(folder: &Path) -> Self {
        let it = Self(folder.to_owned());
        it.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
        it
    }

    fn openssl(&self, words: &str) -> String {
        run(Command::new("openssl").args(words.split(' ')).current_dir(&self.0))
    }

    /// Signs a certificate with this serial number, and lays it where the daemon reads.
    fn sign(&self, serial: &str) {
        self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout next.key -out next.csr");
        self.openssl(&format!("x509 -req -in next.csr -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy -set_serial 0x{serial} -out next.pem"));
        for (from, to) in [("next.key", "served.key"), ("next.pem", "served.pem")] {
            std::fs::rename(self.0.join(from), self.0.join(to)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A client that checks the certificate; it gives up by itself.
    fn client(&self, address: &str, words: &str) -> Command {
        let mut command = Command::new("timeout");
        let seconds = PATIENCE.as_secs().to_string();
        command.arg(seconds).args(["openssl", "s_client", "-connect", address, "-CAfile"]);
        command.arg(self.path("ca.pem"));
        command.args(["-verify_return_error", "-verify_ip", "127.0.0.1"]).args(words.split(' '));
        command
    }

    /// The serial number of what is served now.
    fn served(&self, address: &str) -> String {
        let shown = run(self.client(address, "-showcerts").stdin(Stdio::null()));
        assert!(shown.contains("Verify return code: 0 (ok)"), "{shown}");
        std::fs::write(self.path("shown.pem"), shown).unwrap();
        self.openssl("x509 -noout -serial -in shown.pem").trim().replace("serial=", "")
    }

    fn connect(&self, address: &str) -> Connection {
        let mut command = self.client(address, "-quiet");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Connection { write: child.stdin.take().unwrap(), out, child }
    }
}

/// A connection that is kept.
struct Connection {
    write: ChildStdin,
    out: BufReader<ChildStdout>,
    child: Child,
}

impl Connection {
    fn send(&mut self, path: &str, token: &str) {
        let bearer = format!("authorization: Bearer {token}\r\n");
        write!(self.write, "GET {path} HTTP/1.1\r\nhost: x\r\n{bearer}\r\n").unwrap();
        self.write.flush().unwrap();
    }

    /// The next line that has this. An answer's body ends without a new line.
    #[track_caller]
    fn line(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "cut before {wanted:?}");
            if line.to_ascii_lowercase().contains(wanted) {
                return line.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_replaced_and_nobody_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::found(folder.path());
    authority.sign("11");
    let config = folder.path().join("databridge.toml");
    let write = |rest: &str| {
        let (cert, key) = (authority.path("served.pem"), authority.path("served.key"));
        let tls = format!("[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
        // Kept connections are not to be closed for being idle.
        std::fs::write(&config, format!("{tls}[http]\nheader_seconds = 600\n{rest}")).unwrap();
    };
    write("");
    let place = Place::below(&folder.path().join("place"));
    let people = found(&place);
    let settings: Settings = vec![("CONFIG", config.clone().into())];
    let mut running = Running::start(&place, &settings).expect("the daemon does not start");
    let address = running.url.strip_prefix("https://").expect("no TLS").to_owned();
    assert_eq!(authority.served(&address), "11");
    our_own_client(&authority, &running.url, &people);

    let (mut kept, mut listens) = (authority.connect(&address), authority.connect(&address));
    kept.send("/api/health", "");
    kept.line("http/1.1 200");
    listens.send("/api/v1/events", people.token("artist"));
    listens.line(": listening");
    authority.sign("22");
    running.daemon.signal(Signal::HUP);
    running.daemon.wait_for_line(PATIENCE, |line| line.contains("was reloaded"));
    assert_eq!(authority.served(&address), "22");
    kept.send("/api/v1/auth/me", people.token("artist"));
    kept.line("http/1.1 200");
    // The stream lives on: it tells of what is made by others.
    let mut out = our_client(&authority, &running.url);
    run(out.args(["--token", people.token("artist"), "transfer", "create"]).args([
        "a",
        "--project",
        "film",
        "--category",
        "plates",
    ]));
    assert!(listens.line("data: ").contains("transfer.created"));

    // A key that is not the certificate's, and a file that is none: the one before stays.
    let good = std::fs::read(authority.path("served.key")).unwrap();
    for wrong in [std::fs::read(authority.path("ca.key")).unwrap(), b"no key".to_vec()] {
        std::fs::write(authority.path("served.key"), wrong).unwrap();
        running.daemon.signal(Signal::HUP);
        let line = running.daemon.wait_for_line(PATIENCE, |line| line.contains("not reloaded"));
        assert!(line.contains("config.tls"), "{line}");
        assert_eq!(authority.served(&address), "22");
    }
    let mut check = Command::new(built("databridged"));
    let refused = check.arg("--check-config").arg("--config").arg(&config).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    std::fs::write(authority.path("served.key"), good).unwrap();
    kept.send("/api/health", "");
    kept.line("http/1.1 200");
    // Plain HTTP is nobody's.
    let plain = format!("http://{address}");
    let mut out = our_client(&authority, &plain);
    let refused =
        out.args(["--token", people.token("artist"), "transfer", "list"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
}

fn our_client(authority: &Authority, url: &str) -> Command {
    let mut command = Command::new(built("databridge"));
    command.env_clear().env("HOME", authority.path("home")).args(["--server", url]);
    command.env("SSL_CERT_FILE", authority.path("ca.pem"));
    command
}

/// The command line trusts whom the system trusts, and nobody else.
fn our_own_client(authority: &Authority, url: &str, people: &People) {
    let list = ["--token", people.token("artist"), "transfer", "list"];
    run(our_client(authority, url).args(list));
    let stranger = tempfile::tempdir().unwrap();
    let stranger = Authority::found(stranger.path());
    let refused = our_client(&stranger, url).args(list).output().unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
}
