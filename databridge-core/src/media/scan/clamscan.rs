//! The ClamAV program, run where there is no daemon (`clamscan(1)`).
//!
//! Loading signatures takes long, so a process is kept: it reads the list of
//! files from a pipe, and says its line about each as soon as it has looked.
//! Files are named by our own descriptors, so that it opens what we opened.

mod process;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use self::process::Process;
use super::clamd::{CEILING_BYTES, Wait, is_tick};
use super::settings::Clamscan;
use super::{EngineInfo, Error, Reason, Scanner, Subject, Verdict, members, probe, reply};
use crate::media::monitor::Monitor;

const NAME: &str = "clamscan";
/// How often whoever waits for a process looks whether to stop.
const TICK: Duration = Duration::from_millis(200);

/// A clamscan that has answered, as an engine.
#[derive(Debug)]
pub struct Client {
    settings: Clamscan,
    arguments: Vec<OsString>,
    /// It knows the test file.
    knows: bool,
    /// It obeys `--alert-exceeds-max` and `--alert-encrypted`, which old ones lack.
    tells: bool,
    idle: Mutex<Idle>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Idle {
    processes: Vec<Process>,
    running: usize,
}

impl Client {
    /// Starts one and learns what it knows and tells.
    ///
    /// # Errors
    /// It is not there, or ends at once, as without signatures.
    pub fn start(settings: &Clamscan, file_timeout: Duration) -> Result<Self, Error> {
        let mut client = Self {
            settings: settings.clone(),
            arguments: arguments(settings, file_timeout),
            knows: false,
            tells: false,
            idle: Mutex::default(),
            freed: Condvar::new(),
        };
        let ask = |bytes: &[u8]| {
            let file = File::from(memfd_create("databridge-probe", MemfdFlags::CLOEXEC)?);
            file.write_all_at(bytes, 0)?;
            let timeout = client.start_timeout();
            client.ask(&file, timeout, &()).map(|said| reply::verdict(&said))
        };
        let encrypted = Verdict::not_scanned(Reason::Encrypted);
        let asked = || {
            let knows = matches!(ask(&probe::test_virus())?, Verdict::Infected { .. });
            let tells = ask(&probe::nested_archive())? == Verdict::not_scanned(Reason::Limits)
                && ask(&probe::stored_entry(&[0x5a; 64], 1))? == encrypted
                && ask(&probe::encrypted_pdf())? == encrypted;
            Ok((knows, tells))
        };
        let (knows, tells) = asked().map_err(gone)?;
        client.knows = knows;
        client.tells = tells;
        Ok(client)
    }

