//! `databridge copy`

use std::path::PathBuf;

use databridge_core::media::copy;
use databridge_core::media::monitor::Phase;

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
    /// At most so much a second: 200M, 1.5G, bytes without a letter.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    limit: Option<u64>,
    /// Files handled at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
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
    pub fn run(self, show: &Show) -> Outcome {
        let options = copy::Options {
            policy: copy::Policy {
                limit_bytes_per_second: self.limit,
                jobs: self.jobs,
                ..copy::Policy::default()
            },
            resume: self.resume || !self.no_resume,
            manifest: None,
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
