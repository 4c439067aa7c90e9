//! `databridge checksum`

use std::path::Path;

use databridge_core::media::checksum::{self, Algorithm, FileDigest};
use databridge_core::media::cloud;
use databridge_core::media::storage::Location;
use serde_json::json;

use crate::cli::doctor::load;
use crate::cli::error::usage;
use crate::cli::progress::Terminal;
use crate::cli::view::Show;
use crate::cli::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Checksum {
    /// Files, or folders for every file in them; also in an object store (s3://…).
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<Location>,
    /// sha256, sha512, sha1, md5, c4, xxh64, xxh3, xxh128, blake3; several by comma.
    #[arg(long = "algo", default_value = "sha256", value_delimiter = ',')]
    algorithms: Vec<String>,
    /// Files read at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Checksum {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
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
        for location in &self.paths {
            let path = match location {
                Location::Path(path) => path,
                Location::Object(at) => {
                    let s3 = load(global)?.s3;
                    for (name, digest) in
                        cloud::checksum(at, &s3, &algorithms, self.jobs, &terminal)?
                    {
                        let whole = at.name() == name.as_str();
                        let at = if whole { at.clone() } else { at.child(name.as_str()) };
                        all.push((at.to_string().into(), digest));
                    }
                    continue;
                }
            };
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