    fn start_timeout(&self) -> Duration {
        Duration::from_secs(self.settings.start_timeout_seconds.max(1))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process that has nothing to do; `None`: the caller may start one.
    fn take(&self, monitor: &dyn Monitor) -> io::Result<Option<Process>> {
        let mut idle = self.idle();
        loop {
            if monitor.cancelled() {
                return Err(ErrorKind::Interrupted.into());
            }
            if let Some(process) = idle.processes.pop() {
                return Ok(Some(process));
            }
            if idle.running < self.settings.processes.max(1) {
                idle.running += 1;
                return Ok(None);
            }
            let woken = self.freed.wait_timeout(idle, TICK);
            idle = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for its turn, and then no longer than `timeout` for the answer.
    fn ask(&self, file: &File, timeout: Duration, monitor: &dyn Monitor) -> io::Result<String> {
        let taken = self.take(monitor)?;
        let loading = if taken.is_none() { self.start_timeout() } else { Duration::ZERO };
        let wait = Wait::new(timeout + loading, monitor);
        let process = match taken {
            Some(process) => Ok(process),
            None => Process::start(&self.settings.program, &self.arguments),
        };
        let (process, answer) = match process {
            Ok(mut process) => {
                let answer = process.ask(file, &wait);
                (Some(process), answer)
            }
            Err(error) => (None, Err(error)),
        };
        let mut idle = self.idle();
        match process.filter(|_| answer.is_ok()) {
            Some(process) => idle.processes.push(process),
            // Dead, or it would answer the next file with this one's line.
            None => idle.running -= 1,
        }
        drop(idle);
        self.freed.notify_one();
        answer
    }

    /// The one limit that is never told: on the members of a ZIP, at any depth.
    fn reads_members(&self, subject: &Subject<'_>) -> bool {
        let largest = self.settings.max_file_size_bytes.min(CEILING_BYTES);
        members::largest(subject).is_some_and(|member| member <= largest)
    }

    fn believed(&self, subject: &Subject<'_>) -> Verdict {
        match subject.size_bytes > self.settings.max_file_size_bytes.min(CEILING_BYTES) {
            true => Verdict::not_scanned(Reason::TooLarge),
            false if !self.knows => Verdict::not_scanned(Reason::NoSignatures),
            false if subject.size_bytes == 0 => Verdict::Clean,
            false if self.tells && self.reads_members(subject) => Verdict::Clean,
            false => Verdict::not_scanned(Reason::UnknownLimits),
        }
    }
}

fn gone(source: io::Error) -> Error {
    Error::EngineGone { engine: NAME.into(), source }
}

/// Its signatures, and every limit, so that none is the packager's.
fn arguments(settings: &Clamscan, file_timeout: Duration) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--file-list=/dev/stdin".into(),
        "--follow-file-symlinks=2".into(),
        "--stdout".into(),
        "--no-summary".into(),
        "--alert-exceeds-max=yes".into(),
        "--alert-encrypted=yes".into(),
        format!("--max-filesize={}", settings.max_file_size_bytes.min(CEILING_BYTES)),
        format!("--max-scansize={}", settings.max_scan_size_bytes),
        format!("--max-recursion={}", settings.max_recursion),
        format!("--max-files={}", settings.max_files),
        format!("--max-scantime={}", file_timeout.as_millis()),
    ]
    .map(OsString::from)
    .into();
    arguments.extend(database(settings));
    arguments
}

fn database(settings: &Clamscan) -> Option<OsString> {
    let database = settings.database.as_ref()?;
    let mut argument = OsString::from("--database=");
    argument.push(database);
    Some(argument)
}

impl Scanner for Client {
    fn info(&self) -> Result<EngineInfo, Error> {
        let arguments: Vec<_> =
            [OsString::from("--version")].into_iter().chain(database(&self.settings)).collect();
        let said = Process::start(&self.settings.program, &arguments)
            .and_then(|mut process| process.line(&Wait::new(self.start_timeout(), &())));
        Ok(reply::version(NAME, &said.map_err(gone)?))
    }

    fn limits(&self) -> Option<String> {
        let largest = self.settings.max_file_size_bytes.min(CEILING_BYTES);
        let mut said =
            format!("read up to {largest} bytes, {} unpacked", self.settings.max_scan_size_bytes);
        if !self.knows {
            said.push_str("; it does not know the test file: nothing is clean");
        }
        Some(said)
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        if subject.size_bytes > CEILING_BYTES {
            return vec![Verdict::not_scanned(Reason::TooLarge)];
        }
        let ask = || self.ask(subject.file, subject.timeout, subject.monitor);
        let answer = match ask() {
            // It may have been ended for what it had grown to; a new one may do.
            Err(error) if is_end(&error) && !subject.monitor.cancelled() => ask(),
            answer => answer,
        };
        vec![match answer {
            Ok(said) => match reply::verdict(&said) {
                Verdict::Clean => self.believed(subject),
                other => other,
            },
            Err(error) if is_tick(&error) => Verdict::not_scanned(Reason::TimedOut),
            Err(error) => Verdict::error(format!("clamscan: {error}")),
        }]
    }
}

/// The process ended.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}
