//! `databridge verify`

use std::path::{Path, PathBuf};

use databridge_core::media::manifest::{Difference, parse_sha256sums};
use serde_json::json;

use crate::cli::Outcome;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::Show;

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
