//! 7z archives. The list of entries is read here, since the crate that reads it takes
//! as much memory as an archive asks for; decoders are those of other archives.

mod list;

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read, Seek};

use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::filter::delta::DeltaReader;
use lzma_rust2::{Lzma2Stream, LzmaStream};

use self::list::{Coder, Flaw, Folder, List, Packed, START_BYTES};
use super::super::bytes::Bytes;
use super::budget::{Budget, MEMORY_KIB, Meter, Stop};
use super::lzma::Stepped;
use super::stream::Source;
use super::walk::{Place, Walk};
use crate::media::scan::Reason;

/// A list of entries, packed or not.
const LIST_BYTES: u64 = 16 << 20;

/// Coders by their numbers in 7-Zip's `Methods.txt`.
const COPY: &[u8] = &[0];
const DELTA: &[u8] = &[3];
const LZMA2: &[u8] = &[0x21];
const LZMA: &[u8] = &[3, 1, 1];
const DEFLATE: &[u8] = &[4, 1, 8];
const BZIP2: &[u8] = &[4, 2, 2];
const AES: &[u8] = &[6, 0xf1, 7, 1];

impl Walk<'_> {
    pub(super) fn sevenz(&mut self, bytes: Bytes<'_>, place: Place<'_>) -> Result<(), Stop> {
        let list = match self.list(bytes) {
            Ok(list) => list,
            Err(flaw) => return self.flawed(flaw, place),
        };
        for file in &list.files {
            self.trick(file.name.as_bytes(), place);
        }
        let mut files = list.files.iter();
        for folder in &list.folders {
            let read = Cell::new(0);
            let unpacked = match decoder(bytes, folder, &read, self.budget) {
                Ok(unpacked) => unpacked,
                Err(flaw) => {
                    self.flawed(flaw, place)?;
                    for _ in &folder.streams {
                        files.find(|file| file.has_stream);
                    }
                    continue;
                }
            };
            let mut unpacked = Meter::new(unpacked, &read, self.budget);
            for stream in &folder.streams {
                self.budget.entry()?;
                let Some(file) = files.find(|file| file.has_stream) else {
                    return self.flawed(Flaw::damaged("it holds more than its list names"), place);
                };
                let mut content = Content::new(&mut unpacked, stream.size_bytes, stream.crc);
                if file.is_link {
                    let mut target = Vec::new();
                    let _ = content.by_ref().take(4096).read_to_end(&mut target);
                    self.link(file.name.as_bytes(), &target, place);
                    let _ = io::copy(&mut content, &mut io::sink());
                } else {
                    self.entry(&mut content, &file.name, place)?;
                }
                if let Some(stop) = self.budget.stopped() {
                    return Err(stop);
                }
            }
        }
        match files.find(|file| file.has_stream) {
            Some(_) => self.flawed(Flaw::damaged("its list names more than it holds"), place),
            None => Ok(()),
        }
    }

    /// The list of entries, which may be packed itself.
    fn list(&self, bytes: Bytes<'_>) -> Result<List, Flaw> {
        let start = bytes.up_to(0, START_BYTES)?;
        let Some(at) = list::start(&start)? else { return Ok(List::default()) };
        let mut header = at.read(bytes)?;
        let entries = self.budget.entries();
        // A packed list holds where the next one stands, and so on.
        for _ in 0..4 {
            match list::read(&header, entries)? {
                Packed::List(list) => return Ok(list),
                Packed::In(folder) => {
                    let read = Cell::new(0);
                    let unpacked = decoder(bytes, &folder, &read, self.budget)?;
                    let size = folder.streams.first().map_or(0, |stream| stream.size_bytes);
                    let crc = folder.streams.first().and_then(|stream| stream.crc);
                    // Bounded by its length, and not by its ratio: names repeat.
                    header = read_list(Content::new(unpacked, size, crc), size)?;
                }
            }
        }
        Err(Flaw::damaged("its list is packed again and again"))
    }

    /// What keeps this archive, or a part of it, from being looked at.
    fn flawed(&mut self, flaw: Flaw, place: Place<'_>) -> Result<(), Stop> {
        if let Some(stop) = self.budget.stopped() {
            return Err(stop);
        }
        match flaw {
            Flaw::Stop(stop) => return Err(stop),
            Flaw::Encrypted => {
                let why = format!("{}a part of it is encrypted", place.at());
                (self.seen)(super::Seen::NotScanned(Reason::Encrypted, why));
            }
            Flaw::Unknown(coder) => {
                let why = format!("{}a part of it is packed by {coder}", place.at());
                self.note("content.archive_unopened", why);
            }
            Flaw::Damaged(why) => {
                self.note("content.archive_damaged", format!("{}{why}", place.at()));
            }
        }
        Ok(())
    }
}

