//! Connections that are kept for many files (`IDSESSION`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::socket::{Socket, Wait};
use crate::media::scan::settings::ClamdAddress;

/// One connection. What is asked over it is numbered, and answered in any order.
pub struct Session {
    socket: Socket,
    asked: u64,
    unanswered: BTreeSet<u64>,
    /// Answers that came before anybody wanted them.
    answers: BTreeMap<u64, String>,
    is_closing: bool,
}

impl Session {
    fn open(address: &ClamdAddress, patience: Duration, wait: &Wait<'_>) -> io::Result<Self> {
        let wait = wait.at_most(patience);
        let mut socket = Socket::connect(address, &wait)?;
        socket.send(b"zIDSESSION\0", &wait)?;
        Ok(Self {
            socket,
            asked: 0,
            unanswered: BTreeSet::new(),
            answers: BTreeMap::new(),
            is_closing: false,
        })
    }

    /// Hands a file over; [`Session::reply`] tells what came of it.
    pub fn pass(&mut self, file: &File, wait: &Wait<'_>) -> io::Result<u64> {
        self.socket.pass(b"zFILDES\0", file, wait)?;
        Ok(self.ask())
    }

    /// Begins a stream, whose bytes [`Session::socket`] takes.
    pub fn stream(&mut self, wait: &Wait<'_>) -> io::Result<u64> {
        self.socket.send(b"zINSTREAM\0", wait)?;
        Ok(self.ask())
    }

    fn ask(&mut self) -> u64 {
        self.asked += 1;
        self.unanswered.insert(self.asked);
        self.asked
    }

    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether all that was asked was answered and heard, so that the next one may ask.
    fn is_idle(&self) -> bool {
        self.unanswered.is_empty() && self.answers.is_empty() && !self.is_closing
    }

    /// What the daemon answers to the question of this number.
    pub fn reply(&mut self, number: u64, wait: &Wait<'_>) -> io::Result<String> {
        loop {
            if let Some(answer) = self.answers.remove(&number) {
                return Ok(answer);
            }
            let reply = self.socket.reply(wait)?;
            self.answered(reply)?;
        }
    }

    pub fn finish_stream(
        &mut self,
        number: u64,
        sent: io::Result<()>,
        wait: &Wait<'_>,
    ) -> io::Result<String> {
        let reply = self.socket.finish_stream(sent, wait)?;
        self.answered(reply)?;
        self.reply(number, wait)
    }

    /// A reply bears the number of what it answers. One that bears another, or
    /// none, would be some other file's.
    fn answered(&mut self, reply: String) -> io::Result<()> {
        let numbered = reply.split_once(": ").and_then(|(number, rest)| {
            let number = number.parse().ok().filter(|number| self.unanswered.contains(number));
            Some((number?, rest.to_owned()))
        });
        let (number, answer) = match numbered {
            Some(numbered) => numbered,
            // It hangs up on who says nothing; an answer may follow on the next line.
            None if reply.starts_with("COMMAND READ TIMED OUT") => {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, reply));
            }
            // What it says as it closes the connection belongs to no file, unless there is
            // but one.
            None if reply.ends_with("ERROR") => {
                self.is_closing = true;
                match self.unanswered.first() {
                    Some(&only) if self.unanswered.len() == 1 => (only, reply),
                    _ => return Err(io::Error::new(ErrorKind::ConnectionAborted, reply)),
                }
            }
            None => return Err(io::Error::other(format!("answered {reply:?} out of turn"))),
        };
        self.unanswered.remove(&number);
        self.answers.insert(number, answer);
        Ok(())
    }
}

/// The connections that nobody uses just now. There are never more than files
/// looked at in parallel.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Session>>);

