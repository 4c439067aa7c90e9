//! `databridge verify`

use std::fmt::Display;
use std::path::{Path, PathBuf};

use databridge_core::media::cloud;
use databridge_core::media::manifest::{Difference, parse_sha256sums};
use databridge_core::media::storage::{Location, ObjectLocation};
use serde_json::json;

use crate::cli::doctor::load;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::Show;
use crate::cli::{Global, Outcome};

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The folder, or a prefix in an object store (s3://…).
    dir: Location,
    /// Its SHA256SUMS; without it the one in DIR.proof/ or in DIR.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Files read at a time.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Verify {
    pub fn run(self, global: &Global, show: &Show) -> Outcome {
        let dir = match &self.dir {
            Location::Path(dir) => dir.clone(),
            Location::Object(at) => return self.object(at, &load(global)?.s3, show),
        };
        self.folder(&dir, show)
    }

    fn folder(&self, dir: &Path, show: &Show) -> Outcome {
        let list = self.list(dir)?;
        let text = std::fs::read_to_string(&list).map_err(|e| io("read", &list, e))?;
        if !dir.is_dir() {
            return Err(io("read", dir, std::io::ErrorKind::NotFound.into()));
        }
        let terminal = Terminal::new();
        let mut found = parse_sha256sums(&text)?.check_tree(dir, self.jobs, &terminal)?;
        drop(terminal);
        // A list that stands in the folder itself does not list itself.
        let real = |path: &Path| path.canonicalize().map_err(|e| io("read", path, e));
        if let Ok(own) = real(&list)?.strip_prefix(real(dir)?) {
            found.retain(|difference| Path::new(&difference.path) != own);
        }
        differences(show, &dir.display(), &list.display(), &found);
        Ok(u8::from(!found.is_empty()))
    }

    /// Reads the whole prefix, and holds it against the list that was named, or what
    /// the delivery's own manifest object says.
    fn object(&self, at: &ObjectLocation, s3: &cloud::Settings, show: &Show) -> Outcome {
        let terminal = Terminal::new();
        let found = cloud::describe(at, s3, self.jobs, &terminal)?;
        drop(terminal);
        if let Some(file) = &self.manifest {
            let text = std::fs::read_to_string(file).map_err(|e| io("read", file, e))?;
            let sums = parse_sha256sums(&text)?;
            let found = sums.diff(&found.manifest);
            differences(show, at, &file.display(), &found);
            return Ok(u8::from(!found.is_empty()));
        }
        let Some(expected) = found.recorded.as_ref().and_then(cloud::Record::manifest) else {
            return Err(usage(
                format!("{at} has no manifest object"),
                "name its SHA256SUMS by --manifest FILE",
            ));
        };
        let list = at.sibling(&format!("{}.manifest.json", at.name()));
        let found = expected.diff(&found.manifest);
        differences(show, at, &list, &found);
        Ok(u8::from(!found.is_empty()))
    }

    fn list(&self, own: &Path) -> Result<PathBuf, databridge_core::Error> {
        if let Some(file) = &self.manifest {
            return Ok(file.clone());
        }
        let dir = std::path::absolute(own).map_err(|e| io("read", own, e))?;
        let mut proof = dir.file_name().unwrap_or_default().to_owned();
        proof.push(".proof");
        let candidates = [dir.with_file_name(proof).join("SHA256SUMS"), own.join("SHA256SUMS")];
        candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            usage(format!("{} has no SHA256SUMS", own.display()), "name one by --manifest FILE")
        })
    }
}

fn differences(show: &Show, dir: &dyn Display, list: &dyn Display, found: &[Difference]) {
    show.document(&json!({
        "dir": dir.to_string(), "manifest": list.to_string(),
        "verified": found.is_empty(), "differences": found,
    }));
    for difference in found {
        show.line(difference.to_string());
    }
    show.line(match found.len() {
        0 => format!("{dir} is what {list} says"),
        n => format!("{dir}: {n} differences from {list}"),
    });
}