fn read_list(reader: impl Read, size_bytes: u64) -> Result<Vec<u8>, Flaw> {
    if size_bytes > LIST_BYTES {
        return Err(Flaw::Stop(Stop::Directory));
    }
    let mut header = Vec::new();
    let mut reader = reader.take(size_bytes + 1);
    reader.read_to_end(&mut header)?;
    Ok(header)
}

/// What a folder's coders make of its packed bytes.
fn decoder<'d>(
    bytes: Bytes<'d>,
    folder: &Folder,
    read: &'d Cell<u64>,
    budget: &'d Budget<'d>,
) -> Result<Box<dyn Read + 'd>, Flaw> {
    if folder.coders.iter().any(|coder| coder.id == AES) {
        return Err(Flaw::Encrypted);
    }
    let mut source = Source::new(bytes, read, budget);
    source.seek(io::SeekFrom::Start(folder.at))?;
    let source = source.take(folder.packed_bytes);
    let mut unpacked: Box<dyn Read + 'd> = Box::new(BufReader::with_capacity(64 << 10, source));
    for coder in &folder.coders {
        unpacked = coded(coder, unpacked)?;
    }
    Ok(unpacked)
}

fn coded<'d>(coder: &Coder, packed: Box<dyn Read + 'd>) -> Result<Box<dyn Read + 'd>, Flaw> {
    let properties = &coder.properties[..];
    let first = || properties.first().copied().ok_or(Flaw::damaged("a coder lacks its properties"));
    let packed = match &coder.id[..] {
        COPY => packed,
        LZMA => {
            // As a file of its own begins: properties, and the unpacked length.
            let length = coder.size_bytes.to_le_bytes();
            let header = Cursor::new([properties, &length].concat());
            if properties.len() != 5 {
                return Err(Flaw::damaged("a coder's properties are not understood"));
            }
            let steps = LzmaStream::new_mem_limit(MEMORY_KIB, None);
            Box::new(Stepped::new(steps, header.chain(BufReader::new(packed))))
        }
        LZMA2 => {
            let size = lzma2_dictionary(first()?)?;
            let steps = Lzma2Stream::new_mem_limit(size, MEMORY_KIB);
            Box::new(Stepped::new(steps, BufReader::new(packed)))
        }
        DELTA => Box::new(DeltaReader::new(packed, usize::from(first()?) + 1)),
        DEFLATE => Box::new(flate2::read::DeflateDecoder::new(packed)),
        BZIP2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        [3, 3, 1, 3] | [4] => Box::new(BcjReader::new_x86(packed, 0)),
        [3, 3, 2, 5] | [5] => Box::new(BcjReader::new_ppc(packed, 0)),
        [3, 3, 4, 1] | [6] => Box::new(BcjReader::new_ia64(packed, 0)),
        [3, 3, 5, 1] | [7] => Box::new(BcjReader::new_arm(packed, 0)),
        [3, 3, 7, 1] | [8] => Box::new(BcjReader::new_arm_thumb(packed, 0)),
        [3, 3, 8, 5] | [9] => Box::new(BcjReader::new_sparc(packed, 0)),
        [0xa] => Box::new(BcjReader::new_arm64(packed, 0)),
        [0xb] => Box::new(BcjReader::new_riscv(packed, 0)),
        id => {
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(Flaw::Unknown(format!("a method that is not opened (7z {id})")));
        }
    };
    Ok(packed)
}

/// As in xz (specification of the .xz format, 5.3.1).
fn lzma2_dictionary(property: u8) -> Result<u32, Flaw> {
    match property {
        40 => Ok(u32::MAX),
        0..40 => Ok((2 | u32::from(property & 1)) << (property / 2 + 11)),
        _ => Err(Flaw::damaged("a coder's properties are not understood")),
    }
}

/// One entry of a folder: so many bytes, of this sum.
struct Content<R> {
    inner: io::Take<R>,
    expected: Option<u32>,
    sum: flate2::Crc,
}

impl<R: Read> Content<R> {
    fn new(inner: R, size_bytes: u64, expected: Option<u32>) -> Self {
        Self { inner: inner.take(size_bytes), expected, sum: flate2::Crc::new() }
    }
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.sum.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() {
            let trouble = match self.expected {
                _ if self.inner.limit() > 0 => "it ends too early",
                Some(sum) if sum != self.sum.sum() => "its checksum does not match",
                _ => return Ok(0),
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, trouble));
        }
        Ok(n)
    }
}
