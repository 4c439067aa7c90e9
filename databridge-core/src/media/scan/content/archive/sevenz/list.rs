//! What a 7z archive says that is in it (`7zFormat.txt` of the LZMA SDK). Every number
//! is held against what there is before anything is made so large.

mod input;

use std::io;

use self::input::Input;
use super::super::super::bytes::Bytes;
use super::super::budget::Stop;

/// The signature header.
pub(super) const START_BYTES: usize = 32;
/// Coders of one folder; 7-Zip itself takes no more.
const CODERS: usize = 64;

const END: u8 = 0;
const HEADER: u8 = 1;
const PROPERTIES: u8 = 2;
const MAIN_STREAMS: u8 = 4;
const FILES: u8 = 5;
const PACK: u8 = 6;
const UNPACK: u8 = 7;
const SUBSTREAMS: u8 = 8;
const SIZES: u8 = 9;
const SUMS: u8 = 0xa;
const FOLDERS: u8 = 0xb;
const UNPACK_SIZES: u8 = 0xc;
const COUNTS: u8 = 0xd;
const NO_STREAM: u8 = 0xe;
const NAMES: u8 = 0x11;
const ATTRIBUTES: u8 = 0x15;
const PACKED_HEADER: u8 = 0x17;

/// Why an archive, or a part of it, is not looked at.
pub(super) enum Flaw {
    Stop(Stop),
    Encrypted,
    Unknown(String),
    Damaged(String),
}

