//! `databridge manifest`

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use databridge_core::media::manifest::{self, Entry, Manifest as Tree};
use databridge_core::media::sequence::{self, Options, Padding, Sequence};
use databridge_core::media::walk;
use serde_json::{Value, json};

use super::sequences;
use crate::cli::Outcome;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};

#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Writes a list of what is in the folder.
    Create {
        /// The folder.
        dir: PathBuf,
        /// In which format. `ascmhl` adds a generation to the history in DIR/ascmhl/;
        /// `bagit` makes DIR, whose payload is in DIR/data/, a bag.
        #[arg(long, value_enum, default_value = "sha256sums")]
        format: Format,
        /// Where to; standard output without it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// What the folder consists of, with its manifest digest.
    Show {
        /// The folder.
        dir: PathBuf,
        /// Frames folded into sequences.
        #[arg(long)]
        sequences: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For `sha256sum -c`.
    Sha256sums,
    /// ASC MHL version 2.
    Ascmhl,
    /// BagIt 1.0.
    Bagit,
    /// Our own, with sizes, empty folders and the manifest digest.
    Json,
}

impl Manifest {
    pub fn run(self, show: &Show) -> Outcome {
        match self {
            Self::Show { dir, sequences } => {
                let manifest = read(&dir)?;
                let folded = if sequences { folded(&manifest)? } else { Vec::new() };
                let mut shown = document(&manifest);
                if sequences {
                    let all = folded.iter().map(|one| sequences::document(one, Padding::Hash1));
                    shown["sequences"] = all.collect();
                }
                show.document(&shown);
                show.line(format!("digest  {}", manifest.digest()));
                show.line(format!(
                    "files   {}, {}",
                    manifest.file_count(),
                    size(manifest.total_bytes())
                ));
                for one in &folded {
                    sequences::lines(one, Padding::Hash1, show);
                }
                for entry in manifest.entries().iter().filter(|_| !sequences) {
                    show.line(format!("  {:>10}  {}", size(entry.size_bytes()), entry.path()));
                }
                Ok(0)
            }
            Self::Create { format: Format::Ascmhl | Format::Bagit, output: Some(_), .. } => {
                Err(usage("this format has its own place in the folder", "leave --output out"))
            }
            Self::Create { dir, format: Format::Ascmhl, .. } => ascmhl(&dir, show),
            Self::Create { dir, format: Format::Bagit, .. } => bag(&dir, show),
            Self::Create { dir, format, output } => {
                let manifest = read(&dir)?;
                show.document(&document(&manifest));
                let text = match format {
                    Format::Json => format!("{}\n", document(&manifest)),
                    _ => manifest.to_sha256sums(),
                };
                match output {
                    Some(output) => {
                        put(&output, &text)?;
                        show.line(format!("{}: {} files", output.display(), manifest.file_count()));
                    }
                    None => show.line(text.trim_end()),
                }
                Ok(0)
            }
        }
    }
}

fn read(dir: &Path) -> Result<Tree, databridge_core::Error> {
    // Said first, so that everything that cannot be admitted is named at once.
    walk::tree(dir)?;
    Ok(Tree::of_tree(dir, None, &Terminal::new())?)
}

/// For people: what is verified are the entries.
fn folded(manifest: &Tree) -> Result<Vec<Sequence>, sequence::Error> {
    let files = manifest.entries().iter().filter(|one| matches!(one, Entry::File { .. }));
    let names = files.map(|one| (one.path().as_str().as_bytes(), Some(one.size_bytes())));
    sequence::of_names(names, Options { singles: true, ..Options::default() })
}

fn document(manifest: &Tree) -> Value {
    json!({
        "digest": manifest.digest(), "file_count": manifest.file_count(),
        "total_bytes": manifest.total_bytes(), "entries": manifest.entries(),
    })
}

fn put(output: &Path, text: &str) -> Result<(), databridge_core::Error> {
    let mut file = std::fs::File::create_new(output).map_err(|e| io("write", output, e))?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| io("write", output, e))
}

/// 1 where the tree is not what its history says: the new generation then says so too.
fn ascmhl(dir: &Path, show: &Show) -> Outcome {
    let terminal = Terminal::new();
    let written = manifest::write_ascmhl(dir, None, &terminal)?;
    drop(terminal);
    show.document(&json!({
        "path": written.path.to_string_lossy(), "generation": written.generation,
        "file_count": written.files, "differences": written.differences,
    }));
    for difference in &written.differences {
        show.line(difference.to_string());
    }
    let path = written.path.display();
    show.line(format!("{path}: generation {}, {} files", written.generation, written.files));
    Ok(u8::from(!written.differences.is_empty()))
}

fn bag(dir: &Path, show: &Show) -> Outcome {
    let payload = dir.join(manifest::PAYLOAD);
    if !payload.is_dir() {
        return Err(usage(
            format!("{} is no folder", payload.display()),
            "put the payload there, as by `databridge copy SRC DIR/data`",
        ));
    }
    let payload = read(&payload)?;
    manifest::write_bagit(dir, &payload)?;
    show.document(&document(&payload));
    show.line(format!("{}: a bag of {} files", dir.display(), payload.file_count()));
    Ok(0)
}
