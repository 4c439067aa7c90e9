//! YARA rules, matched in-process: those that ship with DataBridge and a
//! studio's own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boreal::MetadataValue;
use boreal::compiler::Compiler;
use boreal::memory::{FragmentedMemory, MemoryParams, Region, RegionDescription};
use boreal::scanner::{EvaluatedRule, ScanError, ScanParams, ScanResult};

use super::content::is_media;
use super::{EngineInfo, Error, Reason, Scanner, Subject, Verdict};
use crate::media::checksum::Sha256;

const SHIPPED: &str = include_str!("rules/shipped.yar");

/// How much of the beginning, and of the end, of a file that is not held whole.
const WINDOW_BYTES: u64 = 8 << 20;

/// The rules as an engine. It is no antivirus.
#[derive(Debug)]
pub struct Rules {
    compiled: boreal::Scanner,
    digest: Sha256,
}

impl Rules {
    /// The shipped rules and those in `studio`.
    ///
    /// # Errors
    /// The folder cannot be read, or one of its rules does not compile.
    pub fn compile(studio: Option<&Path>) -> Result<Self, Error> {
        let mut compiler = Compiler::new();
        compiler.define_symbol("extension", "");
        compiler.define_symbol("filename", "");
        compiler.define_symbol("media", false);
        let mut text = Vec::from(SHIPPED);
        add(&mut compiler, SHIPPED, "databridge", Path::new("(shipped)"))?;
        for path in studio.map(rule_files).transpose()?.unwrap_or_default() {
            let rules = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            add(&mut compiler, &rules, &path.to_string_lossy(), &path)?;
            text.extend_from_slice(rules.as_bytes());
        }
        Ok(Self { compiled: compiler.finalize(), digest: Sha256::of(&text) })
    }

    fn scanner_for(&self, subject: &Subject<'_>) -> Result<boreal::Scanner, String> {
        let extension = subject.extension();
        let name = subject.path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let mut scanner = self.compiled.clone();
        let media = is_media(&extension);
        let defined = scanner
            .define_symbol("media", media)
            .and_then(|()| scanner.define_symbol("extension", extension))
            .and_then(|()| scanner.define_symbol("filename", name));
        defined.map_err(|error| error.to_string())?;
        scanner.set_scan_params(ScanParams::default().timeout_duration(Some(subject.timeout)));
        Ok(scanner)
    }
}

fn add(compiler: &mut Compiler, rules: &str, namespace: &str, path: &Path) -> Result<(), Error> {
    compiler
        .add_rules_str_in_namespace(rules, namespace)
        .map(drop)
        .map_err(|error| Error::Rules { path: path.to_path_buf(), message: error.to_string() })
}

/// `*.yar` and `*.yara` in a folder, sorted.
fn rule_files(folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|e| e == "yar" || e == "yara") {
            files.insert(path);
        }
    }
    Ok(files)
}

impl Scanner for Rules {
    fn info(&self) -> Result<EngineInfo, Error> {
        let digest = self.digest.to_string();
        Ok(EngineInfo {
            name: "rules".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            signature_version: Some(format!("sha256:{digest}")),
            signature_date: None,
            antivirus: false,
        })
    }

    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        let scanner = match self.scanner_for(subject) {
            Ok(scanner) => scanner,
            Err(message) => return vec![Verdict::error(message)],
        };
        let mut failed = None;
        let outcome = match subject.whole {
            Some(whole) => scanner.scan_mem(whole),
            None => scanner.scan_fragmented(Windows::new(subject, &mut failed)),
        };
        let (result, trouble) = match outcome {
            Ok(result) => (result, None),
            Err((ScanError::Timeout, partial)) => {
                (partial, Some(Verdict::not_scanned(Reason::TimedOut)))
            }
            Err((error, partial)) => (partial, Some(Verdict::error(error))),
        };
        let mut verdicts = found(&scanner, &result);
        verdicts.extend(trouble);
        verdicts.extend(failed.map(|error| Verdict::error(format!("cannot read: {error}"))));
        if verdicts.is_empty() {
            let reason =
                if subject.whole.is_some() { Reason::NoAntivirus } else { Reason::TooLarge };
            verdicts.push(Verdict::not_scanned(reason));
        }
        verdicts
    }
}

fn found(scanner: &boreal::Scanner, result: &ScanResult<'_>) -> Vec<Verdict> {
    result.rules.iter().map(|rule| verdict(scanner, rule)).collect()
}

fn verdict(scanner: &boreal::Scanner, rule: &EvaluatedRule<'_>) -> Verdict {
    let meta = |key: &str| {
        rule.metadatas.iter().find_map(|meta| match meta.value {
            MetadataValue::Bytes(value) if scanner.get_string_symbol(meta.name) == key => {
                Some(String::from_utf8_lossy(scanner.get_bytes_symbol(value)).into_owned())
            }
            _ => None,
        })
    };
    if meta("verdict").as_deref() == Some("infected") {
        return Verdict::Infected { name: meta("name").unwrap_or_else(|| rule.name.to_owned()) };
    }
    Verdict::Suspicious { rule: rule.name.to_owned() }
}

/// The beginning and the end of a large file, at their true offsets.
#[derive(Debug)]
struct Windows<'a> {
    subject: Subject<'a>,
    regions: [(u64, u64); 2],
    next: usize,
    buffer: Vec<u8>,
    failed: &'a mut Option<std::io::Error>,
}

impl<'a> Windows<'a> {
    fn new(subject: &Subject<'a>, failed: &'a mut Option<std::io::Error>) -> Self {
        let size = subject.size_bytes;
        let head = size.min(WINDOW_BYTES);
        let tail = (size - head).min(WINDOW_BYTES);
        let regions = [(0, head), (size - tail, tail)];
        Self { subject: *subject, regions, next: 0, buffer: Vec::new(), failed }
    }

    fn described(&self) -> Option<RegionDescription> {
        let (start, length) = *self.regions.get(self.next.checked_sub(1)?)?;
        Some(RegionDescription {
            start: usize::try_from(start).ok()?,
            length: usize::try_from(length).ok()?,
        })
    }
}

impl FragmentedMemory for Windows<'_> {
    fn reset(&mut self) {
        self.next = 0;
    }

    fn next(&mut self, _params: &MemoryParams) -> Option<RegionDescription> {
        self.next += 1;
        self.described()
    }

    fn fetch(&mut self, _params: &MemoryParams) -> Option<Region<'_>> {
        use std::os::unix::fs::FileExt;
        let region = self.described()?;
        self.buffer.resize(region.length, 0);
        match self.subject.file.read_exact_at(&mut self.buffer, u64::try_from(region.start).ok()?) {
            Ok(()) => Some(Region { start: region.start, mem: &self.buffer }),
            Err(error) => {
                *self.failed = Some(error);
                None
            }
        }
    }
}
