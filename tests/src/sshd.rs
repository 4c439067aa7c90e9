//! A real OpenSSH server for the present user, with a key of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Daemon, PATIENCE, find_program, free_port, run};

const ADVICE: &str = "on Debian `apt-get install openssh-server openssh-client`";

/// An SSH server on a loopback port; it ends with this value.
///
/// A server that is not root can only let its own user in, and its privilege
/// separation needs root's folder only where it is root. So it runs as the present
/// user, lets nobody else in, and takes no password.
#[derive(Debug)]
pub struct Server {
    daemon: Daemon,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("databridge-sshd-").tempdir().unwrap();
        for name in ["host", "user"] {
            run(Command::new(find_program("ssh-keygen", &[], ADVICE))
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(name)));
        }
        let allowed = folder.path().join("authorized_keys");
        std::fs::copy(folder.path().join("user.pub"), &allowed).unwrap();
        std::fs::set_permissions(&allowed, std::fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            // Its own folder for the process without privileges, as its service makes it.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        // Between the choice of a port and its use somebody may take it.
        let (daemon, port) =
            (0..8).find_map(|_| launch(folder.path())).expect("sshd found no free port");
        let host = std::fs::read_to_string(folder.path().join("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {host}");
        std::fs::write(folder.path().join("known_hosts"), known).unwrap();
        Self { daemon, port, folder }
    }

    /// The `ssh` that reaches it, as a command and its arguments.
    pub fn ssh(&self) -> Vec<String> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let mut words: Vec<String> = vec!["ssh".into(), "-F".into(), "none".into()];
        words.extend(["-p".into(), self.port.to_string(), "-i".into(), at("user")]);
        for option in ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes"] {
            words.push(format!("-o{option}"));
        }
        words.push(format!("-oUserKnownHostsFile={}", at("known_hosts")));
        words
    }

    /// Hangs, kills or wakes the server, for fault tests.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

fn launch(folder: &Path) -> Option<(Daemon, u16)> {
    let port = free_port();
    let at = |name: &str| folder.join(name).display().to_string();
    let config = folder.join("sshd_config");
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
         StrictModes no\nPidFile none\nPermitRootLogin prohibit-password\n",
        at("host"),
        at("authorized_keys"),
    );
    std::fs::write(&config, text).unwrap();
    let program: PathBuf = find_program("sshd", &[], ADVICE);
    let mut command = Command::new(program);
    command.args(["-D", "-e", "-f"]).arg(&config);
    let mut daemon = Daemon::spawn_in(command, folder);
    let line = daemon.find_line(PATIENCE, |line| line.contains("Server listening"));
    line.ok().map(|_| (daemon, port))
}
