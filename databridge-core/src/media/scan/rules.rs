//! YARA rules, matched in-process: those that ship with DataBridge and a
//! studio's own.

mod library;
mod set;
mod windows;

use std::sync::{Arc, PoisonError, RwLock};

use boreal::scanner::{ScanError, ScanParams, ScanResult};

use self::set::Set;
use self::windows::Windows;
use super::content::archive::{self, Entry, Seen};
use super::content::{Bytes, is_essence, is_media};
use super::tally::Tally;
use super::{ContentPolicy, EngineInfo, Error, Reason, Said, Scanner, Settings, Subject, Verdict};

/// The rules as an engine. It is no antivirus.
#[derive(Debug)]
pub struct Rules {
    folder: Option<std::path::PathBuf>,
    read_bytes: u64,
    policy: ContentPolicy,
    set: RwLock<Arc<Set>>,
}

/// What rules are told about a file beside its content.
struct Named<'n> {
    name: &'n str,
    extension: &'n str,
    is_essence: bool,
    timeout: std::time::Duration,
}

impl Rules {
    /// The shipped rules and those in the studio's folder. Both are compiled once
    /// in a process, the studio's again when a file of the folder is another.
    ///
    /// # Errors
    /// The folder cannot be read, or one of its rules does not compile.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let folder = settings.rules_dir.clone();
        let set = RwLock::new(library::open(folder.as_deref())?);
        let policy = settings.content.clone();
        Ok(Self { folder, read_bytes: settings.rules_read_bytes, policy, set })
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows the beginning of a file to the rules for it, and all that there is
    /// to the others.
    fn see(
        &self,
        named: &Named<'_>,
        head: &[u8],
        scan: impl FnOnce(&boreal::Scanner) -> Outcome,
    ) -> Vec<Said> {
        let set = self.set();
        let body = if named.is_essence { &set.essence } else { &set.full };
        let mut said = Vec::new();
        for outcome in [
            self.ready(&set.head, named).map(|s| outcome(s.scan_mem(head), &s, &self.policy)),
            self.ready(body, named).map(|scanner| scan(&scanner)),
        ] {
            match outcome {
                Ok(found) => said.extend(found),
                Err(message) => said.push(Verdict::error(message).into()),
            }
        }
        said
    }

    fn ready(
        &self,
        compiled: &boreal::Scanner,
        named: &Named<'_>,
    ) -> Result<boreal::Scanner, String> {
        let mut scanner = compiled.clone();
        let defined = scanner
            .define_symbol("media", is_media(named.extension))
            .and_then(|()| scanner.define_symbol("extension", named.extension.to_owned()))
            .and_then(|()| scanner.define_symbol("filename", named.name.to_owned()))
            .and_then(|()| scanner.define_symbol("scene_scripts", self.policy.scene_scripts));
        defined.map_err(|error| error.to_string())?;
        let params =
            ScanParams::default().timeout_duration(Some(named.timeout)).match_max_length(0);
        scanner.set_scan_params(params);
        Ok(scanner)
    }

    /// The rules on what is packed in an archive. What is wrong with the archive
    /// itself, the content checks say.
    fn inside(&self, subject: &Subject<'_>) -> Vec<Said> {
        let mut tally = Tally::default();
        let (limits, bytes) = (self.policy.archives, Bytes::of(subject));
        let (name, timeout, monitor) = (subject.path.as_str(), subject.timeout, subject.monitor);
        archive::walk(bytes, name, limits, timeout, monitor, &mut |seen| {
            let Seen::Entry(entry) = seen else { return };
            let found = self.entry(&entry, subject);
            tally.extend(found.into_iter().map(|one| {
                let why = one.why.unwrap_or_else(|| one.verdict.to_string());
                Said { why: Some(format!("{}: {why}", entry.path)), ..one }
            }));
        });
        tally.end()
    }

    fn entry(&self, entry: &Entry<'_>, subject: &Subject<'_>) -> Vec<Said> {
        let (name, extension) = entry.name();
        let head = &entry.content[..entry.content.len().min(super::HEAD_BYTES)];
        let named = Named {
            name,
            extension: &extension,
            is_essence: is_essence(head, &extension),
            timeout: subject.timeout,
        };
        let mut said = self.see(&named, head, |scanner| {
            outcome(scanner.scan_mem(entry.content), scanner, &self.policy)
        });
        if !entry.is_whole() {
            said.push(Verdict::not_scanned(Reason::TooLarge).into());
        }
        said
    }
}

type Outcome = Vec<Said>;

/// What a match, or a scan that ended early, comes to.
fn outcome(
    result: Result<ScanResult<'_>, (ScanError, ScanResult<'_>)>,
    scanner: &boreal::Scanner,
    policy: &ContentPolicy,
) -> Outcome {
    let (result, trouble) = match result {
        Ok(result) => (result, None),
        Err((ScanError::Timeout, partial)) => {
            (partial, Some(Verdict::not_scanned(Reason::TimedOut)))
        }
        Err((error, partial)) => (partial, Some(Verdict::error(error))),
    };
    let mut said: Outcome =
        result.rules.iter().filter_map(|rule| set::said(scanner, rule, policy)).collect();
    said.extend(trouble.map(Said::from));
    said
}

impl Scanner for Rules {
    /// Takes up what changed in the studio's folder. Where that does not compile
    /// there is no scan: which rules apply must not depend on how long a process
    /// has been running.
    fn info(&self) -> Result<EngineInfo, Error> {
        let set = library::open(self.folder.as_deref())?;
        let digest = set.digest;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(EngineInfo {
            name: "rules".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            signature_version: Some(format!("sha256:{digest}")),
            signature_date: None,
            antivirus: false,
        })
    }

    fn limits(&self) -> Option<String> {
        Some(format!("read up to {} bytes", self.read_bytes))
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        self.explain(subject).into_iter().map(|said| said.verdict).collect()
    }

    fn explain(&self, subject: &Subject<'_>) -> Vec<Said> {
        let extension = subject.extension();
        let name = subject.path.as_str().rsplit('/').next().unwrap_or_default();
        let is_essence = is_essence(subject.head, &extension);
        let named = Named { name, extension: &extension, is_essence, timeout: subject.timeout };
        let mut failed = None;
        let windows = Windows::new(subject, self.read_bytes, &mut failed);
        let is_seen_whole = subject.whole.is_some() || windows.is_all();
        let mut said = self.see(&named, subject.head, |scanner| {
            let result = match subject.whole {
                Some(whole) => scanner.scan_mem(whole),
                None => scanner.scan_fragmented(windows),
            };
            outcome(result, scanner, &self.policy)
        });
        said.extend(failed.map(|e| Verdict::error(format!("cannot read: {e}")).into()));
        if archive::is_archive(subject.head) {
            said.extend(self.inside(subject));
        }
        if !is_seen_whole {
            let why = "rules saw only its beginning and its end";
            let verdict = Verdict::not_scanned(Reason::TooLarge);
            said.push(Said { verdict, why: Some(why.into()) });
        }
        if said.is_empty() {
            said.push(Verdict::not_scanned(Reason::NoAntivirus).into());
        }
        said
    }
}
