//! `databridge sequences`

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use databridge_core::media::sequence::{self, Kind, Options, Padding, Sequence};
use databridge_core::media::storage::escape;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::progress::Terminal;
use crate::cli::view::{Show, size};

#[derive(Debug, Args)]
pub struct Sequences {
    /// The folder.
    path: PathBuf,
    /// How frames are written.
    #[arg(long, value_enum, default_value = "hash1")]
    padding: Style,
    /// Not the folders below it.
    #[arg(long)]
    flat: bool,
    /// a.1001.25.exr is frame 1001.25.
    #[arg(long)]
    subframes: bool,
    /// Frames are due so far apart.
    #[arg(long, default_value_t = 1, value_name = "N", allow_negative_numbers = true)]
    step: i64,
    /// Also files without a frame.
    #[arg(long)]
    singles: bool,
    /// Also names that begin with a dot.
    #[arg(long)]
    hidden: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Style {
    /// One # for each digit.
    Hash1,
    /// One # for four digits, else one @ for each.
    Hash4,
}

impl Sequences {
    /// 1 where frames are missing or empty.
    pub fn run(self, show: &Show) -> Outcome {
        let Self { subframes, step, singles, hidden, .. } = self;
        let options = Options { subframes, step, singles, hidden };
        let found = sequence::below(&self.path, !self.flat, options, &Terminal::new())?;
        let padding = match self.padding {
            Style::Hash1 => Padding::Hash1,
            Style::Hash4 => Padding::Hash4,
        };
        show.document(&found.iter().map(|one| document(one, padding)).collect::<Vec<_>>());
        for one in &found {
            lines(one, padding, show);
        }
        let is_whole = |one: &Sequence| one.missing.is_empty() && one.zero_byte.is_empty();
        Ok(u8::from(!found.iter().all(is_whole)))
    }
}

/// Names are escaped: they need not be UTF-8.
pub fn document(one: &Sequence, padding: Padding) -> Value {
    json!({
        "directory": escape(one.directory.as_os_str().as_bytes()),
        "basename": escape(one.basename.as_bytes()), "extension": escape(one.extension.as_bytes()),
        "kind": one.kind, "padding": one.padding(padding), "width": one.width,
        "frames": one.frames, "frame_count": one.frames.count(),
        "missing": one.missing, "missing_count": one.missing.count(),
        "zero_byte": one.zero_byte, "outliers": one.outliers, "duplicates": one.duplicates,
        "total_bytes": one.total_bytes,
    })
}

/// What it is, and below it what is wrong with it.
pub fn lines(one: &Sequence, padding: Padding, show: &Show) {
    let folder = match one.directory.as_os_str().as_bytes() {
        b"" => String::new(),
        path => format!("{}/", escape(path)),
    };
    let (base, extension) = (escape(one.basename.as_bytes()), escape(one.extension.as_bytes()));
    let bytes = one.total_bytes.map(size).unwrap_or_default();
    if one.kind == Kind::Single {
        return show.line(format!("  {bytes:>10}  {folder}{base}{extension}"));
    }
    let what = if one.kind == Kind::Tiles { "tiles" } else { "frames" };
    show.line(format!(
        "  {bytes:>10}  {folder}{base}{}{}{extension}  {} {what}",
        one.frames,
        one.padding(padding),
        one.frames.count(),
    ));
    for (what, frames) in [
        ("missing", &one.missing),
        ("empty", &one.zero_byte),
        ("of another size", &one.outliers),
        ("there twice", &one.duplicates),
    ] {
        if !frames.is_empty() {
            show.line(format!("              {what}: {frames} ({})", frames.count()));
        }
    }
}
