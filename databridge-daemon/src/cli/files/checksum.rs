//! `databridge checksum`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use databridge_core::Error as AnyError;
use databridge_core::media::checksum::{self, Algorithm, Cache, FileDigest, Options};
use databridge_core::media::cloud;
use databridge_core::media::storage::Location;
use serde_json::json;

use crate::cli::doctor::load;
use crate::cli::error::usage;
use crate::cli::progress::Terminal;
use crate::cli::view::Show;
use crate::cli::{Global, Outcome};

use super::units::count;

#[derive(Debug, clap::Args)]
pub struct Checksum {
    /// Files, or folders for every file in them; also in an object store (s3://…).
    #[arg(required = true, value_name = "PATH", value_parser = place())]
    paths: Vec<Location>,
    /// sha256, sha512, sha1, md5, c4, xxh64, xxh3, xxh128, blake3; several by comma.
    #[arg(long = "algo", default_value = "sha256", value_delimiter = ',')]
    algorithms: Vec<String>,
    /// Files read at a time.
    #[arg(long, value_name = "N", value_parser = count)]
    jobs: Option<NonZeroUsize>,
    /// Digests of files that have not changed since are taken from here, and new ones
    /// put in (local disks only; never trusted by any verification).
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,
}

/// A path, of any bytes, or an address in an object store.
pub fn place() -> impl TypedValueParser<Value = Location> {
    OsStringValueParser::new().try_map(|typed| Location::of(&typed))
}

/// An algorithm by its name.
pub fn algorithm(name: &str) -> Result<Algorithm, AnyError> {
    name.parse().map_err(|_| {
        let known: Vec<_> = Algorithm::ALL.iter().map(ToString::to_string).collect();
        usage(
            format!("{name:?} is no algorithm; there are {}", known.join(", ")),
            "choose one of them",
        )
    })
}

impl Checksum {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let algorithms = self.algorithms.iter().map(|name| algorithm(name));
        let algorithms: Vec<Algorithm> = algorithms.collect::<Result<_, _>>()?;
        let cache = self.cache.as_deref().map(Cache::open).transpose()?;
        let terminal = Terminal::new();
        let mut out =
            Lines { show, terminal: &terminal, algorithms: &algorithms, text: String::new() };
        let options = Options { algorithms: &algorithms, jobs: self.jobs, cache: cache.as_ref() };
        let mut files = 0;
        let mut all = || -> Result<(), databridge_core::Error> {
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
                            files += 1;
                            out.add(Path::new(&at.to_string()), &digest);
                        }
                        continue;
                    }
                };
                if path.is_dir() {
                    checksum::each(path, options, &terminal, |found| {
                        match found {
                            Some(found) => {
                                files += 1;
                                out.add(&path.join(found.path.to_path()), &found.digest);
                            }
                            None => out.flush(),
                        }
                        Ok(())
                    })?;
                } else {
                    files += 1;
                    out.add(path, &checksum::file(path, &algorithms, &terminal)?);
                }
            }
            Ok(())
        };
        let done = all();
        out.flush();
        // Also after a failure: what was read need not be read again.
        if let Some(cache) = &cache {
            cache.save()?;
            drop(terminal);
            eprintln!("{} of {files} files came from the cache", cache.used());
        }
        done.map(|()| 0)
    }
}

/// Lines for standard output, written together while more are coming.
struct Lines<'a> {
    show: &'a Show,
    terminal: &'a Terminal,
    algorithms: &'a [Algorithm],
    text: String,
}

impl Lines<'_> {
    /// As many bytes wait at most.
    const FULL: usize = 32 * 1024;

    fn add(&mut self, path: &Path, digest: &FileDigest) {
        if self.show.json {
            let document = json!({
                "path": path.to_string_lossy(), "size_bytes": digest.size_bytes,
                "digests": digest.digests,
            });
            self.text.push_str(&document.to_string());
            self.text.push('\n');
        } else {
            for algorithm in self.algorithms {
                if self.algorithms.len() > 1 {
                    self.text.push_str(algorithm.as_str());
                    self.text.push(':');
                }
                self.text.push_str(&digest.digests.get(*algorithm).unwrap_or_default());
                self.text.push_str("  ");
                self.text.push_str(&path.to_string_lossy());
                self.text.push('\n');
            }
        }
        if self.text.len() >= Self::FULL {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.terminal.suspend(|| self.show.raw(self.text.as_bytes()));
            self.text.clear();
        }
    }
}
