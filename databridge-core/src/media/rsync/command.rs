//! Running rsync, and ssh, so that they end when they are to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::progress::{self, Done};
use super::source::{Source, absolute};
use super::{Error, Settings, files};
use crate::media::copy::{self, Policy};
use crate::media::manifest::Manifest;
use crate::media::monitor::{Monitor, Progress};

/// How often somebody who waits looks at the cancel flag.
const LOOK: Duration = Duration::from_millis(100);
/// How long the children of a killed program may take to be gone.
const BURIAL: Duration = Duration::from_secs(10);
/// So much of what it said goes into an error.
const SAID_BYTES: usize = 600;

/// One run of rsync.
pub struct Run<'a> {
    pub source: &'a Source,
    pub into: &'a Path,
    pub manifest: &'a Manifest,
    pub policy: &'a Policy,
    pub resume: bool,
    pub settings: &'a Settings,
}

impl Run<'_> {
    /// Runs it to its end, and not longer than it is wanted.
    pub fn run(&self, monitor: &dyn Monitor) -> Result<Done, copy::Error> {
        let mut program = Program::start(self.command()?)?;
        let names: Vec<u8> = files(self.manifest)
            // Without `./` a name that begins with `#` or `;` would be a comment.
            .flat_map(|path| [b"./", path.as_str().as_bytes(), &[0]].concat())
            .collect();
        program.feed(names);
        let mut done = Done::default();
        let status = program.wait(monitor, |line| {
            let next = progress::read(&String::from_utf8_lossy(line), done);
            monitor.on(Progress::Bytes(next.bytes - done.bytes));
            done = next;
        })?;
        if status.success() {
            return Ok(done);
        }
        Err(Error::of_exit(status.code(), program.said()).into())
    }

    fn command(&self) -> Result<Command, Error> {
        let mut command = Command::new(&self.settings.program);
        command
            // Names travel as data: no shell there reads them, and none is an option.
            .args(["--protect-args", "--files-from=-", "--from0"])
            .args(["--no-perms", "--chmod=Du=rwx,Fu=rw"])
            .args(["--partial-dir=.databridge-rsync-partial", "--no-motd"])
            .args(["--info=progress2", "--no-human-readable", "--outbuf=L", "--timeout=120"]);
        if self.policy.keep_mtime {
            command.args(["--times", "--omit-dir-times"]);
        }
        if self.resume {
            command.arg("--checksum");
        }
        if let Some(rate) = self.policy.limit_bytes_per_second {
            command.arg(format!("--bwlimit={}", rate.div_ceil(1024).max(1)));
        }
        if matches!(self.source, Source::Remote { .. }) {
            let shell: Vec<_> = self.settings.ssh.iter().map(|word| quoted(word)).collect();
            command.arg("--rsh").arg(shell.join(" "));
        }
        let mut into = absolute(self.into).into_os_string();
        into.push("/");
        command.arg("--").arg(self.source.argument()?).arg(into);
        Ok(command)
    }
}

/// A word of `--rsh`, which rsync splits at spaces outside of quotes.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}

/// What a command on another host said.
pub struct Spoken {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub said: String,
}

/// Runs a shell script on another host; what it wrote, line breaks and all.
pub fn speak(
    host: &str,
    script: &str,
    settings: &Settings,
    monitor: &dyn Monitor,
) -> Result<Spoken, copy::Error> {
    let mut words = settings.ssh.iter();
    let mut command = Command::new(words.next().map_or("ssh", String::as_str));
    command.args(words).arg("--").arg(host).arg(script);
    let mut program = Program::start(command)?;
    program.feed(Vec::new());
    let mut out = Vec::new();
    let status = program.wait(monitor, |part| out.extend_from_slice(part))?;
    Ok(Spoken { code: status.code(), out, said: program.said() })
}

/// A program in a process group of its own.
struct Program {
    name: String,
    child: Child,
    out: Receiver<Vec<u8>>,
    err: Receiver<Vec<u8>>,
    ended: bool,
}

impl Program {
    fn start(mut command: Command) -> Result<Self, Error> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| Error::NotStarted { program: name.clone(), source })?;
        let out = lines(child.stdout.take());
        let err = lines(child.stderr.take());
        Ok(Self { name, child, out, err, ended: false })
    }

    /// Writes all of its input, from another thread, and closes it.
    fn feed(&mut self, bytes: Vec<u8>) {
        if let Some(mut input) = self.child.stdin.take() {
            // It ends with the program, if not before.
            std::thread::spawn(move || {
                let _ = input.write_all(&bytes);
            });
        }
    }

    /// Waits until it and all that it started are gone.
    fn wait(
        &mut self,
        monitor: &dyn Monitor,
        mut take: impl FnMut(&[u8]),
    ) -> Result<ExitStatus, copy::Error> {
        loop {
            if monitor.cancelled() {
                self.end();
                return Err(copy::Error::Cancelled);
            }
            match self.out.recv_timeout(LOOK) {
                Ok(part) => take(&part),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Its output is closed: it is about to end.
        let status = loop {
            if monitor.cancelled() {
                self.end();
                return Err(copy::Error::Cancelled);
            }
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(LOOK / 10),
                Err(source) => {
                    return Err(Error::NotStarted { program: self.name.clone(), source }.into());
                }
            }
        };
        self.end();
        Ok(status)
    }

    /// The end of what it complained of.
    fn said(&self) -> String {
        let all: Vec<u8> = self.err.iter().flatten().collect();
        let from = all.len().saturating_sub(SAID_BYTES);
        let text = String::from_utf8_lossy(&all[from..]);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join("; ");
        text.chars().filter(|c| !c.is_control()).collect()
    }

    /// Kills the whole group, and waits until nobody is left in it.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let Ok(id) = i32::try_from(self.child.id()) else { return };
        let Some(group) = Pid::from_raw(id) else { return };
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        let start = Instant::now();
        while test_kill_process_group(group).is_ok() && start.elapsed() < BURIAL {
            let _ = kill_process_group(group, Signal::KILL);
            std::thread::sleep(LOOK / 10);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads a pipe in a thread of its own, in pieces that end at line ends or carriage
/// returns where there are any.
fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            loop {
                let part = match pipe.fill_buf() {
                    Ok([]) => break,
                    Ok(part) => part.to_vec(),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                pipe.consume(part.len());
                for byte in part {
                    line.push(byte);
                    if matches!(byte, b'\n' | b'\r')
                        && send.send(std::mem::take(&mut line)).is_err()
                    {
                        return;
                    }
                }
            }
            let _ = send.send(line);
        });
    }
    receive
}
