//! The ClamAV daemon, over its socket (`clamd(8)`, section COMMANDS).

mod limits;
mod look;
mod session;
mod socket;

use std::io::{self, ErrorKind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(super) use self::limits::CEILING_BYTES;
use self::limits::Config;
use self::look::{Passed, Streamed};
use self::session::{Pool, Session};
use self::socket::Socket;
pub(super) use self::socket::{Wait, is_tick};
use super::settings::{Clamd, ClamdAddress};
use super::{
    EngineInfo, Error, Look, Opened, Reason, Scanner, Subject, Verdict, content, members, probe,
    reply,
};

/// The first wait before a daemon that is gone is asked again; it doubles.
const BACKOFF: Duration = Duration::from_millis(50);
/// The longest of these waits.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// A file at which the daemon hangs up so often may well be what ends it.
const MOST_DEATHS: u32 = 4;
/// A file may take so long, whatever the one at the limit took: nobody sets clamd's
/// `MaxScanTime` (two minutes, unless it is set) as low, and a busy host is no limit.
const PATIENCE: Duration = Duration::from_secs(10);

/// A clamd that has answered, as an engine.
pub struct Client {
    clamd: Clamd,
    config: Option<Config>,
    /// It tells what exceeds its limits (`AlertExceedsMax yes`).
    tells_limits: bool,
    /// It tells what is encrypted (`AlertEncrypted yes`).
    tells_encrypted: bool,
    /// It knows the test file; one that does not has no signatures.
    knows: bool,
    /// How long the file at the limit took; `None`: it was not read to its end.
    proved: OnceLock<Option<Duration>>,
    pool: Pool,
    /// Since when nobody answers, and what happened then.
    gone: Mutex<Option<(Instant, String)>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("clamd", &self.clamd).finish_non_exhaustive()
    }
}

