//! Content policy: what a file is, against what its name says, how it is built,
//! what is packed in it, and whether such a thing may pass at all.

pub(super) mod archive;
mod bytes;
mod exr;
mod image;
mod kinds;
mod mov;
mod mxf;
mod policy;
mod programs;
mod riff;

use std::borrow::Cow;

pub(super) use memchr::memmem::find;
use memchr::memmem::rfind;

use self::archive::{Entry, Seen};
pub(super) use self::bytes::Bytes;
use self::bytes::Flaw;
use self::kinds::Family;
pub use self::policy::{Limits, Policy, Rule};
use super::members::Most;
use super::tally::Tally;
use super::{EngineInfo, Error, Reason, Said, Scanner, Settings, Subject, Verdict};
use crate::media::checksum::Sha256;

/// Counts up when a check is added, so that reports tell which were made.
const VERSION: &str = "5";

/// Where an archive's directory stands that somebody hung on a picture.
const TAIL_BYTES: usize = 66 << 10;

/// The content checks as an engine. It is no antivirus.
#[derive(Debug, Clone)]
pub struct Content {
    policy: Policy,
    allow_executables: bool,
}

/// What is wrong with a file's content, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub rule: Cow<'static, str>,
    pub why: String,
}

impl Content {
    /// The checks that `settings` ask for.
    pub fn new(settings: &Settings) -> Self {
        let allow_executables = settings.policy.allow_executables;
        Self { policy: settings.content.clone(), allow_executables }
    }

    /// What a file, or an entry of an archive, should not be. `head` is its
    /// beginning, `whole` all of it where that is at hand.
    fn notes(&self, head: &[u8], extension: &str, whole: Option<Bytes<'_>>) -> Found {
        let mut found = Found::default();
        let kind = kinds::of(head, extension);
        let is = kind.map_or("of no kind that we know", |kind| kind.name);
        if kinds::matches_extension(head, extension) == Some(false) {
            let why = format!("its content is {is}, which .{extension} is not");
            found.note("content.extension_mismatch", why);
        }
        let program = programs::by_content(head);
        let by_name = || programs::by_name(extension).then_some("content.executable_name");
        let allows = |name: &str| self.policy.allow.iter().any(|allowed| allowed == name);
        if !self.allow_executables && !allows(programs::KIND) {
            if let Some(program) = program {
                found.note("content.executable", format!("it is {program}"));
            } else if let Some(rule) = by_name() {
                found.note(rule, format!("a desktop may run .{extension}"));
            }
        }
        let is_program = program.is_some() || programs::by_name(extension);
        let is_allowed = match kind {
            _ if self.policy.allow.is_empty() || is_program => true,
            Some(kind) => {
                allows(kind.name)
                    || allows(kind.family.name())
                    || (allows(extension) && kind.extensions.contains(&extension))
            }
            None => allows(extension) && kinds::named(extension).next().is_none(),
        };
        if !is_allowed {
            found.note("content.not_allowed", format!("it is {is}, which is not allowed here"));
        }
        if let (Some(kind), Some(bytes)) = (kind, whole) {
            found.structure(kind, &bytes);
        }
        found
    }

    /// Everything in an archive.
    fn inside(&self, subject: &Subject<'_>, tally: &mut Tally) {
        let name = subject.path.as_str();
        let (limits, bytes) = (self.policy.archives, Bytes::of(subject));
        let (timeout, monitor) = (subject.timeout, subject.monitor);
        let mut most = Most::default();
        archive::walk(bytes, name, limits, timeout, monitor, &mut |seen| {
            most.see(&seen);
            match seen {
                Seen::Entry(entry) => self.entry(&entry, tally),
                Seen::Note(note) => tally.extend(self.judge(note)),
                Seen::NotScanned(reason, why) => {
                    let verdict = Verdict::not_scanned(reason);
                    tally.add(Said { verdict, why: Some(why) });
                }
                Seen::Failed(why) => tally.add(unread(&why)),
            }
        });
        subject.members.tell(&most);
    }

    fn entry(&self, entry: &Entry<'_>, tally: &mut Tally) {
        if entry.size_bytes == 0 {
            return;
        }
        let (_, extension) = entry.name();
        let whole = entry.is_whole().then(|| Bytes::held(entry.content));
        let head = &entry.content[..entry.content.len().min(super::HEAD_BYTES)];
        for Note { rule, why } in self.notes(head, &extension, whole).notes {
            tally.extend(self.judge(Note { rule, why: format!("{}: {why}", entry.path) }));
        }
    }

    /// What a note comes to under the policy; `None` where it does not count.
    fn judge(&self, note: Note) -> Option<Said> {
        let Note { rule, why } = note;
        let verdict = self.policy.verdict(&rule)?;
        Some(Said { verdict, why: Some(why) })
    }
}

/// What the checks of one file came to.
#[derive(Default)]
struct Found {
    notes: Vec<Note>,
    failed: Option<String>,
}

impl Found {
    fn note(&mut self, rule: &'static str, why: String) {
        self.notes.push(Note { rule: rule.into(), why });
    }

