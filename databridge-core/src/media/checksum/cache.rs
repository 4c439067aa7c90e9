//! Digests known from an earlier run, by what the file system says of a file.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Algorithm, Digests, Error, FileDigest};
use crate::base::clock::Timestamp;
use crate::media::storage::{self, Medium, Stat};

/// First line of the file. Another version is read as empty and replaced.
const NAME: &str = "databridge-checksum-cache";
const HEADER: &str = "databridge-checksum-cache 1";
/// A file this young may be written to again without its times showing it: clocks
/// of file systems stand still for some milliseconds, on some of them for seconds.
const RACY_NS: i64 = 2_000_000_000;

/// Digests by device, inode, size, mtime and ctime.
///
/// # When it is trusted
/// - Only on local disks that Linux gives stable inode numbers and a ctime
///   ([`Medium::Disk`]): on network mounts, FUSE and in memory it neither answers nor
///   learns.
/// - Never for a file whose mtime or ctime lies within the last two seconds, or in
///   the future, when it is read or asked for.
/// - It believes the kernel that whoever writes to a file moves its ctime. Storage
///   that rots, and whoever turns the clock back or writes to the block device, goes
///   unseen. So no verification, scan or delivery ever asks it.
///
/// # The file
/// Lines of text: the name with a version, then for each file the five numbers, its
/// digests and a check (XXH3) over the line. A line that is torn or damaged is passed
/// over. It is replaced as a whole, by one rename, in [`Cache::save`].
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    known: Mutex<HashMap<(u64, u64), Record>>,
    used: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    size_bytes: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    digests: Digests,
}

impl Record {
    fn is_of(&self, stat: &Stat) -> bool {
        (self.size_bytes, self.mtime_ns, self.ctime_ns)
            == (stat.size_bytes, stat.mtime_ns, stat.ctime_ns)
    }
}

