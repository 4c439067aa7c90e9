//! `databridge verify`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use databridge_core::media::checksum::Sha256;
use databridge_core::media::manifest::{self, List, Options, Report, State};
use databridge_core::media::receipt::{self, Envelope, PublicKey};
use databridge_core::media::storage::Location;
use serde_json::{Value, json};

use super::units::{count, rate, span, until};
use crate::cli::doctor::load;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};
use crate::cli::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The folder, or a prefix in an object store (s3://…).
    dir: PathBuf,
    /// A list of what should be in it: SHA256SUMS and its like, ASC MHL, MHL 1.1, JSON;
    /// without it the SHA256SUMS in DIR.proof/, the history in DIR/ascmhl/, the bag
    /// that DIR is, or the SHA256SUMS in DIR.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// By the ASC MHL history in DIR.
    #[arg(long, conflicts_with_all = ["manifest", "receipt"])]
    mhl: bool,
    /// The receipt that must vouch for the SHA256SUMS beside it.
    #[arg(long, value_name = "FILE", conflicts_with = "manifest")]
    receipt: Option<PathBuf>,
    /// The public key of the store that issued the receipt, from where you trust it.
    #[arg(long, value_name = "PUB", requires = "receipt")]
    key: Option<PathBuf>,
    /// Also accept the receipt of an embedded store.
    #[arg(long, requires = "receipt")]
    allow_embedded: bool,
    /// Read from the device, past what memory remembers (the default).
    #[arg(long, overrides_with = "cached")]
    from_device: bool,
    /// Read from wherever the system has it.
    #[arg(long)]
    cached: bool,
    /// Go on from what earlier runs have verified, and write down what this one does.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// What was verified longer ago is verified again: 12h, 30d.
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = span, requires = "state")]
    max_age: Duration,
    /// Stop after so long: 90m, 6h.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    at_most: Option<Duration>,
    /// Stop at this time of day (local time): 07:00.
    #[arg(long, value_name = "HH:MM", value_parser = until, conflicts_with = "at_most")]
    until: Option<Duration>,
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Files read at a time.
    #[arg(long, value_name = "N", value_parser = count)]
    jobs: Option<NonZeroUsize>,
}

impl Verify {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        if let Location::Object(at) = Location::parse(&self.dir.to_string_lossy())? {
            let others = self.mhl || self.cached || self.at_most.is_some() || self.until.is_some();
            if others || self.receipt.is_some() || self.state.is_some() || self.limit.is_some() {
                return Err(usage(
                    "of an object store, only --manifest and --jobs are known",
                    "leave the others away",
                ));
            }
            let list = self.manifest.as_deref();
            return super::object::verify(&at, list, self.jobs, &load(global)?.s3, show);
        }
        let deadline = self.at_most.or(self.until).map(|time| Instant::now() + time);
        // A folder's own words where it is none.
        std::fs::read_dir(&self.dir).map_err(|e| io("read", &self.dir, e))?;
        let source = self.list()?;
        let list = List::read(&source)?;
        if let Some(file) = &self.receipt {
            self.vouch(file, &source)?;
        }
        let state = self.state.as_deref();
        let state = state.map(|path| State::open(path, &self.dir, self.max_age)).transpose()?;
        let own = manifest::inside(&self.dir, &source);
        let options = Options {
            jobs: self.jobs,
            from_device: self.from_device || !self.cached,
            limit_bytes_per_second: self.limit,
            state: state.as_ref(),
            deadline,
        };
        let terminal = Terminal::new();
        let report = list.verify(&self.dir, own.as_deref(), options, &terminal)?;
        drop(terminal);
        self.tell(show, &source, &report);
        Ok(match &report {
            report if report.differs() => 1,
            report if report.verified => 0,
            _ => 6,
        })
    }

    /// Where the list is.
    fn list(&self) -> Result<PathBuf, databridge_core::Error> {
        if let Some(receipt) = &self.receipt {
            return Ok(receipt.with_file_name("SHA256SUMS"));
        }
        if let Some(file) = &self.manifest {
            return Ok(file.clone());
        }
        let history = self.dir.join("ascmhl");
        if self.mhl {
            return Ok(self.dir.clone());
        }
        let dir = std::path::absolute(&self.dir).map_err(|e| io("read", &self.dir, e))?;
        let mut proof = dir.file_name().unwrap_or_default().to_owned();
        proof.push(".proof");
        let proof = dir.with_file_name(proof).join("SHA256SUMS");
        if proof.is_file() {
            return Ok(proof);
        }
        if history.is_dir() || self.dir.join("bagit.txt").is_file() {
            return Ok(self.dir.clone());
        }
        Some(self.dir.join("SHA256SUMS")).filter(|path| path.is_file()).ok_or_else(|| {
            usage(
                format!("{} has no SHA256SUMS", self.dir.display()),
                "name a list by --manifest FILE",
            )
        })
    }

    /// The receipt's signature holds, and it is of this list.
    fn vouch(&self, file: &Path, list: &Path) -> Result<(), databridge_core::Error> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| io("read", path, e));
        let text = String::from_utf8_lossy(&read(file)?).into_owned();
        let beside = file.with_file_name("receipt.pub");
        let key = PublicKey::read_file(self.key.as_deref().unwrap_or(&beside))?;
        let options = receipt::Options { allow_embedded: self.allow_embedded };
        let receipt = receipt::verify(&Envelope::from_json(&text)?, &key, options)?;
        let found = Sha256::of(&read(list)?);
        receipt::verify_list(&receipt, found)?;
        Ok(())
    }

    fn tell(&self, show: &Show, source: &Path, report: &Report) {
        let mut document = json!({
            "dir": self.dir.to_string_lossy(), "manifest": source.to_string_lossy(),
        });
        if let (Value::Object(all), Ok(Value::Object(more))) =
            (&mut document, serde_json::to_value(report))
        {
            all.extend(more);
        }
        show.document(&document);
        for difference in &report.differences {
            show.line(difference.to_string());
        }
        let (dir, source) = (self.dir.display(), source.display());
        let worth = report.worth.and_then(|worth| serde_json::to_value(worth).ok());
        let worth = match worth.as_ref().and_then(Value::as_str) {
            Some(worth) => format!("read from the device ({worth})"),
            None => "read".to_owned(),
        };
        let mut read = format!("{} files, {}, {worth}", report.files, size(report.bytes));
        if report.remembered_files > 0 {
            read.push_str(&format!("; {} verified by earlier runs", report.remembered_files));
        }
        if !report.complete {
            read.push_str(&format!("; stopped with {} left", report.left_files));
        }
        show.line(match report.differences.len() {
            0 if report.verified => format!("{dir} is what {source} says: {read}"),
            0 => format!("{dir}: undecided: {read}"),
            n => format!("{dir}: {n} differences from {source}: {read}"),
        });
    }
}