impl Flaw {
    pub fn damaged(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::Stop(Stop::Memory),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Where the list stands.
pub(super) struct Start {
    at: u64,
    size_bytes: u64,
    sum: u32,
}

impl Start {
    /// The list itself.
    pub fn read(&self, bytes: Bytes<'_>) -> Result<Vec<u8>, Flaw> {
        if self.size_bytes > super::LIST_BYTES {
            return Err(Flaw::Stop(Stop::Directory));
        }
        let length = usize::try_from(self.size_bytes).unwrap_or(usize::MAX);
        let header = bytes.up_to(self.at, length)?.into_owned();
        match header.len() == length && sum(&header) == self.sum {
            true => Ok(header),
            false => Err(Flaw::damaged("its list does not match its checksum")),
        }
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// Reads the signature header; `None` of an archive without entries.
pub(super) fn start(bytes: &[u8]) -> Result<Option<Start>, Flaw> {
    let cut = || Flaw::damaged("it is cut short");
    let mut rest = Input(bytes.get(8..).ok_or_else(cut)?);
    let found = rest.u32().ok_or_else(cut)?;
    if sum(rest.0) != found {
        return Err(Flaw::damaged("where its list stands does not match its checksum"));
    }
    let mut three = || Some((rest.u64()?, rest.u64()?, rest.u32()?));
    let (offset, size_bytes, sum) = three().ok_or_else(cut)?;
    let at = offset.checked_add(START_BYTES as u64).ok_or_else(cut)?;
    Ok((size_bytes > 0).then_some(Start { at, size_bytes, sum }))
}

/// Everything in an archive.
#[derive(Debug, Default)]
pub(super) struct List {
    pub folders: Vec<Folder>,
    pub files: Vec<File>,
}

/// Streams that are packed together.
#[derive(Debug)]
pub(super) struct Folder {
    /// Where its packed bytes stand.
    pub at: u64,
    pub packed_bytes: u64,
    /// In the order in which they unpack.
    pub coders: Vec<Coder>,
    pub streams: Vec<Stream>,
}

#[derive(Debug, Clone)]
pub(super) struct Coder {
    pub id: Vec<u8>,
    pub properties: Vec<u8>,
    /// What comes out of it.
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub size_bytes: u64,
    pub crc: Option<u32>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub name: String,
    pub has_stream: bool,
    pub is_link: bool,
}

/// A list, or where it is packed.
pub(super) enum Packed {
    List(List),
    In(Folder),
}

/// Reads a header of at most `entries` files.
pub(super) fn read(header: &[u8], entries: u64) -> Result<Packed, Flaw> {
    let mut reader = Reader { input: Input(header), entries };
    reader.header()
}

struct Reader<'a> {
    input: Input<'a>,
    entries: u64,
}

/// A folder whose place is not known yet.
struct Bare {
    coders: Vec<Coder>,
    crc: Option<u32>,
}

impl Bare {
    /// What comes out of the last coder.
    fn size_bytes(&self) -> u64 {
        self.coders.last().map_or(0, |coder| coder.size_bytes)
    }
}

impl Reader<'_> {
    fn cut() -> Flaw {
        Flaw::damaged("its list ends too early")
    }

    fn byte(&mut self) -> Result<u8, Flaw> {
        self.input.byte().ok_or_else(Self::cut)
    }

    fn number(&mut self) -> Result<u64, Flaw> {
        self.input.number().ok_or_else(Self::cut)
    }

    /// How many of something there are, which may be no more than entries may be.
    fn count(&mut self) -> Result<usize, Flaw> {
        let count = self.number()?;
        if count > self.entries {
            return Err(Flaw::Stop(Stop::Entries));
        }
        usize::try_from(count).map_err(|_| Flaw::Stop(Stop::Entries))
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Flaw> {
        match self.byte()? {
            found if found == wanted => Ok(()),
            found => {
                Err(Flaw::Damaged(format!("its list has {found} where {wanted} should stand")))
            }
        }
    }

    fn header(&mut self) -> Result<Packed, Flaw> {
        match self.byte()? {
            PACKED_HEADER => {
                let folders = self.streams()?;
                let first = folders.into_iter().next();
                first.map(Packed::In).ok_or_else(|| Flaw::damaged("its list is nowhere"))
            }
            HEADER => {
                let mut list = List::default();
                loop {
                    match self.byte()? {
                        END => return Ok(Packed::List(list)),
                        PROPERTIES => self.properties()?,
                        MAIN_STREAMS => list.folders = self.streams()?,
                        FILES => list.files = self.files()?,
                        found => {
                            let why = format!("its list has a part {found} that is not understood");
                            return Err(Flaw::Damaged(why));
                        }
                    }
                }
            }
            found => Err(Flaw::Damaged(format!("its list begins with {found}"))),
        }
    }

    fn properties(&mut self) -> Result<(), Flaw> {
        while self.byte()? != END {
            let size = usize::try_from(self.number()?).unwrap_or(usize::MAX);
            self.input.take(size).ok_or_else(Self::cut)?;
        }
        Ok(())
    }

    fn streams(&mut self) -> Result<Vec<Folder>, Flaw> {
        let (mut at, mut packed, mut bare, mut streams) = (0, Vec::new(), Vec::new(), None);
        loop {
            match self.byte()? {
                END => break,
                PACK => (at, packed) = self.packed()?,
                UNPACK => bare = self.folders()?,
                SUBSTREAMS => streams = Some(self.substreams(&bare)?),
                found => {
                    let why = format!("its list has streams {found} that are not understood");
                    return Err(Flaw::Damaged(why));
                }
            }
        }
        let one = |folder: &Bare| vec![Stream { size_bytes: folder.size_bytes(), crc: folder.crc }];
        let streams = streams.unwrap_or_else(|| bare.iter().map(one).collect());
        if packed.len() != bare.len() {
            return Err(Flaw::Unknown("several streams to one file, which is not opened".into()));
        }
        let mut at = Some(at + START_BYTES as u64);
        let mut folders = Vec::with_capacity(bare.len());
        for ((packed_bytes, bare), streams) in packed.into_iter().zip(bare).zip(streams) {
            let start = at.ok_or_else(|| Flaw::damaged("its packed bytes lie beyond its end"))?;
            at = start.checked_add(packed_bytes);
            folders.push(Folder { at: start, packed_bytes, coders: bare.coders, streams });
        }
        Ok(folders)
    }

    /// Where packed streams begin, and how long each is.
    fn packed(&mut self) -> Result<(u64, Vec<u64>), Flaw> {
        let at = self.number()?;
        if at > u64::MAX / 2 {
            return Err(Flaw::damaged("its packed bytes lie beyond its end"));
        }
        let count = self.count()?;
        let mut sizes = vec![0; count];
        loop {
            match self.byte()? {
                END => return Ok((at, sizes)),
                SIZES => {
                    for size in &mut sizes {
                        *size = self.number()?;
                    }
                }
                SUMS => drop(self.input.sums(count).ok_or_else(Self::cut)?),
                _ => return Err(Flaw::damaged("its packed streams are not understood")),
            }
        }
    }

    fn folders(&mut self) -> Result<Vec<Bare>, Flaw> {
        self.expect(FOLDERS)?;
        let count = self.count()?;
        if self.byte()? != 0 {
            return Err(Flaw::Unknown("a list elsewhere, which is not opened".into()));
        }
        let mut folders = Vec::new();
        let mut orders = Vec::new();
        for _ in 0..count {
            let (coders, order) = self.coders()?;
            folders.push(Bare { coders, crc: None });
            orders.push(order);
        }
        self.expect(UNPACK_SIZES)?;
        for folder in &mut folders {
            for coder in &mut folder.coders {
                coder.size_bytes = self.number()?;
            }
        }
        for (folder, order) in folders.iter_mut().zip(orders) {
            folder.coders = order.iter().map(|at| folder.coders[*at].clone()).collect();
        }
        loop {
            match self.byte()? {
                END => return Ok(folders),
                SUMS => {
                    let sums = self.input.sums(count).ok_or_else(Self::cut)?;
                    for (folder, sum) in folders.iter_mut().zip(sums) {
                        folder.crc = sum;
                    }
                }
                _ => return Err(Flaw::damaged("its folders are not understood")),
            }
        }
    }

    /// One folder's coders, and the order in which they unpack.
    fn coders(&mut self) -> Result<(Vec<Coder>, Vec<usize>), Flaw> {
        let count = self.count()?;
        if count == 0 || count > CODERS {
            return Err(Flaw::damaged("a folder has no coders, or too many"));
        }
        let mut coders = Vec::with_capacity(count);
        let mut is_simple = true;
        let mut streams = (0_usize, 0_usize);
        for _ in 0..count {
            let flags = self.byte()?;
            let id = self.input.take(usize::from(flags & 0xf)).ok_or_else(Self::cut)?.to_vec();
            let (mut incoming, mut outgoing) = (1, 1);
            if flags & 0x10 != 0 {
                (incoming, outgoing) = (self.count()?, self.count()?);
                is_simple &= (incoming, outgoing) == (1, 1);
            }
            streams = (streams.0 + incoming, streams.1 + outgoing);
            let mut properties = Vec::new();
            if flags & 0x20 != 0 {
                let size = usize::try_from(self.number()?).unwrap_or(usize::MAX);
                properties = self.input.take(size).ok_or_else(Self::cut)?.to_vec();
            }
            coders.push(Coder { id, properties, size_bytes: 0 });
        }
        if !is_simple {
            if coders.iter().any(|coder| coder.id == super::AES) {
                return Err(Flaw::Encrypted);
            }
            return Err(Flaw::Unknown("coders that branch (BCJ2), which are not opened".into()));
        }
        // Of each pair, the second's output is the first's input.
        let mut fed_by = vec![None; count];
        for _ in 1..count {
            let (into, from) = (self.count()?, self.count()?);
            match fed_by.get_mut(into) {
                Some(slot @ None) if from < count => *slot = Some(from),
                _ => return Err(Flaw::damaged("its coders are not understood")),
            }
        }
        let mut order = vec![
            fed_by
                .iter()
                .position(Option::is_none)
                .ok_or_else(|| Flaw::damaged("its coders go round in a circle"))?,
        ];
        while order.len() < count {
            let last = order.last().copied();
            match fed_by.iter().position(|from| from.is_some() && *from == last) {
                Some(next) if !order.contains(&next) => order.push(next),
                _ => return Err(Flaw::damaged("its coders are not understood")),
            }
        }
        Ok((coders, order))
    }

    /// What is in each folder.
    fn substreams(&mut self, folders: &[Bare]) -> Result<Vec<Vec<Stream>>, Flaw> {
        let mut counts = vec![1; folders.len()];
        let mut part = self.byte()?;
        if part == COUNTS {
            let mut all = 0_u64;
            for count in &mut counts {
                *count = self.count()?;
                all += *count as u64;
                if all > self.entries {
                    return Err(Flaw::Stop(Stop::Entries));
                }
            }
            part = self.byte()?;
        }
        let mut streams = Vec::with_capacity(folders.len());
        for (folder, count) in folders.iter().zip(counts) {
            let mut left = folder.size_bytes();
            let mut sizes = Vec::new();
            for at in 0..count {
                let size_bytes = match at + 1 == count {
                    true => left,
                    false if part == SIZES => self.number()?,
                    false => return Err(Flaw::damaged("its list lacks the length of an entry")),
                };
                left = left
                    .checked_sub(size_bytes)
                    .ok_or_else(|| Flaw::damaged("its entries are longer than what holds them"))?;
                sizes.push(Stream { size_bytes, crc: None });
            }
            if let [one] = &mut sizes[..] {
                one.crc = folder.crc;
            }
            streams.push(sizes);
        }
        if part == SIZES {
            part = self.byte()?;
        }
        let unknown = |streams: &mut Vec<Vec<Stream>>| {
            streams.iter_mut().flatten().filter(|stream| stream.crc.is_none()).count()
        };
        while part != END {
            if part != SUMS {
                return Err(Flaw::damaged("its streams are not understood"));
            }
            let count = unknown(&mut streams);
            let sums = self.input.sums(count).ok_or_else(Self::cut)?;
            let open = streams.iter_mut().flatten().filter(|stream| stream.crc.is_none());
            for (stream, sum) in open.zip(sums) {
                stream.crc = sum;
            }
            part = self.byte()?;
        }
        Ok(streams)
    }

    fn files(&mut self) -> Result<Vec<File>, Flaw> {
        let count = self.count()?;
        let mut files = vec![File { has_stream: true, ..File::default() }; count];
        loop {
            let part = self.byte()?;
            if part == END {
                return Ok(files);
            }
            let size = usize::try_from(self.number()?).unwrap_or(usize::MAX);
            let mut input = Input(self.input.take(size).ok_or_else(Self::cut)?);
            let understood = match part {
                NO_STREAM => input.bits(count).map(|bits| {
                    for (file, is_empty) in files.iter_mut().zip(bits) {
                        file.has_stream = !is_empty;
                    }
                }),
                NAMES => names(&mut input, &mut files),
                ATTRIBUTES => attributes(&mut input, &mut files),
                _ => Some(()),
            };
            understood.ok_or_else(|| Flaw::damaged("its files are not understood"))?;
        }
    }
}

/// UTF-16, each with a zero behind it.
fn names(input: &mut Input<'_>, files: &mut [File]) -> Option<()> {
    if input.byte()? != 0 {
        return None;
    }
    for file in files {
        let mut units = Vec::new();
        loop {
            match u16::from_le_bytes(input.take(2)?.try_into().ok()?) {
                0 => break,
                unit => units.push(unit),
            }
        }
        file.name = String::from_utf16_lossy(&units);
    }
    Some(())
}

/// Windows's, with those of Unix above them.
fn attributes(input: &mut Input<'_>, files: &mut [File]) -> Option<()> {
    const REPARSE_POINT: u32 = 0x400;
    const UNIX: u32 = 0x8000;
    let defined = input.all_or_bits(files.len())?;
    if input.byte()? != 0 {
        return None;
    }
    for (file, _) in files.iter_mut().zip(defined).filter(|(_, is)| *is) {
        let attributes = input.u32()?;
        let is_unix_link = attributes & UNIX != 0 && (attributes >> 16) & 0o170_000 == 0o120_000;
        file.is_link = attributes & REPARSE_POINT != 0 || is_unix_link;
    }
    Some(())
}
