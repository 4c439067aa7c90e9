//! How a long operation shows itself, and how Ctrl-C ends it.

use std::io::IsTerminal;
use std::sync::Arc;

use databridge_core::base::cancel::Cancel;
use databridge_core::media::monitor::{Monitor, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Draws on a terminal, is quiet in a pipe, and stops at Ctrl-C.
#[derive(Clone)]
pub struct Terminal {
    bar: ProgressBar,
    cancel: Cancel,
}

impl Terminal {
    /// For one operation.
    pub fn new() -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, cancel: on_interrupt() }
    }

    /// Writes something else to the terminal in between.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Raised by Ctrl-C.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for Terminal {
    fn on(&self, progress: Progress<'_>) {
        match progress {
            Progress::Total { bytes, .. } => self.bar.set_length(bytes),
            Progress::Bytes(n) => self.bar.inc(n),
            Progress::File(name) => self.bar.set_message(name.to_owned()),
            _ => {}
        }
    }
    fn wants_total(&self) -> bool {
        !self.bar.is_hidden()
    }
    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
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
