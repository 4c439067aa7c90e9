//! Named steps at which a fault test stops or kills this very process.
//!
//! Compiled to nothing without the `steps` feature, which no release has. With
//! it, `DATABRIDGE_STEP=name:count:signal` (`KILL` or `STOP`; several with commas
//! between them) raises that real signal when the step is reached for the count-th
//! time, or with `HANG` keeps the thread there for good, as a mount does that is gone; and `DATABRIDGE_STEP_LOG=FILE` appends each step's name as it is reached.

/// Marks that the process has come to the step `name` (`area.what`).
#[inline]
pub fn reach(name: &'static str) {
    #[cfg(feature = "steps")]
    enabled::reach(name);
    #[cfg(not(feature = "steps"))]
    let _ = name;
}

#[cfg(feature = "steps")]
mod enabled {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Trap {
        name: String,
        remaining: AtomicU32,
        /// None: it hangs.
        signal: Option<Signal>,
    }

    fn traps() -> &'static [Trap] {
        static TRAPS: OnceLock<Vec<Trap>> = OnceLock::new();
        TRAPS.get_or_init(|| {
            let text = std::env::var("DATABRIDGE_STEP").unwrap_or_default();
            text.split(',').filter_map(trap).collect()
        })
    }

    fn trap(text: &str) -> Option<Trap> {
        let mut parts = text.split(':');
        let name = parts.next()?.to_owned();
        let count = parts.next().unwrap_or("1").parse().ok()?;
        let signal = match parts.next() {
            Some("HANG") => None,
            Some("STOP") => Some(Signal::STOP),
            _ => Some(Signal::KILL),
        };
        Some(Trap { name, remaining: AtomicU32::new(count), signal })
    }

    impl Trap {
        /// Whether this is the time at which it springs.
        fn springs(&self) -> bool {
            self.remaining.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
                == Ok(1)
        }
    }

    pub fn reach(name: &'static str) {
        if let Some(path) = std::env::var_os("DATABRIDGE_STEP_LOG")
            && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
        {
            // In one write: two threads that reach their steps at once append whole lines.
            let _ = file.write_all(format!("{name}\n").as_bytes());
        }
        for trap in traps().iter().filter(|trap| trap.name == name) {
            if trap.springs() {
                let Some(signal) = trap.signal else {
                    tracing::warn!(step = name, "hangs");
                    loop {
                        std::thread::park();
                    }
                };
                let _ = kill_process(getpid(), signal);
                // The kernel may hand the signal to another thread first, and this one
                // would run on for a moment past its step.
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}
