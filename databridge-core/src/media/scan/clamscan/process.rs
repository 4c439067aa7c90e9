//! One running clamscan.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::media::scan::clamd::{Wait, is_tick};

/// No line is longer; what writes one is no clamscan.
const LINE_BYTES: usize = 64 << 10;

/// A child that ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: UnixStream,
    buffer: Vec<u8>,
}

impl Process {
    pub fn start(program: &Path, arguments: &[OsString]) -> io::Result<Self> {
        // A socket and not a pipe: reading from it can end in time.
        let (said, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, said, buffer: Vec::new() })
    }

    /// What it says about a file, which it opens by our descriptor.
    pub fn ask(&mut self, file: &File, wait: &Wait<'_>) -> io::Result<String> {
        let name = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let list = self.child.stdin.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        list.write_all(format!("{name}\n").as_bytes())?;
        loop {
            let line = self.line(wait)?;
            match line.split_once(&name) {
                Some(("", _)) => return Ok(line),
                // `WARNING: …: Can't access file`
                Some(_) => return Err(io::Error::other(line)),
                None => {}
            }
        }
    }

    /// The next line that it writes.
    pub fn line(&mut self, wait: &Wait<'_>) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > LINE_BYTES {
                return Err(io::Error::other("a line without end"));
            }
            self.said.set_read_timeout(Some(wait.tick()?))?;
            let mut bytes = [0; 1024];
            match self.said.read(&mut bytes) {
                Ok(0) => return Err(self.ended()),
                Ok(n) => self.buffer.extend_from_slice(&bytes[..n]),
                Err(error) if is_tick(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// It ends by itself with status 2 where it has no signatures, and by a
    /// signal where memory runs out.
    fn ended(&mut self) -> io::Error {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        io::Error::new(ErrorKind::UnexpectedEof, format!("it ended with {status}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
