//! From names to sequences.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::name::{Number, Parts, parts};
use super::sizes::outliers;
use super::{Error, Kind, Numbers, Options, Sequence};
use crate::media::monitor::Monitor;
use crate::media::storage::{self, Folder};
use crate::media::walk;

/// Tiles are numbered from here: 1001 + column + 10 × row, ten columns.
const TILES: std::ops::RangeInclusive<i64> = 1001..=1999;
const MARKS: [&[u8]; 2] = [b"<udim>", b"%(udim)d"];

/// The sequences among some paths, sorted by folder, basename and extension; each path
/// with its size, where that is known. A path that is given twice counts once.
///
/// # Errors
/// [`Error::Step`].
pub fn of_names<'a>(
    names: impl IntoIterator<Item = (&'a [u8], Option<u64>)>,
    options: Options,
) -> Result<Vec<Sequence>, Error> {
    if options.step < 1 {
        return Err(Error::Step(options.step));
    }
    let mut folders = BTreeMap::<&[u8], Vec<_>>::new();
    for (path, size) in names {
        let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (folder, name) = path.split_at(at);
        if !name.is_empty() {
            folders.entry(folder).or_default().push((name, size));
        }
    }
    let mut found = Vec::new();
    for (folder, names) in folders {
        let folder = match folder {
            [] | [b'/'] => folder,
            [path @ .., _] => path,
        };
        in_folder(Path::new(OsStr::from_bytes(folder)), &names, options, &mut found);
    }
    Ok(found)
}

/// The sequences in a folder and, where `is_deep`, in those below it; sorted as by
/// [`of_names`]. Links count by their names and are not followed. Sizes are looked at:
/// [`outliers`](Sequence::outliers) are the frames whose modified z-score of the size
/// is above 3.5 (Iglewicz and Hoaglin, 1993), among five or more that are not empty.
///
/// Memory: the names of one folder, and what is found.
///
/// # Errors
/// What cannot be read; [`Error::Step`]; the monitor's wish to stop.
pub fn below(
    root: &Path,
    is_deep: bool,
    options: Options,
    monitor: &dyn Monitor,
) -> Result<Vec<Sequence>, Error> {
    if options.step < 1 {
        return Err(Error::Step(options.step));
    }
    let folder = Folder::open(root).map_err(walk::Error::from)?;
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        if monitor.cancelled() {
            return Err(Error::Cancelled);
        }
        let listed = folder.list(&path).map_err(walk::Error::from)?;
        let is_seen = |name: &OsStr| options.hidden || !name.as_bytes().starts_with(b".");
        let names: Vec<_> = listed
            .iter()
            .filter(|(name, _)| is_seen(name))
            .filter_map(|(name, stat)| match stat.kind {
                storage::Kind::File => Some((name.as_bytes(), Some(stat.size_bytes))),
                storage::Kind::Symlink => Some((name.as_bytes(), None)),
                _ => None,
            })
            .collect();
        // A join with nothing would end it by a slash.
        let whole = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        in_folder(&whole, &names, options, &mut found);
        let dirs = listed.iter().filter(|(_, stat)| is_deep && stat.kind == storage::Kind::Dir);
        open.extend(dirs.filter(|(name, _)| is_seen(name)).map(|(name, _)| path.join(name)));
    }
    found.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(found)
}

fn place(one: &Sequence) -> (&[u8], &OsStr, &OsStr, usize, usize) {
    let folder = one.directory.as_os_str().as_bytes();
    (folder, &one.basename, &one.extension, one.frames.decimals(), one.width)
}

type Key<'a> = (&'a [u8], &'a [u8], usize);
type Item = (Number, Option<u64>);

fn in_folder(
    folder: &Path,
    names: &[(&[u8], Option<u64>)],
    options: Options,
    found: &mut Vec<Sequence>,
) {
    let mut groups = BTreeMap::<Key<'_>, Vec<Item>>::new();
    let mut singles = BTreeMap::<(&[u8], &[u8]), Option<u64>>::new();
    let mut marked = BTreeSet::new();
    for (name, size) in names {
        marked.extend(mark(name));
        let Parts { basename, extension, frame } = parts(name, options.subframes);
        match frame {
            Some(number) => groups
                .entry((basename, extension, number.decimals))
                .or_default()
                .push((number, *size)),
            None => drop(singles.insert((basename, extension), *size)),
        }
    }
    let begin = found.len();
    for ((basename, extension, decimals), items) in groups {
        let says_tiles = ends_in_udim(basename)
            || marked.contains(&(basename.to_ascii_lowercase(), extension.to_ascii_lowercase()));
        for (width, items) in by_padding(items) {
            let mut one = Sequence {
                directory: folder.to_owned(),
                basename: OsStr::from_bytes(basename).to_owned(),
                extension: OsStr::from_bytes(extension).to_owned(),
                ..empty(width)
            };
            fill(&mut one, items, decimals, says_tiles, options.step);
            found.push(one);
        }
    }
    mark_duplicates(&mut found[begin..]);
    if options.singles {
        found.extend(singles.into_iter().map(|((basename, extension), size)| Sequence {
            directory: folder.to_owned(),
            basename: OsStr::from_bytes(basename).to_owned(),
            extension: OsStr::from_bytes(extension).to_owned(),
            total_bytes: size,
            ..empty(0)
        }));
        found[begin..].sort_by(|a, b| place(a).cmp(&place(b)));
    }
}

