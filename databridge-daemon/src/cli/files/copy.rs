//! `databridge copy`

use databridge_core::Error;
use databridge_core::media::monitor::Monitor;
use databridge_core::media::storage::Location;
use databridge_core::media::{cloud, copy, rsync};

use crate::cli::doctor::load;
use crate::cli::error::usage;
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};
use crate::cli::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Copy {
    /// A file or a folder; s3://bucket/prefix; with --method rsync also host:path.
    src: String,
    /// The final path itself, or s3://bucket/prefix; it must not exist yet.
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
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Files handled at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// A method by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Our own engine.
    Native,
    /// rsync, also from another host by ssh.
    Rsync,
}

/// Bytes, with k, M, G or T for thousands.
fn rate(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.trim_end_matches(['B', 'b']).char_indices().last() {
        Some((i, 'k' | 'K')) => (&text[..i], 1e3),
        Some((i, 'm' | 'M')) => (&text[..i], 1e6),
        Some((i, 'g' | 'G')) => (&text[..i], 1e9),
        Some((i, 't' | 'T')) => (&text[..i], 1e12),
        _ => (text, 1.0),
    };
    match number.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(n) if n > 0.0 && n.is_finite() => Ok(((n * factor) as u64).max(1)),
        _ => Err("write it as 200M or 1.5G".into()),
    }
}

impl Copy {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let options = copy::Options {
            policy: copy::Policy {
                limit_bytes_per_second: self.limit,
                jobs: self.jobs,
                ..copy::Policy::default()
            },
            resume: self.resume || !self.no_resume,
            manifest: None,
        };
        let terminal = Terminal::new();
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
        Ok(0)
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
        Ok(match (Location::parse(&self.src)?, &self.dst) {
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
        let source = rsync::Source::parse(&self.src)?;
        let manifest = rsync::describe(&source, &settings, self.jobs, monitor)?;
        Ok(rsync::tree(&source, manifest, dst, options, &settings, monitor)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("200M"), Ok(200_000_000));
        assert_eq!(rate("1.5G"), Ok(1_500_000_000));
        assert_eq!(rate("512"), Ok(512));
        assert!(rate("fast").is_err());
        assert!(rate("-1").is_err());
    }
}
