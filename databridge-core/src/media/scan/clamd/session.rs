//! Connections that are kept for many files (`IDSESSION`).

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::socket::{Socket, Wait};
use crate::media::scan::settings::ClamdAddress;

/// One connection with one file in flight at a time; several files are in
/// flight over several of them.
pub struct Session {
    socket: Socket,
    asked: u64,
}

impl Session {
    fn open(address: &ClamdAddress, patience: Duration, wait: &Wait<'_>) -> io::Result<Self> {
        let wait = wait.at_most(patience);
        let mut socket = Socket::connect(address, &wait)?;
        socket.send(b"zIDSESSION\0", &wait)?;
        Ok(Self { socket, asked: 0 })
    }

    /// Hands a file over; [`Session::reply`] tells what came of it.
    pub fn pass(&mut self, file: &File, wait: &Wait<'_>) -> io::Result<()> {
        self.asked += 1;
        self.socket.pass(b"zFILDES\0", file, wait)
    }

    /// Begins a stream, whose bytes [`Session::socket`] takes.
    pub fn stream(&mut self, wait: &Wait<'_>) -> io::Result<()> {
        self.asked += 1;
        self.socket.send(b"zINSTREAM\0", wait)
    }

    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    pub fn reply(&mut self, wait: &Wait<'_>) -> io::Result<String> {
        let reply = self.socket.reply(wait)?;
        self.numbered(reply)
    }

    pub fn finish_stream(&mut self, sent: io::Result<()>, wait: &Wait<'_>) -> io::Result<String> {
        let reply = self.socket.finish_stream(sent, wait)?;
        self.numbered(reply)
    }

    /// A reply bears the number of what it answers. One that bears another, or
    /// none, would be some other file's.
    fn numbered(&self, reply: String) -> io::Result<String> {
        match reply.split_once(": ") {
            Some((number, rest)) if number.parse() == Ok(self.asked) => Ok(rest.to_owned()),
            // What it says as it closes the connection belongs to no file.
            _ if reply.ends_with("ERROR") || reply.ends_with("TIMED OUT") => Ok(reply),
            _ => Err(io::Error::other(format!("answered {reply:?} out of turn"))),
        }
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

    /// Only what answered in order may come back.
    pub fn give(&self, session: Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// The daemon at the other end is gone, and so are they.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
