//! `databridge verify s3://…`

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::Path;

use databridge_core::media::cloud;
use databridge_core::media::manifest::{Difference, parse_sha256sums};
use databridge_core::media::storage::ObjectLocation;
use serde_json::json;

use crate::cli::Outcome;
use crate::cli::error::{io, usage};
use crate::cli::progress::Terminal;
use crate::cli::view::Show;

/// Reads the whole prefix, and holds it against the SHA256SUMS that was named, or what
/// the delivery's own manifest object says.
pub fn verify(
    at: &ObjectLocation,
    list: Option<&Path>,
    jobs: Option<NonZeroUsize>,
    s3: &cloud::Settings,
    show: &Show,
) -> Outcome {
    let terminal = Terminal::new();
    let found = cloud::describe(at, s3, jobs, &terminal)?;
    drop(terminal);
    if let Some(file) = list {
        let text = std::fs::read_to_string(file).map_err(|e| io("read", file, e))?;
        let found = parse_sha256sums(&text)?.diff(&found.manifest);
        return Ok(differences(show, at, &file.display(), &found));
    }
    let Some(expected) = found.recorded.as_ref().and_then(cloud::Record::manifest) else {
        return Err(usage(
            format!("{at} has no manifest object"),
            "name its SHA256SUMS by --manifest FILE",
        ));
    };
    let list = at.sibling(&format!("{}.manifest.json", at.name()));
    Ok(differences(show, at, &list, &expected.diff(&found.manifest)))
}

fn differences(show: &Show, dir: &dyn Display, list: &dyn Display, found: &[Difference]) -> u8 {
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
    u8::from(!found.is_empty())
}