impl Cache {
    /// Reads the cache at `path`, which need not exist yet.
    ///
    /// # Errors
    /// [`Error::NotACache`] if something else stands there; what the system says.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut known = HashMap::new();
        match File::open(path) {
            Ok(file) => read(path, BufReader::new(file), &mut known)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(storage::Error::io("open", path, error).into()),
        }
        let (known, used) = (Mutex::new(known), AtomicU64::new(0));
        Ok(Self { path: path.to_owned(), known, used })
    }

    /// How many answers it gave.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The digests of a file with these facts, if all that are asked for are known.
    pub(super) fn find(
        &self,
        stat: &Stat,
        medium: Medium,
        algorithms: &[Algorithm],
    ) -> Option<FileDigest> {
        if !is_trusted(stat, medium, Timestamp::now()) {
            return None;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let record = known.get(&(stat.dev, stat.ino)).filter(|record| record.is_of(stat))?;
        let digests = record.digests.only(algorithms)?;
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(FileDigest { size_bytes: stat.size_bytes, digests })
    }

    /// Learns what was just read; `stat` are the facts after the reading.
    pub(super) fn keep(&self, stat: &Stat, medium: Medium, digests: &Digests) {
        if !is_trusted(stat, medium, Timestamp::now()) {
            return;
        }
        let Stat { size_bytes, mtime_ns, ctime_ns, .. } = *stat;
        let record = Record { size_bytes, mtime_ns, ctime_ns, digests: digests.clone() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.entry((stat.dev, stat.ino)) {
            Entry::Occupied(mut place) if place.get().is_of(stat) => {
                place.get_mut().digests.add(digests);
            }
            Entry::Occupied(mut place) => {
                place.insert(record);
            }
            Entry::Vacant(place) => {
                place.insert(record);
            }
        }
    }

    /// Replaces the file by what is known now, in one step and durably.
    ///
    /// # Errors
    /// What the system says; then the old one stands.
    pub fn save(&self) -> Result<(), Error> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        self.write(&new).map_err(|error| {
            let _ = fs::remove_file(&new);
            storage::Error::io("write", &self.path, error).into()
        })
    }

    fn write(&self, new: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(new)?);
        writeln!(out, "{HEADER}")?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for ((dev, ino), record) in known.iter() {
            let text = line(*dev, *ino, record);
            writeln!(out, "{text} {:016x}", check(&text))?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(new, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn is_trusted(stat: &Stat, medium: Medium, now: Timestamp) -> bool {
    let youngest = stat.mtime_ns.max(stat.ctime_ns);
    medium == Medium::Disk
        && stat.ino != 0
        && now.as_micros().saturating_mul(1000).saturating_sub(youngest) >= RACY_NS
}

fn check(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

fn line(dev: u64, ino: u64, record: &Record) -> String {
    let Record { size_bytes, mtime_ns, ctime_ns, digests } = record;
    let mut text = format!("{dev} {ino} {size_bytes} {mtime_ns} {ctime_ns}");
    for (algorithm, digest) in digests.iter() {
        // Writing into a string does not fail.
        let _ = write!(text, " {algorithm}={digest}");
    }
    text
}

fn parse(line: &str) -> Option<((u64, u64), Record)> {
    let (text, sum) = line.rsplit_once(' ')?;
    if sum.len() != 16 || u64::from_str_radix(sum, 16) != Ok(check(text)) {
        return None;
    }
    let mut fields = text.split(' ');
    let key = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let size_bytes = fields.next()?.parse().ok()?;
    let (mtime_ns, ctime_ns) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let digests: Option<BTreeMap<Algorithm, String>> = fields
        .map(|field| {
            let (name, digest) = field.split_once('=')?;
            Some((name.parse().ok()?, digest.to_owned()))
        })
        .collect();
    let digests = Digests::try_from(digests?).ok()?;
    Some((key, Record { size_bytes, mtime_ns, ctime_ns, digests }))
}

fn read(
    path: &Path,
    mut file: impl BufRead,
    known: &mut HashMap<(u64, u64), Record>,
) -> Result<(), Error> {
    let fail = |error| storage::Error::io("read", path, error);
    let mut line = Vec::new();
    io::Read::take(&mut file, 64).read_until(b'\n', &mut line).map_err(fail)?;
    let header = String::from_utf8_lossy(&line);
    if !line.is_empty() && !header.starts_with(NAME) {
        return Err(Error::NotACache { path: path.to_owned() });
    }
    if header != format!("{HEADER}\n") {
        return Ok(());
    }
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(fail)? == 0 {
            return Ok(());
        }
        // A line without its end was torn.
        let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        known.extend(whole.and_then(parse));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::base::error::Fault;
    use crate::media::checksum::Hasher;

    fn digests(bytes: &[u8], algorithms: &[Algorithm]) -> Digests {
        let mut hasher = Hasher::new(algorithms);
        hasher.update(bytes);
        hasher.finish()
    }

    fn old() -> (tempfile::TempDir, Stat) {
        let dir = tempfile::tempdir().unwrap();
        let mut stat = Stat::of(File::open(dir.path()).unwrap()).unwrap();
        let then = Timestamp::now().as_micros() * 1000 - RACY_NS - 1_000_000_000;
        (stat.size_bytes, stat.mtime_ns, stat.ctime_ns) = (3, then, then);
        (dir, stat)
    }

    #[test]
    fn it_knows_what_it_was_told_and_keeps_it() {
        let (dir, stat) = old();
        let path = dir.path().join("cache");
        let cache = Cache::open(&path).unwrap();
        assert_eq!(cache.find(&stat, Medium::Disk, &[]), None);
        cache.keep(&stat, Medium::Disk, &digests(b"abc", &[Algorithm::Md5]));
        cache.keep(&stat, Medium::Disk, &digests(b"abc", &[Algorithm::C4]));
        cache.save().unwrap();
        let again = Cache::open(&path).unwrap();
        let both = [Algorithm::C4, Algorithm::Md5];
        let found = again.find(&stat, Medium::Disk, &both).unwrap();
        assert_eq!(found.digests, digests(b"abc", &both));
        assert_eq!(again.find(&stat, Medium::Disk, &[]).unwrap().digests, digests(b"abc", &[]));
        assert_eq!(again.find(&stat, Medium::Disk, &[Algorithm::Sha1]), None);
        assert_eq!(again.used(), 2);
    }

    #[test]
    fn it_does_not_trust_young_files_changed_ones_or_odd_file_systems() {
        let (dir, stat) = old();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        cache.keep(&stat, Medium::Disk, &digests(b"abc", &[]));
        for medium in [Medium::Memory, Medium::Server, Medium::Unknown, Medium::Cached] {
            assert_eq!(cache.find(&stat, medium, &[]), None, "{medium:?}");
        }
        for change in [
            (|stat| stat.size_bytes += 1) as fn(&mut Stat),
            |stat| stat.mtime_ns += 1,
            |stat| stat.ctime_ns -= 1,
            |stat| stat.ino += 1,
            |stat| stat.dev += 1,
        ] {
            let mut other = stat;
            change(&mut other);
            assert_eq!(cache.find(&other, Medium::Disk, &[]), None);
        }
        for ahead_ns in [0, -RACY_NS + 500_000_000, 3_600_000_000_000] {
            let mut young = stat;
            young.ctime_ns = Timestamp::now().as_micros() * 1000 + ahead_ns;
            cache.keep(&young, Medium::Disk, &digests(b"abc", &[]));
            assert_eq!(cache.find(&young, Medium::Disk, &[]), None, "{ahead_ns}");
        }
        assert!(cache.find(&stat, Medium::Disk, &[]).is_some());
    }

    #[test]
    fn torn_and_damaged_lines_are_passed_over_and_strangers_kept() {
        let (dir, mut stat) = old();
        let path = dir.path().join("cache");
        let cache = Cache::open(&path).unwrap();
        for _ in 0..10 {
            stat.ino += 1;
            cache.keep(&stat, Medium::Disk, &digests(b"abc", &[]));
        }
        cache.save().unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            match Cache::open(&path) {
                Ok(cache) => assert!(
                    cache.known.lock().unwrap().len() < 10 + usize::from(cut == whole.len())
                ),
                Err(error) => assert!(cut < NAME.len(), "{cut}: {error}"),
            }
        }
        let mut damaged = whole.clone();
        let at = damaged.len() - 30;
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(Cache::open(&path).unwrap().known.lock().unwrap().len(), 9);
        fs::write(&path, format!("{NAME} 7\nfrom tomorrow\n")).unwrap();
        assert_eq!(Cache::open(&path).unwrap().known.lock().unwrap().len(), 0);
        fs::write(&path, "my letters\n").unwrap();
        assert_eq!(Cache::open(&path).unwrap_err().code(), "checksum.not_a_cache");
    }

    proptest! {
        #[test]
        fn lines_come_back(key in any::<(u64, u64)>(), size_bytes: u64, mtime_ns: i64, ctime_ns: i64, bytes in any::<[u8; 8]>()) {
            let digests = digests(&bytes, &Algorithm::ALL);
            let record = Record { size_bytes, mtime_ns, ctime_ns, digests };
            let text = line(key.0, key.1, &record);
            prop_assert_eq!(parse(&format!("{text} {:016x}", check(&text))), Some((key, record)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), with_header: bool) {
            let mut text = if with_header { format!("{HEADER}\n").into_bytes() } else { Vec::new() };
            text.extend(bytes);
            let _ = read(Path::new("x"), &text[..], &mut HashMap::new());
        }
    }
}