    /// How a file is built, where that can be told without decoding it.
    fn structure(&mut self, kind: &kinds::Kind, bytes: &Bytes<'_>) {
        let checked = match kind.name {
            "exr" => exr::check(bytes),
            "mov" => mov::check(bytes),
            "mxf" => mxf::check(bytes),
            "dpx" => image::dpx(bytes),
            "png" => image::png(bytes),
            "jpeg" => image::jpeg(bytes),
            "tiff" => image::tiff(bytes),
            "wav" | "avi" | "aiff" | "webp" => riff::check(bytes),
            _ => Ok(()),
        };
        match checked.and_then(|()| polyglot(kind, bytes)) {
            Ok(None) => {}
            Ok(Some(why)) => self.note("content.polyglot", why),
            Err(Flaw::Truncated(why)) => {
                self.notes
                    .push(Note { rule: format!("content.{}_truncated", kind.name).into(), why });
            }
            Err(Flaw::Damaged(why)) => {
                self.notes
                    .push(Note { rule: format!("content.{}_damaged", kind.name).into(), why });
            }
            Err(Flaw::Io(error)) => self.failed = Some(error.to_string()),
        }
    }
}

fn unread(why: &str) -> Said {
    Verdict::error(format!("cannot read: {why}")).into()
}

/// Whether an archive hangs on something that is none.
fn polyglot(kind: &kinds::Kind, bytes: &Bytes<'_>) -> Result<Option<String>, Flaw> {
    if !matches!(kind.family, Family::Image | Family::Video | Family::Audio | Family::Document)
        || kind.name == "office"
    {
        return Ok(None);
    }
    let tail = bytes.tail(TAIL_BYTES)?;
    let Some(at) = rfind(&tail, b"PK\x05\x06") else { return Ok(None) };
    let comment = tail.get(at + 20..at + 22).map(|length| bytes::Order::Little.number(length));
    // The record's end, with its comment, is the file's.
    let is_end = comment.is_some_and(|length| at as u64 + 22 + length == tail.len() as u64);
    Ok(is_end.then(|| format!("it is {} and a zip archive at once", kind.name)))
}

impl Scanner for Content {
    fn info(&self) -> Result<EngineInfo, Error> {
        self.policy.check()?;
        let policy = serde_json::to_vec(&(&self.policy, self.allow_executables));
        let digest = policy.map(|text| format!("policy sha256:{}", Sha256::of(&text)));
        Ok(EngineInfo {
            name: "content".into(),
            version: VERSION.into(),
            signature_version: digest.ok(),
            signature_date: None,
            antivirus: false,
        })
    }

    fn limits(&self) -> Option<String> {
        let Limits { depth, entries, unpacked_bytes, ratio } = self.policy.archives;
        Some(format!(
            "archives opened {depth} deep, {entries} entries, {unpacked_bytes} bytes, {ratio} to 1"
        ))
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        self.explain(subject).into_iter().map(|said| said.verdict).collect()
    }

    fn explain(&self, subject: &Subject<'_>) -> Vec<Said> {
        let none = || Said::from(Verdict::not_scanned(Reason::NoAntivirus));
        let extension = subject.extension();
        if subject.size_bytes == 0 {
            let by_name = self.notes(&[], &extension, None).notes;
            let by_name = by_name.into_iter().filter(|n| n.rule == "content.executable_name");
            let said: Vec<Said> = by_name.filter_map(|note| self.judge(note)).collect();
            return if said.is_empty() { vec![none()] } else { said };
        }
        let found = self.notes(subject.head, &extension, Some(Bytes::of(subject)));
        let mut tally = Tally::default();
        tally.extend(found.notes.into_iter().filter_map(|note| self.judge(note)));
        tally.extend(found.failed.map(|why| unread(&why)));
        if archive::is_archive(subject.head) {
            self.inside(subject, &mut tally);
        }
        let mut said = tally.end();
        if said.is_empty() {
            said.push(none());
        }
        said
    }
}

/// Whether an extension names media, which no program may hide behind.
#[cfg(feature = "yara")]
pub(super) fn is_media(extension: &str) -> bool {
    kinds::named(extension).any(|kind| kind.family != Family::Archive)
}

/// Whether a file is certainly of a kind in which nothing is packed.
#[cfg(feature = "clamav")]
pub(super) fn is_flat(head: &[u8], extension: &str) -> bool {
    let flat = |kind: &kinds::Kind| match kind.family {
        Family::Text | Family::Edit => {
            matches!(extension, "txt" | "csv" | "json" | "edl" | "ale" | "srt")
        }
        _ => is_binary(kind) || kind.name == "usda",
    };
    kinds::named(extension).any(|kind| flat(kind) && kind.matches(head) == Some(true))
}

/// Whether a file certainly holds pictures, sound or geometry and nothing that
/// anybody could run or read.
#[cfg(feature = "yara")]
pub(super) fn is_essence(head: &[u8], extension: &str) -> bool {
    kinds::named(extension).any(|kind| is_binary(kind) && kind.matches(head) == Some(true))
}

#[cfg(any(feature = "clamav", feature = "yara"))]
fn is_binary(kind: &kinds::Kind) -> bool {
    matches!(kind.family, Family::Image | Family::Video | Family::Audio)
        || matches!(kind.name, "alembic" | "usdc" | "vdb")
}

#[cfg(test)]
mod tests;