impl Client {
    /// Asks for a sign of life and learns what the daemon tells: whether it knows
    /// the test file, and what it says of an archive nested deeper than any
    /// configuration allows, and of encrypted files.
    ///
    /// # Errors
    /// Nothing answers there, or something that is no clamd.
    pub fn connect(clamd: &Clamd) -> Result<Self, Error> {
        let mut client = Self {
            clamd: clamd.clone(),
            config: Config::of(clamd),
            tells_limits: false,
            tells_encrypted: false,
            knows: false,
            proved: OnceLock::new(),
            pool: Pool::default(),
            gone: Mutex::new(None),
        };
        let pong = client.command(b"zPING\0").map_err(|error| client.is_gone(error))?;
        if pong != "PONG" {
            let source = io::Error::other(format!("answered PING with {pong:?}"));
            return Err(client.is_gone(source));
        }
        let ask = |bytes: &[u8]| {
            let wait = Wait::new(client.patience() * 2, &());
            client.stream(bytes, &wait).map(|said| reply::verdict(&said))
        };
        let asked = || {
            let encrypted = Verdict::not_scanned(Reason::Encrypted);
            Ok([
                matches!(ask(&probe::test_virus())?, Verdict::Infected { .. }),
                ask(&probe::nested_archive())? == Verdict::not_scanned(Reason::Limits),
                ask(&probe::stored_entry(&[0x5a; 64], 1))? == encrypted,
                ask(&probe::encrypted_pdf())? == encrypted,
            ])
        };
        let [virus, limits, archive, document] = asked().map_err(|error| client.is_gone(error))?;
        client.knows = virus;
        client.tells_limits = limits;
        client.tells_encrypted = archive && document;
        Ok(client)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.clamd.connect_timeout_seconds.max(1))
    }

    fn is_gone(&self, source: io::Error) -> Error {
        Error::EngineGone { engine: format!("clamd at {}", self.clamd.address), source }
    }

    /// One command on a connection of its own.
    fn command(&self, command: &[u8]) -> io::Result<String> {
        let wait = Wait::new(self.patience(), &());
        let mut socket = Socket::connect(&self.clamd.address, &wait)?;
        socket.send(command, &wait)?;
        socket.reply(&wait)
    }

    /// INSTREAM of bytes in memory.
    fn stream(&self, bytes: &[u8], wait: &Wait<'_>) -> io::Result<String> {
        let mut socket = Socket::connect(&self.clamd.address, &wait.at_most(self.patience()))?;
        socket.send(b"zINSTREAM\0", wait)?;
        let sent = socket.chunks(bytes, wait);
        socket.finish_stream(sent, wait)
    }

    fn take(&self, wait: &Wait<'_>) -> io::Result<(Session, bool)> {
        self.pool.take(&self.clamd.address, self.patience(), wait)
    }

    /// Asks about a file until there is an answer, or until whoever answers has
    /// been gone too long.
    fn ask(&self, subject: &Subject<'_>, wait: &Wait<'_>) -> io::Result<String> {
        let gone = Wait::new(Duration::from_secs(self.clamd.retry_seconds), subject.monitor);
        let (mut backoff, mut deaths) = (BACKOFF, 0);
        loop {
            let (error, used) = match self.take(wait) {
                Ok((mut session, used)) => match self.ask_over(&mut session, subject, wait) {
                    Ok(reply) => {
                        self.pool.give(session);
                        return Ok(reply);
                    }
                    Err(error) => (error, used),
                },
                Err(error) => (error, false),
            };
            if !may_pass(&error) {
                return Err(error);
            }
            self.pool.clear();
            if used {
                // The daemon closes what has been idle, or was started again.
                continue;
            }
            deaths += u32::from(!is_absent(&error));
            if deaths >= MOST_DEATHS || gone.tick().is_err() {
                return Err(error);
            }
            wait.pause(backoff)?;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    fn ask_over(
        &self,
        session: &mut Session,
        subject: &Subject<'_>,
        wait: &Wait<'_>,
    ) -> io::Result<String> {
        match &self.clamd.address {
            ClamdAddress::Unix(_) => {
                let number = session.pass(subject.file, wait)?;
                session.reply(number, wait)
            }
            ClamdAddress::Tcp(_) => {
                let number = session.stream(wait)?;
                let sent = match subject.whole {
                    Some(whole) => session.socket().chunks(whole, wait),
                    None => session.socket().file(subject.file, subject.size_bytes, wait),
                };
                session.finish_stream(number, sent, wait)
            }
        }
    }

    /// Whether an `OK` after `took` means that all of the file was looked at.
    fn believed(&self, subject: &Subject<'_>, took: Duration) -> Verdict {
        let unknown = Verdict::not_scanned(Reason::UnknownLimits);
        if !self.knows {
            return Verdict::not_scanned(Reason::NoSignatures);
        }
        if subject.size_bytes == 0 {
            return Verdict::Clean;
        }
        // What may be unpacked may be encrypted, and may meet limits on depth,
        // count and unpacked size; a daemon that is silent would not say so.
        let flat =
            content::is_flat(subject.head, &subject.extension()) && !members::hides_zip(subject);
        let told = self.tells_limits && self.tells_encrypted;
        if self.tells_limits {
            let promised = self.clamd.max_file_size_bytes.unwrap_or(u64::MAX);
            return match subject.size_bytes > promised.min(CEILING_BYTES) {
                true => Verdict::not_scanned(Reason::TooLarge),
                false if flat => Verdict::Clean,
                false if told && self.reads_members(subject) => Verdict::Clean,
                false => unknown,
            };
        }
        let largest = limits::largest(&self.clamd, self.config.as_ref());
        if subject.size_bytes > largest {
            return Verdict::not_scanned(Reason::TooLarge);
        }
        let Some(proved) = self.proof(largest, subject).filter(|_| flat) else { return unknown };
        let known = self.config.as_ref().map(|config| config.max_scan_time);
        // It would stop at its time limit and call the file clean.
        match took > known.map_or(proved.max(PATIENCE), |limit| limit / 2) {
            true => Verdict::not_scanned(Reason::TimedOut),
            false => Verdict::Clean,
        }
    }

    /// The one limit that is never told: on the members of a ZIP, at any depth.
    fn reads_members(&self, subject: &Subject<'_>) -> bool {
        let largest = limits::largest(&self.clamd, self.config.as_ref());
        match members::largest(subject) {
            None => false,
            Some(0) => true,
            // A limit that we only take for granted must be proved.
            Some(member) => member <= largest && self.proof(largest, subject).is_some(),
        }
    }

    fn proof(&self, largest: u64, like: &Subject<'_>) -> Option<Duration> {
        *self.proved.get_or_init(|| self.prove(largest, like))
    }

    /// Lets the daemon look at a file that has the test file at the end of all
    /// that it may read. Answers how long that took.
    fn prove(&self, largest: u64, like: &Subject<'_>) -> Option<Duration> {
        let (file, size_bytes) = probe::at_the_limit(largest).ok()?;
        let wait = Wait::new(like.timeout, like.monitor);
        let start = Instant::now();
        let subject = Subject { file: &file, size_bytes, whole: None, head: b"", ..*like };
        let said = self.ask(&subject, &wait).ok()?;
        matches!(reply::verdict(&said), Verdict::Infected { .. }).then(|| start.elapsed())
    }

    fn verdict(
        &self,
        answer: io::Result<String>,
        subject: &Subject<'_>,
        start: Instant,
    ) -> Verdict {
        match answer {
            Ok(said) => match reply::verdict(&said) {
                Verdict::Clean => self.believed(subject, start.elapsed()),
                other => other,
            },
            Err(error) if is_tick(&error) => {
                self.pool.clear();
                // Slow with this file, or hanging altogether?
                if !subject.monitor.cancelled()
                    && let Err(error) = self.command(b"zPING\0")
                {
                    self.lose(&error);
                }
                Verdict::not_scanned(Reason::TimedOut)
            }
            Err(error) => {
                if is_absent(&error) {
                    self.lose(&error);
                }
                Verdict::error(format!("clamd at {}: {error}", self.clamd.address))
            }
        }
    }

    fn lose(&self, error: &io::Error) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        *gone = Some((Instant::now(), error.to_string()));
    }

    /// Why not to ask: nobody answered a moment ago. Many files must not each
    /// wait until that is found out again.
    fn lost(&self) -> Option<Verdict> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, error) = gone.as_ref()?;
        let retry = Duration::from_secs(self.clamd.retry_seconds.max(1));
        let said = format!("clamd at {} no longer answers: {error}", self.clamd.address);
        (since.elapsed() < retry).then(|| Verdict::error(said))
    }
}