impl Pool {
    /// A connection, and whether it was used before: one that was may be dead.
    pub fn take(
        &self,
        address: &ClamdAddress,
        patience: Duration,
        wait: &Wait<'_>,
    ) -> io::Result<(Session, bool)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(session) => Ok((session, true)),
            None => Ok((Session::open(address, patience, wait)?, false)),
        }
    }

    /// Only one that owes no answer comes back: it would be taken for another file's.
    pub fn give(&self, session: Session) {
        if !session.is_idle() {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// The daemon at the other end is gone, and so are they.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn wait() -> Wait<'static> {
        Wait::new(Duration::from_secs(30), &())
    }

    /// A connection, the daemon's end of it, and a file to be asked about.
    fn connected() -> (Session, UnixStream, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clamd.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let address = ClamdAddress::Unix(path);
        let session = Session::open(&address, Duration::from_secs(30), &wait()).unwrap();
        let (mut daemon, _) = listener.accept().unwrap();
        let mut hello = [0; 11];
        daemon.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"zIDSESSION\0");
        (session, daemon, tempfile::tempfile().unwrap())
    }

    #[test]
    fn answers_come_in_any_order_and_several_at_once() {
        let (mut session, mut daemon, file) = connected();
        let asked: Vec<u64> = (0..3).map(|_| session.pass(&file, &wait()).unwrap()).collect();
        daemon.write_all(b"3: fd[9]: OK\x001: fd[7]: X FOUND\x002: fd[8]: ").unwrap();
        assert_eq!(session.reply(asked[0], &wait()).unwrap(), "fd[7]: X FOUND");
        assert!(!session.is_idle());
        daemon.write_all(b"Y FOUND\0").unwrap();
        assert_eq!(session.reply(asked[1], &wait()).unwrap(), "fd[8]: Y FOUND");
        assert!(!session.is_idle(), "an answer that nobody heard");
        assert_eq!(session.reply(asked[2], &wait()).unwrap(), "fd[9]: OK");
        assert!(session.is_idle());
    }

    #[test]
    fn an_answer_to_what_was_not_asked_is_no_answer() {
        for said in ["2: fd[7]: OK\0", "fd[7]: OK\0", "x: OK\0"] {
            let (mut session, mut daemon, file) = connected();
            let asked = session.pass(&file, &wait()).unwrap();
            daemon.write_all(said.as_bytes()).unwrap();
            assert_eq!(session.reply(asked, &wait()).unwrap_err().kind(), ErrorKind::Other);
        }
        let (mut session, mut daemon, file) = connected();
        let first = session.pass(&file, &wait()).unwrap();
        let second = session.pass(&file, &wait()).unwrap();
        daemon.write_all(b"1: fd[7]: OK\x001: fd[7]: OK\0").unwrap();
        assert_eq!(session.reply(first, &wait()).unwrap(), "fd[7]: OK");
        assert!(session.reply(second, &wait()).is_err(), "the first one's, said twice");
    }

    #[test]
    fn what_is_said_at_the_end_is_of_a_file_only_if_there_is_but_one() {
        let (mut session, mut daemon, file) = connected();
        let only = session.pass(&file, &wait()).unwrap();
        daemon.write_all(b"No such thing. ERROR\0").unwrap();
        assert_eq!(session.reply(only, &wait()).unwrap(), "No such thing. ERROR");
        assert!(!session.is_idle(), "the daemon hangs up");

        let (mut session, mut daemon, file) = connected();
        let first = session.pass(&file, &wait()).unwrap();
        session.pass(&file, &wait()).unwrap();
        daemon.write_all(b"No such thing. ERROR\0").unwrap();
        let error = session.reply(first, &wait()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "ask each again");
    }

    #[test]
    fn who_is_hung_up_on_asks_again_whatever_else_is_said() {
        for said in ["COMMAND READ TIMED OUT\n\0", "COMMAND READ TIMED OUT\n1: fd[7]: OK\0"] {
            let (mut session, mut daemon, file) = connected();
            let asked = session.pass(&file, &wait()).unwrap();
            daemon.write_all(said.as_bytes()).unwrap();
            let error = session.reply(asked, &wait()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{said:?}");
            assert!(!session.is_idle());
        }
    }
}
