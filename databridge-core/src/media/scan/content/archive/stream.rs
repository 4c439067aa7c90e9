//! Packed streams, and the tar archives that most of them hold.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};

use super::super::bytes::Bytes;
use super::Format;
use super::budget::{Budget, MEMORY_KIB, Meter, Stop};
use super::lzma::Stepped;
use super::tail;
use super::walk::{Place, Walk};

/// A file read from its beginning, which counts how far.
pub(super) struct Source<'s> {
    bytes: Bytes<'s>,
    at: u64,
    read: &'s Cell<u64>,
    budget: &'s Budget<'s>,
}

impl<'s> Source<'s> {
    pub const fn new(bytes: Bytes<'s>, read: &'s Cell<u64>, budget: &'s Budget<'s>) -> Self {
        Self { bytes, at: 0, read, budget }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.budget.check()?;
        let bytes = self.bytes.up_to(self.at, buffer.len()).inspect_err(|e| self.budget.fail(e))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        self.read.set(self.read.get() + bytes.len() as u64);
        Ok(bytes.len())
    }
}

impl io::Seek for Source<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let at = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::End(by) => self.bytes.size().checked_add_signed(by),
            io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Walk<'_> {
    pub(super) fn stream(
        &mut self,
        bytes: Bytes<'_>,
        format: Format,
        name: &str,
        place: Place<'_>,
    ) -> Result<(), Stop> {
        let (read, budget) = (Cell::new(0), self.budget);
        if format != Format::Tar && tail::hides_zip(bytes) {
            // In a header, in what is to be skipped, or in what is packed by not packing it.
            self.skipped(format!("{}a ZIP ends in it as it stands, packed", place.at()));
        }
        let source = BufReader::with_capacity(64 << 10, Source::new(bytes, &read, budget));
        let mut unpacked: Box<dyn Read + '_> = match format {
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
            Format::Zstd => Box::new(Frames::new(source)),
            Format::Xz => {
                let steps = lzma_rust2::XzStream::new_mem_limit(true, MEMORY_KIB);
                Box::new(Stepped::new(steps, source))
            }
            // Nothing is packed in it.
            _ => return self.tar(Meter::new(source, &Cell::new(u64::MAX), budget), place),
        };
        // Whether a tar archive is in it shows in the first block.
        let mut first = Vec::new();
        let ended = unpacked.by_ref().take(512).read_to_end(&mut first);
        let rest: Box<dyn Read + '_> = match ended {
            Ok(_) => Box::new(Cursor::new(first.clone()).chain(unpacked)),
            Err(error) => Box::new(Cursor::new(first.clone()).chain(Broken(Some(error)))),
        };
        if Format::of(&first) == Some(Format::Tar) {
            return self.tar(Meter::new(rest, &read, budget), place);
        }
        budget.entry()?;
        let stem = name.rsplit('/').next().unwrap_or_default();
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        let stem = if stem.is_empty() { "content" } else { stem };
        self.entry(&mut Meter::new(rest, &read, budget), stem, place).map(drop)
    }
}

/// Fails as the reader before it did.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

type Decoder<R> = ruzstd::decoding::StreamingDecoder<Pushed<R>, ruzstd::decoding::FrameDecoder>;

/// All Zstandard frames of a stream, one after the other (RFC 8878, 3.1).
struct Frames<R: Read> {
    between: Option<Pushed<R>>,
    frame: Option<Decoder<R>>,
}

impl<R: Read> Frames<R> {
    const fn new(inner: R) -> Self {
        Self { between: Some(Pushed { back: Vec::new(), inner }), frame: None }
    }

    /// Moves on to the next frame; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let Some(mut source) = self.between.take() else { return Ok(false) };
        loop {
            let mut magic = Vec::new();
            source.by_ref().take(4).read_to_end(&mut magic)?;
            let Ok(number) = <[u8; 4]>::try_from(&magic[..]).map(u32::from_le_bytes) else {
                return Ok(false);
            };
            if number & 0xffff_fff0 == 0x184d_2a50 {
                let mut length = [0; 4];
                source.read_exact(&mut length)?;
                let skipped = u64::from(u32::from_le_bytes(length));
                let past = io::copy(&mut source.by_ref().take(skipped), &mut io::sink())?;
                if past < skipped {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            source.back = magic;
            let frame = Decoder::new(source).map_err(io::Error::other)?;
            self.frame = Some(frame);
            return Ok(true);
        }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let n = frame.read(buffer)?;
                if n > 0 {
                    return Ok(n);
                }
                self.between = self.frame.take().map(Decoder::into_inner);
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// A reader to which bytes can be given back.
struct Pushed<R> {
    back: Vec<u8>,
    inner: R,
}

impl<R: Read> Read for Pushed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.back.is_empty() {
            return self.inner.read(buffer);
        }
        let n = buffer.len().min(self.back.len());
        buffer[..n].copy_from_slice(&self.back[..n]);
        self.back.drain(..n);
        Ok(n)
    }
}
