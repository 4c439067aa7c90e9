//! Large files in pieces (tus 1.0): where the way breaks, or the daemon is started anew,
//! they go on at what was kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderMap, Response};

use super::{Error, Remote, passing};
use crate::app::routes;
use crate::media::monitor::{Monitor, Progress};
use crate::media::storage::RelPath;

/// Files from this length on.
pub(super) const LARGE: u64 = 16 << 20;
/// How often in a row nothing more may arrive, about a minute altogether.
const ATTEMPTS: u32 = 14;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A file on its way, from `at` to `length`; what goes the same way twice is told once.
struct Rest<'a> {
    path: &'a RelPath,
    file: &'a File,
    monitor: &'a dyn Monitor,
    at: u64,
    length: u64,
    told: &'a mut u64,
    /// What is wrong with the file, and not with the way.
    flaw: Option<Error>,
}

impl Rest<'_> {
    /// Breaks the request off, so that what came of it is kept.
    fn broken(&mut self, flaw: Error) -> std::io::Error {
        self.flaw = Some(flaw);
        std::io::Error::other("the file is not as it was")
    }
}

impl Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.monitor.cancelled() {
            return Err(std::io::Error::other("stopped"));
        }
        let path = self.path.clone();
        let count = match self.file.read(buffer) {
            Ok(0) if self.at < self.length && !buffer.is_empty() => {
                return Err(self.broken(Error::Changed { path }));
            }
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(self.broken(Error::Unread { path, source: error }));
            }
            count => count?,
        };
        self.at += count as u64;
        if self.at > *self.told {
            self.monitor.on(Progress::Bytes(self.at - *self.told));
            *self.told = self.at;
        }
        Ok(count)
    }
}

/// What is over by itself, or by asking where to go on.
fn goes_on(error: &Error) -> bool {
    const CODES: [&str; 5] = [
        "http.too_late",
        "http.too_slow",
        "upload.busy",
        "upload.interrupted",
        "upload.wrong_offset",
    ];
    match error {
        Error::Problem { code, .. } if CODES.contains(&code.as_str()) => true,
        error => passing(error),
    }
}

impl Remote {
    /// Sends a file; `false` where the daemon is one that takes none in pieces.
    pub(super) fn send_in_pieces(
        &self,
        code: &str,
        path: &RelPath,
        (mut file, length): (&File, u64),
        monitor: &dyn Monitor,
    ) -> Result<bool, Error> {
        let Some(url) = self.begin_pieces(code, path, length)? else { return Ok(false) };
        let (mut offset, mut told, mut failed) = (0, 0, 0);
        while offset < length {
            file.seek(SeekFrom::Start(offset))
                .map_err(|source| Error::Unread { path: path.clone(), source })?;
            let bearer = self.bearer()?;
            let (at, told) = (offset, &mut told);
            let mut rest = Rest { path, file, monitor, at, length, told, flaw: None };
            let sent = self
                .agent
                .patch(&url)
                .header("authorization", &bearer)
                .header("tus-resumable", "1.0.0")
                .header("content-type", "application/offset+octet-stream")
                .header("upload-offset", offset.to_string())
                .send(ureq::SendBody::from_reader(&mut rest));
            if let Some(flaw) = rest.flaw {
                return Err(flaw);
            }
            let error = match self.headers(sent) {
                Ok(headers) => {
                    let kept = self.kept(&headers)?;
                    if kept > offset {
                        (offset, failed) = (kept, 0);
                        continue;
                    }
                    Error::Strange { url: self.url.clone(), status: 204 }
                }
                Err(error) => error,
            };
            if monitor.cancelled() {
                return Err(error);
            }
            if error.is_crowded() || self.is_crowded_out(&error, &url, offset)? {
                // For as long as others take: that is no failure of the way.
                std::thread::sleep(super::PLACE);
                continue;
            }
            failed += 1;
            if failed > ATTEMPTS || !(goes_on(&error) || self.renewed(&error, &bearer)?) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100 << failed.min(6)).min(LONGEST_WAIT));
            match self.ask_offset(&url) {
                Ok(kept) if kept > offset => (offset, failed) = (kept, 0),
                Ok(kept) => offset = kept,
                Err(error) if goes_on(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn begin_pieces(
        &self,
        code: &str,
        path: &RelPath,
        length: u64,
    ) -> Result<Option<String>, Error> {
        let metadata = format!("path {}", STANDARD.encode(path.as_str()));
        let begun = self
            .agent
            .post(format!("{}{}", self.url, routes::uploads_path(code)))
            .header("authorization", &self.bearer()?)
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length.to_string())
            .header("upload-metadata", metadata)
            .send_empty();
        let headers = match self.headers(begun) {
            Err(Error::Version { .. }) => return Ok(None),
            headers => headers?,
        };
        let place = headers.get("location").and_then(|place| place.to_str().ok());
        let strange = || Error::Strange { url: self.url.clone(), status: 201 };
        Ok(Some(format!("{}{}", self.url, place.ok_or_else(strange)?)))
    }

    /// Whether a piece was broken off because the daemon takes no more files just now: it
    /// closes the connection behind its refusal, which who still sends does not read.
    fn is_crowded_out(&self, error: &Error, url: &str, offset: u64) -> Result<bool, Error> {
        if !matches!(error, Error::Unreachable { .. }) {
            return Ok(false);
        }
        let sent = self
            .agent
            .patch(url)
            .header("authorization", &self.bearer()?)
            .header("tus-resumable", "1.0.0")
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset.to_string())
            .send_empty();
        Ok(self.headers(sent).is_err_and(|error| error.is_crowded()))
    }

    /// How much of it is durable there.
    fn ask_offset(&self, url: &str) -> Result<u64, Error> {
        let asked = self
            .agent
            .head(url)
            .header("authorization", &self.bearer()?)
            .header("tus-resumable", "1.0.0")
            .call();
        let unreachable =
            |source| Error::Unreachable { url: self.url.clone(), source: Box::new(source) };
        // A refusal of HEAD says no more than its status.
        match asked.map_err(unreachable)? {
            found if found.status().is_success() => self.kept(found.headers()),
            refused => {
                let status = refused.status().as_u16();
                Err(Error::Strange { url: url.to_owned(), status })
            }
        }
    }

    fn kept(&self, headers: &HeaderMap) -> Result<u64, Error> {
        let kept = headers.get("upload-offset").and_then(|kept| kept.to_str().ok()?.parse().ok());
        kept.ok_or_else(|| Error::Strange { url: self.url.clone(), status: 204 })
    }

    /// The headers of what was done.
    fn headers(
        &self,
        response: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<HeaderMap, Error> {
        let headers = response.as_ref().map(|r| r.headers().clone()).unwrap_or_default();
        self.answer(response)?;
        Ok(headers)
    }
}
