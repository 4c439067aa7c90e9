//! What people and programs see.

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};

use databridge_core::Error;
use serde::Serialize;
use serde_json::{Value, json};

/// Where and how answers are shown.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Show {
    /// Bytes as they are. Who closes the pipe has seen enough: the verdict stands.
    /// Output that is lost for another reason is a failure.
    pub fn raw(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("error: standard output cannot be written: {error}");
                std::process::exit(5);
            }
            _ => {}
        }
    }

    /// A line for people; nothing where JSON is wanted.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            self.raw(format!("{}\n", text.as_ref()).as_bytes());
        }
    }

    /// Whether a person at a terminal reads what is said beside the answer.
    pub fn has_reader(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// A word to a person at a terminal, beside the answer; nothing in a pipe.
    pub fn aside(&self, text: impl AsRef<str>) {
        if self.has_reader() {
            eprintln!("{}", text.as_ref());
        }
    }

    /// One JSON document on a line; nothing where text is wanted.
    pub fn document(&self, value: &impl Serialize) {
        if self.json {
            // Piece by piece: that of a large tree would be as large in memory as all
            // that it tells of.
            let mut out = BufWriter::new(Raw(self));
            let _ = serde_json::to_writer(&mut out, value);
            let _ = out.write_all(b"\n").and_then(|()| out.flush());
        }
    }

    /// A refusal, with what to do next, on standard error.
    pub fn error(&self, error: &Error) {
        if self.json {
            let value = json!({
                "error": {
                    "code": error.code(), "kind": error.kind(), "message": error.chain(),
                    "hint": error.hint(), "required_roles": error.required_roles(),
                }
            });
            eprintln!("{value}");
            return;
        }
        let (red, plain) = if in_colour() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        eprintln!("{red}error:{plain} {}", error.chain());
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
    }
}

/// Standard output, by [`Show::raw`].
struct Raw<'a>(&'a Show);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.raw(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether standard error takes colours and somebody wants them (no-color.org).
fn in_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The text of a JSON string, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `9.7 MB`, for people.
#[allow(clippy::cast_precision_loss)]
pub fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `2026-11-21 11:20:44`: UTC, to the second.
pub fn time(value: &Value) -> String {
    text(value).chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(9_745_569), "9.7 MB");
        assert_eq!(size(999_960), "1.0 MB");
    }
}
