//! `databridge copy`

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use databridge_core::Error;
use databridge_core::media::copy::{
    HardLinks, Owner, Policy, Reader, Xattrs, parse_mode, parse_namespaces,
};
use databridge_core::media::manifest::{List, Manifest};
use databridge_core::media::monitor::Monitor;
use databridge_core::media::monitor::Phase;
use databridge_core::media::storage::Location;
use databridge_core::media::throttle::Throttle;
use databridge_core::media::{cloud, copy, rsync};

use super::checksum::{algorithm, place};
use super::units::{count, rate};
use crate::cli::doctor::load;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};
use crate::cli::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Copy {
    /// A file or a folder; s3://bucket/prefix; with --method rsync also host:path.
    src: OsString,
    /// The final path itself, or s3://bucket/prefix; it must not exist yet.
    #[arg(value_parser = place())]
    dst: Location,
    /// What the files are brought by. Reading back and publishing are ours either way.
    #[arg(long, value_enum, default_value_t = By::Native)]
    method: By,
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
    /// Names of one file inside the source: copy makes each a file of its own, keep links
    /// them again, refuse fails before anything is written.
    #[arg(long, value_name = "POLICY", default_value = "copy", value_parser = HardLinks::parse)]
    hard_links: HardLinks,
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
    /// A list that says what the source is (SHA256SUMS, MD5SUMS, ASC MHL, MHL 1.1, JSON):
    /// a file that is something else is refused. To a mounted folder any digests do, made
    /// in the same read; to an object store it takes SHA-256 of every file.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Digests besides SHA-256, made in the same read and reported by --json: sha512,
    /// sha1, md5, c4, xxh64, xxh3, xxh128, blake3; several by comma.
    #[arg(long = "algo", value_delimiter = ',')]
    algorithms: Vec<String>,
    /// With --json: how far it is, as a line of JSON on standard error each second, long
    /// files that are under way by name.
    #[arg(long)]
    progress: bool,
    /// Files handled at a time; else what the destination's device does best.
    #[arg(long, value_name = "N", value_parser = count)]
    jobs: Option<NonZeroUsize>,
}

/// A method by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Our own engine.
    Native,
    /// rsync, also from another host by ssh.
    Rsync,
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
            hard_links: self.hard_links,
            xattrs: Xattrs {
                namespaces: namespaces.unwrap_or_default(),
                acls: self.acls,
                tolerate: self.tolerate_attributes,
            },
            owner: self.chown.as_deref().map(Owner::parse).transpose()?.unwrap_or_default(),
            reader: self.readable_by.as_deref().map(Reader::parse).transpose()?,
            limit_bytes_per_second: self.limit.filter(|_| self.limit_file.is_none()),
            jobs: self.jobs,
            ..Policy::default()
        })
    }

    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let (known, manifest) = self.known()?;
        let algorithms = self.algorithms.iter().map(|name| algorithm(name));
        let options = copy::Options {
            policy: self.policy()?,
            resume: self.resume || !self.no_resume,
            known,
            manifest,
            algorithms: algorithms.collect::<Result<_, _>>()?,
        };
        let shared = self.limit_file.as_deref().map(|path| {
            Throttle::shared(path, self.limit).map_err(|e| io("share the limit by", path, e))
        });
        let terminal = Terminal::over(&[Phase::Copy, Phase::ReadBack])
            .sharing(shared.transpose()?)
            .telling(self.progress && show.json);
        let (report, against) = self.copy(global, &options, &terminal)?;
        drop(terminal);
        match against {
            None => show.document(&report),
            Some(against) => show.document(&cloud::Download { report: report.clone(), against }),
        }
        let worth = serde_json::to_value(report.read_back.worth).unwrap_or_default();
        show.line(format!(
            "{}: {} files, {}, read back ({})",
            report.destination.display(),
            report.files.len(),
            size(report.bytes),
            worth.as_str().unwrap_or_default(),
        ));
        if against == Some("two_reads") {
            show.line("no manifest object there: checked against a second read of the source only");
        }
        match &report.transferred {
            done if done.linked_files > 0 => {
                show.line(format!(
                    "  {} names are hard links, as in the source",
                    done.linked_files
                ));
            }
            done if done.shared_files > 0 => {
                let count = done.shared_files;
                show.line(format!("  {count} hard links of the source are files of their own"));
            }
            _ => {}
        }
        let lost = &report.transferred.lost_attributes;
        for name in &lost.named {
            show.line(format!("  attribute not taken: {name}"));
        }
        if lost.count > lost.named.len() as u64 {
            show.line(format!("  and {} more", lost.count - lost.named.len() as u64));
        }
        Ok(0)
    }

    /// What the source must be: a list, or to an object store the manifest that it makes
    /// with the lengths that it does not know and the empty folders as the source has them.
    fn known(&self) -> Result<(Option<List>, Option<Manifest>), Error> {
        let Some(list) = self.manifest.as_deref() else { return Ok((None, None)) };
        match (Location::of(&self.src)?, &self.dst, self.method) {
            (Location::Path(_), Location::Path(_), By::Native) => {
                Ok((Some(List::read(list)?), None))
            }
            (Location::Path(source), Location::Object(_), By::Native) => {
                Ok((None, Some(List::read(list)?.to_manifest(&source)?)))
            }
            _ => Err(usage(
                "--manifest goes with a source that is mounted here",
                "leave it away, and verify the copy by it afterwards",
            )),
        }
    }

    /// The report, and for a download what its checksums rest on.
    fn copy(
        &self,
        global: &Global,
        options: &copy::Options,
        monitor: &dyn Monitor,
    ) -> Result<(copy::Report, Option<&'static str>), Error> {
        if self.method == By::Rsync {
            return Ok((self.by_rsync(global, options, monitor)?, None));
        }
        Ok(match (Location::of(&self.src)?, &self.dst) {
            (Location::Path(src), Location::Path(dst)) => {
                (copy::tree(&src, dst, options, monitor)?, None)
            }
            (Location::Path(src), Location::Object(dst)) => {
                (cloud::upload(&src, dst, options, &load(global)?.s3, monitor)?, None)
            }
            (Location::Object(src), Location::Path(dst)) => {
                let done = cloud::download(&src, dst, options, &load(global)?.s3, monitor)?;
                (done.report, Some(done.against))
            }
            (Location::Object(_), Location::Object(_)) => {
                return Err(usage(
                    "both are in an object store",
                    "copy to a folder here first, then from there",
                ));
            }
        })
    }

    fn by_rsync(
        &self,
        global: &Global,
        options: &copy::Options,
        monitor: &dyn Monitor,
    ) -> Result<copy::Report, Error> {
        let Location::Path(dst) = &self.dst else {
            return Err(usage("rsync writes to no object store", "leave --method away"));
        };
        let settings = load(global)?.copy.rsync;
        let source = self.src.to_str().ok_or_else(|| {
            usage("rsync's source is not UTF-8", "rename it, or leave --method away")
        })?;
        let source = rsync::Source::parse(source)?;
        let manifest = rsync::describe(&source, &settings, self.jobs, monitor)?;
        Ok(rsync::tree(&source, manifest, dst, options, &settings, monitor)?)
    }
}
