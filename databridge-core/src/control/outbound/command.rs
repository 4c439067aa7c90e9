//! A command as a hook: JSON on its standard input, an environment of its own, a limit of
//! time that its whole process group is held to, and the end of what it says.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Error, Hook, SAID_BYTES, tail};

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// So long what was said before the end is read, where somebody outside of the group
/// keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// All that it finds in its environment, besides the message's id.
const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("HOME", "/")];

/// Runs it to its end, and not longer than it may or is wanted; answers what it said.
pub(super) fn run(
    hook: &Hook,
    id: &str,
    body: String,
    stopped: impl Fn() -> bool,
) -> Result<String, Error> {
    let mut words = hook.command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let failed = |source| Error::NotRun { program: program.clone(), source };
    let child = Command::new(&program)
        .args(words)
        .env_clear()
        .envs(ENVIRONMENT)
        .env("DATABRIDGE_HOOK", &hook.name)
        .env("DATABRIDGE_HOOK_ID", id)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut group = Group::of(child);
    group.feed(body);
    let end = Instant::now() + hook.timeout();
    while !group.has_ended().map_err(failed)? {
        if stopped() {
            return Err(Error::Stopped);
        }
        if Instant::now() >= end {
            let seconds = hook.timeout_seconds;
            return Err(Error::TooLong { seconds, output: group.end() });
        }
        std::thread::sleep(LOOK);
    }
    let output = group.end();
    match group.reap().map_err(failed)? {
        status if status.success() => Ok(output),
        status => Err(Error::Ended { program, status: shown(status), output }),
    }
}

