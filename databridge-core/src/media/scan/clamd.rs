//! The ClamAV daemon, over its socket (`clamd(8)`, section COMMANDS).

pub(super) mod probe;
mod reply;
mod socket;

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use self::socket::Socket;
use super::settings::{Clamd, ClamdAddress};
use super::{EngineInfo, Error, Reason, Scanner, Subject, Verdict, content};

/// ClamAV reads no further, whatever its configuration says, and silently calls
/// clean what is larger.
const CEILING_BYTES: u64 = 2_147_483_644;
/// The smallest limit that distributions ship.
const UNKNOWN_LIMIT_BYTES: u64 = 25 << 20;
/// A daemon that keeps silent about its limits gives up after two minutes and
/// calls the file clean; an answer that took half of that is not believed.
const SILENT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// A clamd that has answered, as an engine.
#[derive(Debug)]
pub struct Client {
    clamd: Clamd,
    /// It tells what exceeds its limits (`AlertExceedsMax yes`).
    tells_limits: bool,
}

impl Client {
    /// Asks for a sign of life and learns whether the daemon tells when a file
    /// exceeds its limits, by sending it an archive nested deeper than any
    /// configuration allows.
    ///
    /// # Errors
    /// Nothing answers there, or something that is no clamd.
    pub fn connect(clamd: &Clamd) -> Result<Self, Error> {
        let mut client = Self { clamd: clamd.clone(), tells_limits: false };
        let pong = client.command(b"zPING\0")?;
        if pong != "PONG" {
            return Err(client.gone(io::Error::other(format!("answered PING with {pong:?}"))));
        }
        let reply = client
            .stream(&probe::nested_archive(), client.patience())
            .map_err(|error| client.gone(error))?;
        client.tells_limits = reply::verdict(&reply) == Verdict::not_scanned(Reason::Limits);
        Ok(client)
    }

    /// Largest file whose `OK` is believed.
    fn limit_bytes(&self) -> u64 {
        let unknown = if self.tells_limits { CEILING_BYTES } else { UNKNOWN_LIMIT_BYTES };
        self.clamd.max_file_size_bytes.unwrap_or(unknown).min(CEILING_BYTES)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.clamd.connect_timeout_seconds.max(1))
    }

    fn gone(&self, source: io::Error) -> Error {
        Error::EngineGone { address: self.clamd.address.to_string(), source }
    }

    fn command(&self, command: &[u8]) -> Result<String, Error> {
        let ask = || {
            let mut socket = Socket::connect(&self.clamd.address, self.patience())?;
            socket.send(command)?;
            socket.reply()
        };
        ask().map_err(|error| self.gone(error))
    }

    /// INSTREAM of bytes in memory.
    fn stream(&self, bytes: &[u8], timeout: Duration) -> io::Result<String> {
        let mut socket = self.socket(timeout)?;
        socket.send(b"zINSTREAM\0")?;
        let sent = socket.bytes(bytes);
        socket.finish_stream(sent)
    }

    fn ask(&self, subject: &Subject<'_>) -> io::Result<String> {
        let mut socket = self.socket(subject.timeout)?;
        match (&self.clamd.address, subject.whole) {
            (ClamdAddress::Unix(_), _) => {
                socket.pass(b"zFILDES\0", subject.file)?;
                socket.reply()
            }
            (ClamdAddress::Tcp(_), Some(whole)) => {
                socket.send(b"zINSTREAM\0")?;
                let sent = socket.bytes(whole);
                socket.finish_stream(sent)
            }
            (ClamdAddress::Tcp(_), None) => {
                socket.send(b"zINSTREAM\0")?;
                let sent = socket.file(subject.file, subject.size_bytes);
                socket.finish_stream(sent)
            }
        }
    }

    fn socket(&self, timeout: Duration) -> io::Result<Socket> {
        let mut socket = Socket::connect(&self.clamd.address, self.patience())?;
        socket.deadline(timeout);
        Ok(socket)
    }

    /// Whether an `OK` after `took` means that all of the file was looked at.
    fn believed(&self, subject: &Subject<'_>, took: Duration) -> Verdict {
        if subject.size_bytes > self.limit_bytes() {
            return Verdict::not_scanned(Reason::TooLarge);
        }
        if self.tells_limits {
            return Verdict::Clean;
        }
        if took > SILENT_TIME_LIMIT {
            return Verdict::not_scanned(Reason::TimedOut);
        }
        // What may be unpacked may meet limits on depth, count and unpacked
        // size, and this daemon would not say so.
        if subject.size_bytes == 0 || content::is_flat(subject.head, &subject.extension()) {
            Verdict::Clean
        } else {
            Verdict::not_scanned(Reason::UnknownLimits)
        }
    }
}

impl Scanner for Client {
    fn info(&self) -> Result<EngineInfo, Error> {
        Ok(reply::version(&self.command(b"zVERSION\0")?))
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        if subject.size_bytes > CEILING_BYTES {
            return vec![Verdict::not_scanned(Reason::TooLarge)];
        }
        let start = Instant::now();
        vec![match self.ask(subject) {
            Ok(reply) => match reply::verdict(&reply) {
                Verdict::Clean => self.believed(subject, start.elapsed()),
                other => other,
            },
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                Verdict::not_scanned(Reason::TimedOut)
            }
            Err(error) => Verdict::error(format!("clamd at {}: {error}", self.clamd.address)),
        }]
    }
}
