//! `databridge checksum`, `copy`, `verify`, `manifest`: no store is involved.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use databridge_core::media::checksum::{self, Algorithm, FileDigest};
use databridge_core::media::copy;
use databridge_core::media::manifest::{Difference, Manifest as Tree, parse_sha256sums};
use databridge_core::media::walk;
use serde_json::json;

use super::Outcome;
use super::error::{io, usage};
use super::progress::Terminal;
use super::view::{Show, size};

#[derive(Debug, clap::Args)]
pub struct Checksum {
    /// Files, or folders for every file in them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// sha256, sha512, sha1, md5, c4, xxh64, xxh3, xxh128, blake3; several by comma.
    #[arg(long = "algo", default_value = "sha256", value_delimiter = ',')]
    algorithms: Vec<String>,
    /// Files read at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Checksum {
    pub fn run(self, show: &Show) -> Outcome {
        let algorithms: Vec<Algorithm> = self
            .algorithms
            .iter()
            .map(|name| {
                name.parse().map_err(|_| {
                    let known: Vec<_> = Algorithm::ALL.iter().map(ToString::to_string).collect();
                    usage(
                        format!("{name:?} is no algorithm; there are {}", known.join(", ")),
                        "choose of them",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let terminal = Terminal::new();
        let mut all = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                for (name, digest) in checksum::tree(path, &algorithms, self.jobs, &terminal)? {
                    all.push((path.join(name.to_path()), digest));
                }
            } else {
                all.push((path.clone(), checksum::file(path, &algorithms, &terminal)?));
            }
        }
        drop(terminal);
        for (path, digest) in &all {
            self::digest(show, path, digest, &algorithms);
        }
        Ok(0)
    }
}

fn digest(show: &Show, path: &Path, digest: &FileDigest, algorithms: &[Algorithm]) {
    show.document(&json!({
        "path": path.to_string_lossy(), "size_bytes": digest.size_bytes, "digests": digest.digests,
    }));
    for algorithm in algorithms {
        let text = digest.digests.get(*algorithm).unwrap_or_default();
        let prefix = if algorithms.len() > 1 { format!("{algorithm}:") } else { String::new() };
        show.line(format!("{prefix}{text}  {}", path.display()));
    }
}

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
        let terminal = Terminal::new();
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

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The folder.
    dir: PathBuf,
    /// Its SHA256SUMS; without it the one in DIR.proof/ or in DIR.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Files read at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Verify {
    pub fn run(self, show: &Show) -> Outcome {
        let list = self.list()?;
        let text = std::fs::read_to_string(&list).map_err(|e| io("read", &list, e))?;
        if !self.dir.is_dir() {
            return Err(io("read", &self.dir, std::io::ErrorKind::NotFound.into()));
        }
        let terminal = Terminal::new();
        let mut found = parse_sha256sums(&text)?.check_tree(&self.dir, self.jobs, &terminal)?;
        drop(terminal);
        // A list that stands in the folder itself does not list itself.
        let real = |path: &Path| path.canonicalize().map_err(|e| io("read", path, e));
        if let Ok(own) = real(&list)?.strip_prefix(real(&self.dir)?) {
            found.retain(|difference| Path::new(&difference.path) != own);
        }
        differences(show, &self.dir, &list, &found);
        Ok(u8::from(!found.is_empty()))
    }

    fn list(&self) -> Result<PathBuf, databridge_core::Error> {
        if let Some(file) = &self.manifest {
            return Ok(file.clone());
        }
        let dir = std::path::absolute(&self.dir).map_err(|e| io("read", &self.dir, e))?;
        let mut proof = dir.file_name().unwrap_or_default().to_owned();
        proof.push(".proof");
        let candidates =
            [dir.with_file_name(proof).join("SHA256SUMS"), self.dir.join("SHA256SUMS")];
        candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            usage(
                format!("{} has no SHA256SUMS", self.dir.display()),
                "name one by --manifest FILE",
            )
        })
    }
}

fn differences(show: &Show, dir: &Path, list: &Path, found: &[Difference]) {
    show.document(&json!({
        "dir": dir.to_string_lossy(), "manifest": list.to_string_lossy(),
        "verified": found.is_empty(), "differences": found,
    }));
    for difference in found {
        show.line(difference.to_string());
    }
    show.line(match found.len() {
        0 => format!("{} is what {} says", dir.display(), list.display()),
        n => format!("{}: {n} differences from {}", dir.display(), list.display()),
    });
}

#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Writes the folder's SHA256SUMS.
    Create {
        /// The folder.
        dir: PathBuf,
        /// Where to; standard output without it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// What the folder consists of, with its manifest digest.
    Show {
        /// The folder.
        dir: PathBuf,
    },
}

impl Manifest {
    pub fn run(self, show: &Show) -> Outcome {
        let (dir, output, list) = match self {
            Self::Create { dir, output } => (dir, output, true),
            Self::Show { dir } => (dir, None, false),
        };
        // Said first, so that everything that cannot be admitted is named at once.
        walk::tree(&dir)?;
        let terminal = Terminal::new();
        let manifest = Tree::of_tree(&dir, None, &terminal)?;
        drop(terminal);
        show.document(&json!({
            "digest": manifest.digest(), "file_count": manifest.file_count(),
            "total_bytes": manifest.total_bytes(), "entries": manifest.entries(),
        }));
        if let Some(output) = output {
            let mut file =
                std::fs::File::create_new(&output).map_err(|e| io("write", &output, e))?;
            std::io::Write::write_all(&mut file, manifest.to_sha256sums().as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|e| io("write", &output, e))?;
            show.line(format!("{}: {} files", output.display(), manifest.file_count()));
        } else if list {
            show.line(manifest.to_sha256sums().trim_end());
        } else {
            show.line(format!("digest  {}", manifest.digest()));
            show.line(format!(
                "files   {}, {}",
                manifest.file_count(),
                size(manifest.total_bytes())
            ));
            for entry in manifest.entries() {
                show.line(format!("  {:>10}  {}", size(entry.size_bytes()), entry.path()));
            }
        }
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
