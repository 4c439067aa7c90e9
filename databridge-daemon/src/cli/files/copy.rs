//! `databridge copy`

use std::path::{Path, PathBuf};

use databridge_core::media::copy::{
    self, Owner, Policy, Reader, Xattrs, parse_mode, parse_namespaces,
};
use databridge_core::media::manifest::{List, Manifest};
use databridge_core::media::monitor::Phase;
use databridge_core::media::throttle::Throttle;

use super::units::rate;
use crate::cli::Outcome;
use crate::cli::error::io;
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
    /// Permissions of files, octal.
    #[arg(long, value_name = "MODE", default_value = "0644", conflicts_with = "keep_mode")]
    file_mode: String,
    /// Permissions of folders, octal.
    #[arg(long, value_name = "MODE", default_value = "0755", conflicts_with = "keep_mode")]
    dir_mode: String,
    /// Files and folders keep the read, write and execute bits of the source; never
    /// set-ID or sticky bits.
    #[arg(long)]
    keep_mode: bool,
    /// Files get the time of the copy instead of the source's.
    #[arg(long)]
    no_keep_mtime: bool,
    /// Folders keep their modification time too.
    #[arg(long)]
    keep_dir_mtime: bool,
    /// Extended attributes come along: of the namespaces user (the default) and trusted.
    #[arg(long, value_name = "NAMESPACES", num_args = 0..=1, default_missing_value = "user",
          require_equals = true)]
    xattrs: Option<String>,
    /// POSIX access control lists come along.
    #[arg(long)]
    acls: bool,
    /// Report attributes that the destination does not take, instead of failing.
    #[arg(long)]
    tolerate_attributes: bool,
    /// Give everything to this user and group: USER, USER:GROUP or :GROUP.
    #[arg(long, value_name = "OWNER")]
    chown: Option<String>,
    /// Fail before anything is written unless they will be able to read it:
    /// group:NAME, user:NAME or others.
    #[arg(long, value_name = "WHO")]
    readable_by: Option<String>,
    /// Share the limit with every copy on this host that names the same file.
    #[arg(long, value_name = "FILE", requires = "limit")]
    limit_file: Option<PathBuf>,
    /// A list that says what the source is (SHA256SUMS, ASC MHL, JSON, with SHA-256 of
    /// every file): a source that is something else is refused.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Files handled at a time; else what the destination's device does best.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Copy {
    fn policy(&self) -> Result<Policy, copy::Error> {
        let namespaces = self.xattrs.as_deref().map(parse_namespaces).transpose()?;
        Ok(Policy {
            dir_mode: parse_mode("dir-mode", &self.dir_mode)?,
            file_mode: parse_mode("file-mode", &self.file_mode)?,
            keep_mode: self.keep_mode,
            keep_mtime: !self.no_keep_mtime,
            keep_dir_mtime: self.keep_dir_mtime,
            xattrs: Xattrs {
                namespaces: namespaces.unwrap_or_default(),
                acls: self.acls,
                tolerate: self.tolerate_attributes,
            },
            owner: self.chown.as_deref().map(Owner::parse).transpose()?.unwrap_or_default(),
            reader: self.readable_by.as_deref().map(Reader::parse).transpose()?,
            limit_bytes_per_second: self.limit.filter(|_| self.limit_file.is_none()),
            jobs: self.jobs,
        })
    }

    pub fn run(self, show: &Show) -> Outcome {
        let manifest = self.manifest.as_deref().map(|path| known(path, &self.src)).transpose()?;
        let options = copy::Options {
            policy: self.policy()?,
            resume: self.resume || !self.no_resume,
            manifest,
            ..copy::Options::default()
        };
        let shared = self.limit_file.as_deref().map(|path| {
            Throttle::shared(path, self.limit).map_err(|e| io("share the limit by", path, e))
        });
        let terminal = Terminal::over(&[Phase::Copy, Phase::ReadBack]).sharing(shared.transpose()?);
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
        let lost = &report.transferred.lost_attributes;
        for name in &lost.named {
            show.line(format!("  attribute not taken: {name}"));
        }
        if lost.count > lost.named.len() as u64 {
            show.line(format!("  and {} more", lost.count - lost.named.len() as u64));
        }
        Ok(0)
    }
}

/// The manifest that a list makes, with the lengths that it does not know and the empty
/// folders as the source has them: a list knows of no others.
fn known(list: &Path, source: &Path) -> Result<Manifest, databridge_core::Error> {
    Ok(List::read(list)?.to_manifest(source)?)
}