fn shown(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// A child with all that it started, and what they say.
struct Group {
    child: Child,
    /// While the child is not, its number is nobody else's, and so is its group's.
    reaped: bool,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// Nobody listens any more.
    deaf: Arc<AtomicBool>,
}

impl Group {
    fn of(mut child: Child) -> Self {
        let (said, deaf) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let readers = [
            child.stdout.take().map(|pipe| keep_end(pipe, said.clone(), deaf.clone())),
            child.stderr.take().map(|pipe| keep_end(pipe, said.clone(), deaf.clone())),
        ];
        Self { child, reaped: false, said, readers: readers.into_iter().flatten().collect(), deaf }
    }

    /// Writes the message from another thread: a command need not read it.
    fn feed(&mut self, body: String) {
        if let Some(mut input) = self.child.stdin.take() {
            std::thread::spawn(move || {
                let _ = input.write_all(body.as_bytes());
            });
        }
    }

    /// Ends whoever is left of the group, and answers what was said.
    fn end(&mut self) -> String {
        self.kill();
        let end = Instant::now() + LAST_WORDS;
        while !self.readers.iter().all(std::thread::JoinHandle::is_finished) && Instant::now() < end
        {
            std::thread::sleep(LOOK / 4);
        }
        self.deaf.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        tail(&self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the child came to its end; it is not reaped by that.
    fn has_ended(&self) -> std::io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?.is_some())
    }

    fn kill(&mut self) {
        if !self.reaped {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.reap();
        }
    }

    fn reap(&mut self) -> std::io::Result<ExitStatus> {
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.deaf.store(true, Ordering::Relaxed);
        self.kill();
    }
}

/// Reads to the end, or until nobody listens, and keeps the last of it: who says much is
/// not held up, and takes no memory.
fn keep_end(
    mut pipe: impl Read + AsFd + Send + 'static,
    said: Arc<Mutex<Vec<u8>>>,
    deaf: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    const BRIEFLY: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // Who left the group may keep the pipe open for ever, and say something for ever.
        while !deaf.load(Ordering::Relaxed) {
            // Where it cannot be asked, the read waits.
            if matches!(poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&BRIEFLY)), Ok(0)) {
                continue;
            }
            let read = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if said.len() > 2 * SAID_BYTES {
                let from = said.len() - SAID_BYTES;
                said.drain(..from);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::base::error::Fault as _;

    fn hook(script: &str, seconds: u64) -> Hook {
        let json = serde_json::json!({
            "name": "try", "command": ["/bin/sh", "-c", script], "timeout_seconds": seconds,
        });
        serde_json::from_value(json).unwrap()
    }

    fn run_it(script: &str, seconds: u64) -> Result<String, Error> {
        run(&hook(script, seconds), "hook_1", "{\"a\":1}".into(), || false)
    }

    #[test]
    fn it_reads_the_message_in_a_clean_environment() {
        let said = run_it("cat; env | sort | cut -d= -f1 | tr '\\n' ' '; pwd", 60).unwrap();
        assert_eq!(said, "{\"a\":1}DATABRIDGE_HOOK DATABRIDGE_HOOK_ID HOME LANG PATH PWD /");
    }

    #[test]
    fn how_it_ended_and_the_last_it_said_are_kept() {
        let error = run_it("echo no disk >&2; exit 3", 60).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh ended with exit code 3: no disk");
        assert_eq!(error.code(), "hook.ended");
        let said = run_it("yes x | head -c 3000000; echo; echo the end", 60).unwrap();
        assert!(said.len() <= SAID_BYTES && said.ends_with("the end"), "{}", said.len());
        // It reads nothing of a message that is larger than a pipe.
        let much = "x".repeat(1 << 20);
        assert_eq!(run(&hook("exit 0", 60), "hook_1", much, || false).unwrap(), "");
    }

    /// Writes who it is, and whom it started, and stays.
    fn family(folder: &std::path::Path) -> (std::path::PathBuf, String) {
        let pids = folder.join("pids");
        // A child of the child that would outlive it, and ignores what it can.
        let script = format!(
            "trap '' TERM HUP; sleep 1000 & echo $! > {0}; echo $$ >> {0}; wait",
            pids.display()
        );
        (pids, script)
    }

    /// Returns when nobody named there lives.
    fn all_gone(pids: &std::path::Path) -> usize {
        let gone = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie is dead; who inherited it has not looked yet.
            stat.is_empty() || stat.contains(") Z ") || stat.contains(") X ")
        };
        let pids = std::fs::read_to_string(pids).unwrap_or_default();
        for pid in pids.lines() {
            while !gone(pid) {
                std::thread::yield_now();
            }
        }
        pids.lines().count()
    }

    #[test]
    fn its_whole_group_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (pids, script) = family(folder.path());
        let lines = || std::fs::read_to_string(&pids).unwrap_or_default().lines().count();
        let stopped = run(&hook(&script, 3600), "hook_1", String::new(), || lines() == 2);
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        assert_eq!(all_gone(&pids), 2);
    }

    #[test]
    fn who_left_the_group_keeps_no_thread() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // In a session of its own, with both pipes.
        let at = pid.display();
        let script = format!(
            "setsid sh -c 'echo $$ > {at}; exec sleep 1000' &
             while [ ! -s {at} ]; do sleep 0.02; done; echo said"
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut group = Group::of(child);
        while !group.has_ended().unwrap() {
            std::thread::yield_now();
        }
        // Each reader has a part in what was said as long as it reads.
        let said = Arc::downgrade(&group.said);
        assert_eq!(group.end(), "said");
        drop(group);
        assert_eq!(said.strong_count(), 0);
        let left = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let left = Pid::from_raw(left).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn at_the_limit_too() {
        let folder = tempfile::tempdir().unwrap();
        let (pids, script) = family(folder.path());
        let error = run_it(&script, 1).unwrap_err();
        assert_eq!(error.code(), "hook.too_long");
        assert!(error.to_string().starts_with("it was not done within 1 s"), "{error}");
        all_gone(&pids);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let json = serde_json::json!({ "name": "a", "command": ["/no/such/program"] });
        let none: Hook = serde_json::from_value(json).unwrap();
        let error = run(&none, "hook_1", String::new(), || false).unwrap_err();
        assert_eq!(error.to_string(), "/no/such/program cannot be run");
        let stopped = run(&hook("sleep 1000", 60), "hook_1", String::new(), || true);
        assert!(matches!(stopped, Err(Error::Stopped)));
    }
}
