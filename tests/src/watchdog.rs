//! Cleans up after a test process that could not do it itself.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A small shell that waits on a pipe whose other end only this process holds.
/// When this process ends in whatever way, `kill -9` included, the pipe closes
/// and the shell runs its script. (A parent-death signal would not do: the
/// kernel sends it when the *thread* that started the child ends.)
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Arms it: `script` is run by `sh` with `args` as `$1`, `$2`, …
    pub fn arm<S: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = S>) -> Self {
        // A group of its own, so that a signal to the test's group spares it.
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!("trap '' INT TERM HUP; read -r _; {script}"))
            .arg("watchdog")
            .args(args)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("cannot start sh");
        Self(child)
    }
}

/// Dropping disarms: whoever drops has cleaned up.
impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