/// Nobody is there, as while a daemon restarts.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Whether asking again may help.
fn may_pass(error: &io::Error) -> bool {
    is_absent(error)
        || socket::is_hang_up(error)
        || matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionAborted)
}

impl Scanner for Client {
    fn info(&self) -> Result<EngineInfo, Error> {
        let said = self.command(b"zVERSION\0").map_err(|error| self.is_gone(error))?;
        Ok(reply::version("clamd", &said))
    }

    fn limits(&self) -> Option<String> {
        let promised = self.clamd.max_file_size_bytes.unwrap_or(u64::MAX);
        let largest = match self.tells_limits {
            true => promised.min(CEILING_BYTES),
            false => limits::largest(&self.clamd, self.config.as_ref()),
        };
        let mut said = vec![match self.tells_limits {
            true => format!("read up to {largest} bytes, it tells what is beyond its limits"),
            false => format!(
                "read up to {largest} bytes once that is proved, it does not tell what is beyond \
                 its limits"
            ),
        }];
        if !self.tells_encrypted {
            said.push("it does not tell what is encrypted: no archive is clean".into());
        }
        if !self.knows {
            said.push("it does not know the test file: nothing is clean".into());
        }
        Some(said.join("; "))
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        if subject.size_bytes > CEILING_BYTES {
            return vec![Verdict::not_scanned(Reason::TooLarge)];
        }
        if let Some(lost) = self.lost() {
            return vec![lost];
        }
        let start = Instant::now();
        let answer = self.ask(subject, &Wait::new(subject.timeout, subject.monitor));
        vec![self.verdict(answer, subject, start)]
    }

    fn begin<'a>(&'a self, opened: &[Opened<'a>]) -> Vec<Option<Box<dyn Look + 'a>>> {
        let is_too_large = opened.iter().any(|opened| opened.size_bytes > CEILING_BYTES);
        if is_too_large || self.lost().is_some() {
            return opened.iter().map(|_| None).collect();
        }
        match (&self.clamd.address, opened) {
            (ClamdAddress::Unix(_), _) => Passed::several(self, opened)
                .into_iter()
                .map(|passed| Some(Box::new(passed?) as Box<dyn Look>))
                .collect(),
            (ClamdAddress::Tcp(_), [one]) => {
                vec![Streamed::one(self, one).map(|streamed| Box::new(streamed) as Box<dyn Look>)]
            }
            // Small ones are held anyway and streamed from there.
            (ClamdAddress::Tcp(_), _) => opened.iter().map(|_| None).collect(),
        }
    }
}
