//! A small but real shot: OpenEXR frames, a movie, a note, a sub-folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use databridge_core::Error;
use exr::prelude::write_rgba_file;

use crate::daemon::failure;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const FRAMES: std::ops::RangeInclusive<u32> = 1001..=1012;

/// Makes the shot in `folder`, anew.
pub fn make(folder: &Path) -> Result<PathBuf, Error> {
    let io = |what: &str| {
        let what = format!("{what} in {}", folder.display());
        move |e| failure(what, e)
    };
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("clear the shot")(e)),
        _ => {}
    }
    let plates = folder.join("plates");
    std::fs::create_dir_all(&plates).map_err(io("make the shot"))?;
    std::fs::create_dir_all(folder.join("notes")).map_err(io("make the shot"))?;
    for frame in FRAMES {
        let path = plates.join(format!("sq010_sh020_plate_v001.{frame}.exr"));
        write_frame(&path, frame)
            .map_err(|e| failure("write a frame", std::io::Error::other(e)))?;
    }
    let note = "sq010 sh020: hold on the last four frames, sky replacement to follow.\n";
    std::fs::write(folder.join("notes/turnover.txt"), note).map_err(io("write the note"))?;
    movie(&folder.join("sq010_sh020_plate_v001.mp4"));
    Ok(folder.to_owned())
}

/// A sun that crosses a gradient; scene-linear, so some pixels are above one.
#[allow(clippy::cast_precision_loss)]
fn write_frame(path: &Path, frame: u32) -> Result<(), exr::error::Error> {
    let at = (frame - FRAMES.start()) as f32 / (FRAMES.count() as f32 - 1.0);
    write_rgba_file(path, WIDTH, HEIGHT, |x, y| {
        let (u, v) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
        let distance = (u - at).hypot((v - 0.3) * 0.5625);
        let sun = (1.0 - distance * 12.0).max(0.0) * 8.0;
        (0.2 + 0.3 * v + sun, 0.3 + 0.2 * v + sun * 0.8, 0.6 - 0.3 * v + sun * 0.4, 1.0_f32)
    })
}

/// Where there is no ffmpeg there is no movie: the frames are the shot.
fn movie(path: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y", "-f", "lavfi"])
        .args(["-i", "testsrc=size=320x180:rate=24:duration=0.5", "-pix_fmt", "yuv420p"])
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("  (no ffmpeg: the shot has no movie)");
        let _ = std::fs::remove_file(path);
    }
}
