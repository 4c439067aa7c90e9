//! A connection that waits no longer than it is told to, and stops when nobody
//! wants the answer any more.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg, socket_with, sockopt,
};

use crate::media::monitor::Monitor;
use crate::media::scan::settings::ClamdAddress;

/// How much one INSTREAM chunk carries.
const CHUNK_BYTES: usize = 256 << 10;
/// No reply is longer; what is, is no clamd.
const REPLY_BYTES: usize = 64 << 10;
/// How often a call that waits looks whether to stop.
const TICK: Duration = Duration::from_millis(200);

/// How long to wait, and for whom.
#[derive(Clone, Copy)]
pub struct Wait<'a> {
    deadline: Instant,
    monitor: &'a dyn Monitor,
}

impl<'a> Wait<'a> {
    pub fn new(timeout: Duration, monitor: &'a dyn Monitor) -> Self {
        let now = Instant::now();
        Self { deadline: now.checked_add(timeout).unwrap_or(now), monitor }
    }

    /// The same, but not so long.
    pub fn at_most(self, timeout: Duration) -> Self {
        Self { deadline: self.deadline.min(Self::new(timeout, self.monitor).deadline), ..self }
    }

    /// The time-out of the next call.
    ///
    /// # Errors
    /// `TimedOut`, and `Interrupted` where somebody asked to stop.
    pub fn tick(&self) -> io::Result<Duration> {
        if self.monitor.cancelled() {
            return Err(ErrorKind::Interrupted.into());
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left.min(TICK)) }
    }

    /// Waits, but no longer than there is to wait.
    ///
    /// # Errors
    /// As [`Wait::tick`].
    pub fn pause(&self, pause: Duration) -> io::Result<()> {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            std::thread::sleep(self.tick()?.min(left));
        }
        Ok(())
    }
}

/// Whether a call merely came to the end of a tick.
pub fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection to a clamd.
pub struct Socket {
    stream: Stream,
    /// The time-out that it has: it is mostly the same, and small files are many.
    armed: Cell<Option<Duration>>,
    /// What came and is not taken yet: several replies may come at once.
    received: Vec<u8>,
}

impl Socket {
    pub fn connect(address: &ClamdAddress, wait: &Wait<'_>) -> io::Result<Self> {
        let stream = match address {
            ClamdAddress::Unix(path) => {
                Stream::Unix(connect_unix(&SocketAddrUnix::new(path)?, wait)?)
            }
            ClamdAddress::Tcp(host) => Stream::Tcp(connect_tcp(host, wait)?),
        };
        Ok(Self { stream, armed: Cell::new(None), received: Vec::new() })
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, mut bytes: &[u8], wait: &Wait<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.arm(wait)?;
            let sent = match &mut self.stream {
                Stream::Unix(stream) => stream.write(bytes),
                Stream::Tcp(stream) => stream.write(bytes),
            };
            match sent {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if is_tick(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a command and, with the byte after it, an open file (SCM_RIGHTS): all at
    /// once, so that clamd, too, is woken once.
    pub fn pass(&mut self, command: &[u8], file: &File, wait: &Wait<'_>) -> io::Result<()> {
        let message = [command, &[0]].concat();
        let fds = [file.as_fd()];
        loop {
            self.arm(wait)?;
            let Stream::Unix(stream) = &self.stream else {
                return Err(io::Error::other("descriptors pass over local sockets only"));
            };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
                return Err(io::Error::other("no room for a descriptor"));
            }
            match sendmsg(stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL) {
                // The file went with the first byte.
                Ok(sent) => return self.send(message.get(sent..).unwrap_or_default(), wait),
                Err(error) if is_tick(&error.into()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Bytes as chunks of an INSTREAM.
    pub fn chunks(&mut self, bytes: &[u8], wait: &Wait<'_>) -> io::Result<()> {
        let mut frame = Vec::new();
        for chunk in bytes.chunks(CHUNK_BYTES) {
            frame.clear();
            frame.extend(u32::try_from(chunk.len()).map_err(io::Error::other)?.to_be_bytes());
            frame.extend_from_slice(chunk);
            self.send(&frame, wait)?;
        }
        Ok(())
    }

    /// All of a file as chunks; a file that has become shorter is an error.
    pub fn file(&mut self, file: &File, size_bytes: u64, wait: &Wait<'_>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < size_bytes {
            let want = usize::try_from(size_bytes - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            file.read_exact_at(&mut buffer[..want], offset)?;
            self.chunks(&buffer[..want], wait)?;
            offset += want as u64;
        }
        Ok(())
    }

    /// Ends an INSTREAM and reads the reply. A daemon that refuses the length
    /// closes while we write, and only its reply says why.
    pub fn finish_stream(&mut self, sent: io::Result<()>, wait: &Wait<'_>) -> io::Result<String> {
        match sent.and_then(|()| self.send(&0u32.to_be_bytes(), wait)) {
            Ok(()) => self.reply(wait),
            Err(error) if is_hang_up(&error) => match self.reply(wait) {
                Ok(reply) if !reply.is_empty() => Ok(reply),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The next reply: up to the terminating NUL, or to the end.
    pub fn reply(&mut self, wait: &Wait<'_>) -> io::Result<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == 0) {
                let rest = self.received.split_off(end + 1);
                let reply = std::mem::replace(&mut self.received, rest);
                return Ok(text(&reply[..end]));
            }
            if self.received.len() > REPLY_BYTES {
                return Err(io::Error::other("a reply without end"));
            }
            self.arm(wait)?;
            let read = match &mut self.stream {
                Stream::Unix(stream) => stream.read(&mut buffer),
                Stream::Tcp(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) if self.received.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(0) => return Ok(text(&std::mem::take(&mut self.received))),
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(error) if is_tick(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn arm(&self, wait: &Wait<'_>) -> io::Result<()> {
        let tick = Some(wait.tick()?);
        if self.armed.get() == tick {
            return Ok(());
        }
        match &self.stream {
            Stream::Unix(stream) => {
                stream.set_read_timeout(tick)?;
                stream.set_write_timeout(tick)?;
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(tick)?;
                stream.set_write_timeout(tick)?;
            }
        }
        self.armed.set(tick);
        Ok(())
    }
}

fn text(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).trim_end().to_owned()
}

pub fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn connect_unix(address: &SocketAddrUnix, wait: &Wait<'_>) -> io::Result<UnixStream> {
    loop {
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A daemon that hangs lets its queue fill up, and connecting then
        // blocks; on Linux the send time-out ends that.
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(wait.tick()?))?;
        match rustix::net::connect(&fd, address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(error) if is_tick(&error.into()) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn connect_tcp(host: &str, wait: &Wait<'_>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        loop {
            // Longer than a tick: a packet that was lost is sent again after a second.
            let timeout = wait.tick()?.max(Duration::from_millis(1500));
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) if is_tick(&error) => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}
