//! One connection: one command and its reply.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
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

use crate::media::scan::settings::ClamdAddress;

/// How much one INSTREAM chunk carries.
const CHUNK_BYTES: usize = 256 << 10;
/// No reply is longer; what is, is no clamd.
const REPLY_BYTES: usize = 64 << 10;

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// A connection with a deadline, which every call on it keeps.
pub struct Socket {
    stream: Stream,
    deadline: Instant,
}

impl Socket {
    /// Connects, and gives the conversation as long as the connecting.
    pub fn connect(address: &ClamdAddress, timeout: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + timeout;
        let stream = match address {
            ClamdAddress::Unix(path) => {
                let fd = socket_with(
                    AddressFamily::UNIX,
                    SocketType::STREAM,
                    SocketFlags::CLOEXEC,
                    None,
                )?;
                // A daemon that hangs lets its queue fill up, and connecting
                // then blocks; on Linux the send time-out ends that.
                sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(timeout))?;
                rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
                Stream::Unix(UnixStream::from(fd))
            }
            ClamdAddress::Tcp(host) => Stream::Tcp(connect_tcp(host, timeout)?),
        };
        Ok(Self { stream, deadline })
    }

    /// Gives the conversation so long from now on.
    pub fn deadline(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.arm()?;
            let sent = match &mut self.stream {
                Stream::Unix(stream) => stream.write(bytes),
                Stream::Tcp(stream) => stream.write(bytes),
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a command and, with one byte after it, an open file (SCM_RIGHTS).
    pub fn pass(&mut self, command: &[u8], file: &File) -> io::Result<()> {
        self.send(command)?;
        self.arm()?;
        let fds = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let Stream::Unix(stream) = &self.stream else {
            return Err(io::Error::other("descriptors pass over local sockets only"));
        };
        rustix::io::retry_on_intr(|| {
            sendmsg(stream, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)
        })?;
        Ok(())
    }

    /// Bytes in memory as chunks of an INSTREAM.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(CHUNK_BYTES).try_for_each(|chunk| self.chunk(chunk))
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.send(&length.to_be_bytes())?;
        self.send(bytes)
    }

    /// All of a file as chunks; a file that has become shorter is an error.
    pub fn file(&mut self, file: &File, size_bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < size_bytes {
            let want = usize::try_from(size_bytes - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            file.read_exact_at(&mut buffer[..want], offset)?;
            self.chunk(&buffer[..want])?;
            offset += want as u64;
        }
        Ok(())
    }

    /// Ends an INSTREAM and reads the reply. A daemon that refuses the length
    /// closes while we write, and only its reply says why.
    pub fn finish_stream(&mut self, sent: io::Result<()>) -> io::Result<String> {
        match sent.and_then(|()| self.send(&0u32.to_be_bytes())) {
            Ok(()) => self.reply(),
            Err(error) if is_hang_up(&error) => match self.reply() {
                Ok(reply) if !reply.is_empty() => Ok(reply),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Reads up to the terminating NUL, or to the end.
    pub fn reply(&mut self) -> io::Result<String> {
        let mut reply = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            self.arm()?;
            let read = match &mut self.stream {
                Stream::Unix(stream) => stream.read(&mut buffer),
                Stream::Tcp(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) if reply.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => break,
                Ok(n) => reply.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(end) = reply.iter().position(|&byte| byte == 0) {
                reply.truncate(end);
                break;
            }
            if reply.len() > REPLY_BYTES {
                return Err(io::Error::other("a reply without end"));
            }
        }
        Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
    }

    /// Sets what is left as the time-out of the next call.
    fn arm(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match &self.stream {
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn connect_tcp(host: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