fn empty(width: usize) -> Sequence {
    Sequence {
        directory: PathBuf::new(),
        basename: Default::default(),
        extension: Default::default(),
        kind: Kind::Single,
        width,
        frames: Numbers::default(),
        missing: Numbers::default(),
        zero_byte: Numbers::default(),
        outliers: Numbers::default(),
        duplicates: Numbers::default(),
        total_bytes: None,
    }
}

/// The basename and extension, in lower case, of a name such as `tex.<UDIM>.exr`.
fn mark(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if !name.contains(&b'<') && !name.contains(&b'%') {
        return None;
    }
    let name = name.to_ascii_lowercase();
    MARKS.iter().find_map(|mark| {
        let at = name.windows(mark.len()).position(|part| part == *mark)?;
        Some((name[..at].to_owned(), name[at + mark.len()..].to_owned()))
    })
}

fn ends_in_udim(basename: &[u8]) -> bool {
    let end = basename.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |at| at + 1);
    let Some(start) = end.checked_sub(4) else { return false };
    basename[start..end].eq_ignore_ascii_case(b"udim")
        && (start == 0 || !basename[start - 1].is_ascii_alphanumeric())
}

/// By width. A number with zeros in front has its own; any other goes with the widest
/// that it fills, or with those that fill none, whose width is the narrowest's.
fn by_padding(items: Vec<Item>) -> BTreeMap<usize, Vec<Item>> {
    let padded = items.iter().filter(|(number, _)| number.is_padded);
    let widths: BTreeSet<_> = padded.map(|(number, _)| number.width).collect();
    let mut found = BTreeMap::<usize, Vec<Item>>::new();
    let mut loose = Vec::new();
    for item in items {
        let width = item.0.width;
        match widths.range(..=width).next_back() {
            Some(_) if item.0.is_padded => found.entry(width).or_default().push(item),
            Some(filled) => found.entry(*filled).or_default().push(item),
            None => loose.push(item),
        }
    }
    // Narrower than every padded one, so it meets none of them.
    if let Some(width) = loose.iter().map(|(number, _)| number.width).min() {
        found.insert(width, loose);
    }
    found
}

fn fill(one: &mut Sequence, mut items: Vec<Item>, decimals: usize, says_tiles: bool, step: i64) {
    items.sort_unstable_by_key(|(number, _)| number.value);
    items.dedup_by_key(|(number, _)| number.value);
    let rising: Vec<_> = items.iter().map(|(number, _)| number.value).collect();
    let are_tiles = says_tiles && decimals == 0 && rising.iter().all(|one| TILES.contains(one));
    one.kind = if are_tiles { Kind::Tiles } else { Kind::Frames };
    if !are_tiles && decimals == 0 {
        one.missing = Numbers::gaps(&rising, step);
    }
    let of = |chosen: Vec<i64>| Numbers::of(&chosen, decimals);
    one.frames = of(rising);
    one.zero_byte = of(items.iter().filter(|(_, size)| *size == Some(0)).map(value).collect());
    if !are_tiles {
        let sized: Vec<_> = items.iter().filter(|(_, size)| size.is_some_and(|s| s > 0)).collect();
        let sizes: Vec<_> = sized.iter().filter_map(|(_, size)| *size).collect();
        one.outliers = of(outliers(&sizes).into_iter().map(|at| value(sized[at])).collect());
    }
    one.total_bytes = items.iter().map(|(_, size)| *size).sum();
}

fn value(item: &Item) -> i64 {
    item.0.value
}

/// Frames that several sequences of one folder have, under names that are the same but
/// for padding or case.
fn mark_duplicates(found: &mut [Sequence]) {
    let mut alike = BTreeMap::<_, Vec<usize>>::new();
    for (at, one) in found.iter().enumerate() {
        let lower = |text: &OsStr| text.as_bytes().to_ascii_lowercase();
        let key = (lower(&one.basename), lower(&one.extension), one.frames.decimals());
        alike.entry(key).or_default().push(at);
    }
    for places in alike.into_values().filter(|places| places.len() > 1) {
        let mut counts = BTreeMap::<i64, usize>::new();
        for frame in places.iter().flat_map(|at| found[*at].frames.iter()) {
            *counts.entry(frame).or_default() += 1;
        }
        for at in places {
            let one = &mut found[at];
            let twice: Vec<_> = one.frames.iter().filter(|frame| counts[frame] > 1).collect();
            one.duplicates = Numbers::of(&twice, one.frames.decimals());
        }
    }
}
