//! `databridge copy`

use std::path::{Path, PathBuf};

use databridge_core::media::copy;
use databridge_core::media::manifest::{List, Manifest};
use databridge_core::media::monitor::Phase;

use super::units::rate;
use crate::cli::Outcome;
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};

#[derive(Debug, clap::Args)]
pub struct Copy {
    /// A file or a folder.
    src: PathBuf,
    /// The final path itself; it must not exist yet.
    dst: PathBuf,
    /// Go on from what an interrupted copy left (the default).
    #[arg(long, overrides_with = "no_resume")]
    resume: bool,
    /// Begin anew, and leave nothing behind on failure.
    #[arg(long)]
    no_resume: bool,
    /// A list that says what the source is (SHA256SUMS, ASC MHL, JSON, with SHA-256 of
    /// every file): a source that is something else is refused.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Files handled at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Copy {
    pub fn run(self, show: &Show) -> Outcome {
        let manifest = self.manifest.as_deref().map(|path| known(path, &self.src)).transpose()?;
        let options = copy::Options {
            policy: copy::Policy {
                limit_bytes_per_second: self.limit,
                jobs: self.jobs,
                ..copy::Policy::default()
            },
            resume: self.resume || !self.no_resume,
            manifest,
            ..copy::Options::default()
        };
        let terminal = Terminal::over(&[Phase::Describe, Phase::Copy, Phase::ReadBack]);
        let report = copy::tree(&self.src, &self.dst, &options, &terminal)?;
        drop(terminal);
        show.document(&report);
        let worth = serde_json::to_value(report.read_back.worth).unwrap_or_default();
        show.line(format!(
            "{}: {} files, {}, read back ({})",
            report.destination.display(),
            report.files.len(),
            size(report.bytes),
            worth.as_str().unwrap_or_default(),
        ));
        Ok(0)
    }
}

/// The manifest that a list makes, with the lengths that it does not know and the empty
/// folders as the source has them: a list knows of no others.
fn known(list: &Path, source: &Path) -> Result<Manifest, databridge_core::Error> {
    Ok(List::read(list)?.to_manifest(source)?)
}
