//! How a long operation shows itself, and how Ctrl-C ends it.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use databridge_core::base::cancel::Cancel;
use databridge_core::media::monitor::{Meter, Monitor, Phase, Progress, Snapshot};
use databridge_core::media::throttle::Throttle;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::view::size;

/// Draws on a terminal, is quiet in a pipe, and stops at Ctrl-C.
#[derive(Clone)]
pub struct Terminal {
    bar: ProgressBar,
    meter: Arc<Meter>,
    drawn: Arc<Mutex<Option<Instant>>>,
    throttle: Option<Throttle>,
    /// Lines for a program instead of a bar for people.
    lines: bool,
    cancel: Cancel,
}

/// The bar is drawn so often.
const DRAW: Duration = Duration::from_millis(200);
/// Lines are written so often.
const TELL: Duration = Duration::from_secs(1);

impl Terminal {
    /// For one operation of one pass.
    pub fn new() -> Self {
        Self::over(&[])
    }

    /// For one operation that goes through these phases.
    pub fn over(passes: &[Phase]) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {prefix} {wide_msg}") {
            bar.set_style(style);
        }
        let meter = Arc::new(Meter::over(passes));
        let (drawn, cancel) = (Arc::default(), on_interrupt());
        Self { bar, meter, drawn, throttle: None, lines: false, cancel }
    }

    /// The same, sharing a limit with other programs.
    pub fn sharing(mut self, throttle: Option<Throttle>) -> Self {
        self.throttle = throttle;
        self
    }

    /// The same, with a line of JSON on standard error each second and at each phase.
    pub fn telling(mut self, lines: bool) -> Self {
        self.lines = lines;
        self
    }

    /// Writes something else to the terminal in between.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Raised by Ctrl-C.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Shows a line about work that is done elsewhere, or takes it away.
    pub fn say(&self, line: Option<String>) {
        self.bar.set_style(ProgressStyle::default_spinner());
        match line {
            Some(line) => self.bar.set_message(line),
            None => self.bar.set_message(""),
        }
        self.bar.tick();
    }

    fn draw(&self, now: bool) {
        if self.bar.is_hidden() && !self.lines {
            return;
        }
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let often = if self.lines { TELL } else { DRAW };
        // A program is first told once the total is known.
        let unknown = self.lines && drawn.is_none();
        if !now && (unknown || drawn.is_some_and(|at| at.elapsed() < often)) {
            return;
        }
        let now = Instant::now();
        let shown = self.meter.snapshot(now);
        // A full bar of nothing says nothing.
        if shown.total_work_bytes == 0 {
            return;
        }
        *drawn = Some(now);
        if self.lines {
            eprintln!("{}", json!({ "progress": shown }));
            return;
        }
        self.bar.set_length(shown.total_work_bytes);
        self.bar.set_position(shown.work_bytes);
        self.bar.set_prefix(figures(&shown));
        self.bar.set_message(shown.file.unwrap_or_default());
    }
}

/// `copy 3/240 files, 1.2 GB of 8.0 GB, 410 MB/s, 17 s left`: of this phase, and
/// the time until the last phase ends.
pub fn figures(shown: &Snapshot) -> String {
    let phase = match shown.phase {
        Some(Phase::Describe) => "read ",
        Some(Phase::Copy) => "copy ",
        Some(Phase::ReadBack) => "read back ",
        _ => "",
    };
    let mut text = format!(
        "{phase}{}/{} files, {} of {}",
        shown.files,
        shown.total_files,
        size(shown.bytes),
        size(shown.total_bytes)
    );
    if let Some(rate) = shown.bytes_per_second {
        text.push_str(&format!(", {}/s", size(rate)));
    }
    if let Some(eta) = shown.eta_seconds {
        text.push_str(&format!(", {} left", HumanDuration(Duration::from_secs(eta))));
    }
    text
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Terminal {
    fn on(&self, progress: Progress<'_>) {
        self.meter.on(progress);
        self.draw(matches!(progress, Progress::Total { .. }));
    }
    fn wants_total(&self) -> bool {
        !self.bar.is_hidden() || self.lines
    }
    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
    fn throttle(&self) -> Option<&Throttle> {
        self.throttle.as_ref()
    }
}

/// A flag that the first Ctrl-C raises; the second ends the program at once.
fn on_interrupt() -> Cancel {
    static CANCEL: std::sync::OnceLock<Arc<Cancel>> = std::sync::OnceLock::new();
    let cancel = CANCEL.get_or_init(|| {
        let cancel = Arc::new(Cancel::new());
        let raised = cancel.clone();
        std::thread::spawn(move || wait_for_interrupts(&raised));
        cancel
    });
    Cancel::clone(cancel)
}

fn wait_for_interrupts(raised: &Cancel) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            if raised.is_cancelled() {
                std::process::exit(130);
            }
            raised.cancel();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_and_no_end_are_told_before_they_are_known() {
        let mut shown = Snapshot {
            phase: Some(Phase::ReadBack),
            files: 3,
            total_files: 240,
            bytes: 1_200_000,
            total_bytes: 8_000_000,
            ..Snapshot::default()
        };
        assert_eq!(figures(&shown), "read back 3/240 files, 1.2 MB of 8.0 MB");
        (shown.bytes_per_second, shown.eta_seconds) = (Some(400_000), Some(17));
        assert_eq!(
            figures(&shown),
            "read back 3/240 files, 1.2 MB of 8.0 MB, 400.0 kB/s, 17 seconds left"
        );
    }
}
