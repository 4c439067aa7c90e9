//! `databridge manifest`

use std::path::PathBuf;

use clap::Subcommand;
use databridge_core::media::manifest::Manifest as Tree;
use databridge_core::media::walk;
use serde_json::json;

use crate::cli::Outcome;
use crate::cli::error::io;
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};

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
