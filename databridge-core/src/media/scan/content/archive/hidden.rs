//! What an archive carries and nobody who opens it reads: a ZIP that ends there is found by
//! whoever opens the whole as one, and what it holds was not looked at.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};

use flate2::bufread::GzDecoder;

/// How the end of a ZIP begins (APPNOTE 4.3.16).
pub(super) const ZIP_END: &[u8] = b"PK\x05\x06";

/// Looks for the end of a ZIP in what is written to it.
#[derive(Debug, Default)]
pub(super) struct ZipEnds {
    /// The last bytes, which may begin one.
    last: Vec<u8>,
    /// Whether there was one.
    pub found: bool,
}

impl Write for ZipEnds {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.found {
            let most = ZIP_END.len() - 1;
            self.last.extend_from_slice(&bytes[..bytes.len().min(most)]);
            self.found = has_end(&self.last) || has_end(bytes);
            if bytes.len() > most {
                self.last.clear();
                self.last.extend_from_slice(&bytes[bytes.len() - most..]);
            }
            self.last.drain(..self.last.len().saturating_sub(most));
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn has_end(bytes: &[u8]) -> bool {
    super::super::find(bytes, ZIP_END).is_some()
}

/// All members of a gzip file (RFC 1952), whose headers may carry what they like.
pub(super) struct Members<'a, R> {
    member: Option<GzDecoder<R>>,
    hides: &'a Cell<bool>,
}

impl<'a, R: BufRead> Members<'a, R> {
    /// `hides` is set where a ZIP ends in one of them.
    pub fn new(inner: R, hides: &'a Cell<bool>) -> Self {
        Self { member: Some(GzDecoder::new(inner)), hides }
    }
}

impl<R: BufRead> Read for Members<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if let Some(extra) = member.header().and_then(|header| header.extra()) {
                self.hides.set(self.hides.get() || has_end(extra));
            }
            if n > 0 {
                return Ok(n);
            }
            let Some(mut inner) = self.member.take().map(GzDecoder::into_inner) else { break };
            if !inner.fill_buf()?.is_empty() {
                self.member = Some(GzDecoder::new(inner));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_end_is_found_however_it_comes(
            before in proptest::collection::vec(0_u8..8, 0..20),
            cuts in proptest::collection::vec(1_usize..4, 0..40),
            is_there: bool,
        ) {
            let mut bytes = before;
            if is_there {
                bytes.extend_from_slice(ZIP_END);
                bytes.extend_from_slice(&[0; 18]);
            }
            let (mut ends, mut rest) = (ZipEnds::default(), &bytes[..]);
            for cut in cuts {
                let (now, then) = rest.split_at(cut.min(rest.len()));
                ends.write_all(now).unwrap();
                rest = then;
            }
            ends.write_all(rest).unwrap();
            prop_assert_eq!(ends.found, is_there);
        }
    }
}
