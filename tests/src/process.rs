//! Child processes under control: their lines as they come, their signals, and
//! the certainty that none of them outlives the tests.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, geteuid, kill_process, kill_process_group,
    pidfd_open, waitid,
};

use crate::watchdog::Watchdog;

/// What a server may take to start or to stop on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the last lines of one that has ended may take to be read.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The user and group `nobody` of Debian, as which servers run under root.
pub const NOBODY: u32 = 65534;

/// What a watchdog does to process `$1` and its folder `$2`: five seconds for an
/// orderly end (PostgreSQL gives its shared memory back), then the end.
const LAST_WORD: &str = r#"kill -s QUIT "$1"
    for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.5; done
    kill -s KILL -- "-$1"
    [ -z "$2" ] || rm -rf "$2""#;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A running child in a process group of its own.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    pid: Pid,
    lines: Receiver<(Stream, String)>,
    seen: Vec<(Stream, String)>,
    _watchdog: Watchdog,
}

impl Daemon {
    /// Starts `command`; what it prints is captured line by line.
    pub fn spawn(command: Command) -> Self {
        Self::launch(command, None)
    }

    /// The same for one that keeps its files in `folder`, which is removed if
    /// this process is killed.
    pub fn spawn_in(command: Command, folder: &Path) -> Self {
        Self::launch(command, Some(folder))
    }

    fn launch(mut command: Command, folder: Option<&Path>) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let pid = Pid::from_child(&child);
        let number = pid.as_raw_nonzero().to_string();
        let mut args = vec![OsStr::new(&number)];
        args.extend(folder.map(Path::as_os_str));
        let watchdog = Watchdog::arm(LAST_WORD, args);
        let (sender, lines) = channel();
        read_lines(Stream::Out, child.stdout.take().unwrap(), sender.clone());
        read_lines(Stream::Err, child.stderr.take().unwrap(), sender);
        Self { name, child, pid, lines, seen: Vec::new(), _watchdog: watchdog }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that pleases `wanted`; earlier ones are passed over. Panics
    /// with all that was printed when the child ends or `deadline` passes first.
    pub fn wait_for_line(&mut self, deadline: Duration, wanted: impl Fn(&str) -> bool) -> String {
        match self.find_line(deadline, wanted) {
            Ok(line) => line,
            Err(why) => {
                let output = self.output();
                panic!("{} {why}; it printed:\n{output}", self.name)
            }
        }
    }

    /// The same for one that may end first; says then what happened instead.
    ///
    /// # Errors
    /// When the child ends or `deadline` passes first.
    pub fn find_line(
        &mut self,
        deadline: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, &'static str> {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((stream, line)) => {
                    self.seen.push((stream, line.clone()));
                    if wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("did not print the awaited line"),
                Err(RecvTimeoutError::Disconnected) => return Err("ended too early"),
            }
        }
    }

    /// Everything read up to now. Lines of one stream are in order; between the
    /// two nothing is promised.
    pub fn output(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// The lines of one stream up to now.
    pub fn lines_of(&mut self, stream: Stream) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().filter(|(s, _)| *s == stream).map(|(_, line)| line.clone()).collect()
    }

    /// Sends a signal to the child alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Ends it at once, with all of its group, and waits for its end.
    pub fn kill_9(&mut self) -> ExitStatus {
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait().unwrap()
    }

    /// Hangs it (SIGSTOP) and returns when every thread of it stands still.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        self.wait_until_stopped(PATIENCE);
    }

    /// Lets it go on after a stop.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the child stands still, also by a signal it gave itself at a
    /// named step. Panics when it ends or `deadline` passes first.
    pub fn wait_until_stopped(&self, deadline: Duration) {
        assert!(self.stops_within(deadline), "{} ended instead of stopping", self.name);
    }

    /// Whether the child came to stand still; it may end instead. Panics when
    /// `deadline` passes first.
    pub fn stops_within(&self, deadline: Duration) -> bool {
        let (sender, stopped) = channel();
        let pid = self.pid;
        thread::spawn(move || {
            // Not taken from the queue, so that `wait` still finds the end.
            let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let status = waitid(WaitId::Pid(pid), options).ok().flatten();
            let _ = sender.send(status.is_some_and(|status| status.stopped()));
        });
        let Ok(stopped) = stopped.recv_timeout(deadline) else {
            panic!("{} did not stop", self.name);
        };
        if stopped {
            assert_eq!(state(self.pid()), Some('T'), "{} runs", self.name);
        }
        stopped
    }

    /// Waits for its end, and for all that it printed. Panics with its output after
    /// `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        if !self.ends_within(deadline) {
            let output = self.output();
            panic!("{} still runs; it printed:\n{output}", self.name);
        }
        let status = self.child.wait().unwrap();
        self.hear_out();
        status
    }

    /// What it printed last may still be on its way. A child of its own may keep the pipe
    /// open, and is not waited for.
    fn hear_out(&mut self) {
        let end = Instant::now() + LAST_LINES;
        let left = || end.saturating_duration_since(Instant::now());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            self.seen.push(line);
        }
    }

    /// Asks it to end (`signal`) and waits for it.
    pub fn end(&mut self, signal: Signal, deadline: Duration) -> ExitStatus {
        let _ = kill_process(self.pid, signal);
        self.wait(deadline)
    }

    /// Whether it has ended when `deadline` has passed.
    pub fn ends_within(&mut self, deadline: Duration) -> bool {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return true;
        }
        let Ok(pidfd) = pidfd_open(self.pid, PidfdFlags::empty()) else { return true };
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let limit = Timespec::try_from(deadline).unwrap();
        poll(&mut fds, Some(&limit)).unwrap() == 1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill_9();
        }
    }
}

fn read_lines(stream: Stream, source: impl Read + Send + 'static, lines: Sender<(Stream, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            let _ = lines.send((stream, String::from_utf8_lossy(&line).into_owned()));
        }
    });
}

/// Whether a process died of this signal.
pub fn died_of(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw())
}

/// A process's state letter (proc(5): `R`, `S`, `D`, `T`, `Z`), none when it is
/// gone.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// A loopback port that was free a moment ago. Somebody else may take it before
/// it is used, so starters try again with another.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A command that runs `program` without privileges: as [`NOBODY`] under root,
/// as the present user otherwise. It keeps its process id.
pub fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    let mut command;
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}")]);
        command.args(["--clear-groups", "--"]).arg(program);
    } else {
        command = Command::new(program);
    }
    command.current_dir("/");
    command
}

/// Gives a file or folder to the user of [`unprivileged`] commands.
pub fn give_away(path: &Path) {
    if geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Finds a program in `folders` or on PATH; panics with `advice` without it.
pub fn find_program(name: &str, folders: &[PathBuf], advice: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed: {advice}"))
}

/// A program of this workspace, as it was built beside the running test.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.is_file(), "{} is not built: `cargo build --bins`", program.display());
    program
}

/// Runs to the end and returns standard output; panics with both streams when
/// it fails.
pub fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
