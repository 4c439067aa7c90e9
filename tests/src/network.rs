//! A network of its own for a host, with one cable to this machine that can be pulled.

use std::net::Ipv4Addr;
use std::process::Command;

use rustix::process::geteuid;

use crate::process::{Daemon, PATIENCE, run};

/// 198.18.0.0/15, which is for tests of networks (RFC 2544).
const TESTS: u32 = 0xC612_0000;

/// The other end of the cable. It goes with this value and what runs there.
#[derive(Debug)]
pub struct Network {
    /// Keeps the namespace.
    holder: Daemon,
    cable: String,
    here: Ipv4Addr,
}

impl Network {
    /// Makes one; where this machine does not let us, it prints that `test` is skipped.
    pub fn new(test: &str) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("SKIPPED {test}: it makes a network, which needs root");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep 3600"]);
        let mut holder = Daemon::spawn(command);
        if holder.find_line(PATIENCE, |line| line == "ready").is_err() {
            let said = holder.output();
            // A container may keep it even from root; anything else is a fault here.
            assert!(said.contains("not permitted"), "no network can be made: {said}");
            eprintln!("SKIPPED {test}: no network can be made here: {said}");
            return None;
        }
        let pid = holder.pid();
        let cable = format!("db{pid}");
        // A /30 for each: no two holders that live have one number.
        let first = TESTS + (pid & 0x7FFF) * 4;
        let (here, there) = (Ipv4Addr::from(first + 1), Ipv4Addr::from(first + 2));
        let mut laid = ip(&format!("link add {cable} type veth peer name uplink netns {pid}"));
        let laid = laid.output().expect("ip does not start");
        if !laid.status.success() {
            let said = String::from_utf8_lossy(&laid.stderr).into_owned();
            let said_no = ["not permitted", "not supported", "Unknown device type"];
            let is_barred = said_no.iter().any(|no| said.contains(no));
            assert!(is_barred, "no cable can be laid: {said}");
            eprintln!("SKIPPED {test}: no cable can be laid here: {said}");
            return None;
        }
        let network = Self { holder, cable, here };
        run(&mut ip(&format!("address add {here}/30 dev {}", network.cable)));
        network.mend();
        for words in [format!("address add {there}/30 dev uplink"), "link set uplink up".into()] {
            let enter = network.enter();
            run(Command::new(&enter[0]).args(&enter[1..]).arg("ip").args(words.split(' ')));
        }
        Some(network)
    }

    /// This machine's address, as it is seen from there.
    pub fn address(&self) -> String {
        self.here.to_string()
    }

    /// What stands before a command that is to run there; it keeps its process id.
    pub fn enter(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/proc/{}/ns/net", self.holder.pid()), "--".into()]
    }

    /// From now on what is sent either way is lost, and nobody is told.
    pub fn cut(&self) {
        run(&mut ip(&format!("link set {} down", self.cable)));
    }

    /// Plugs it in (again).
    pub fn mend(&self) {
        run(&mut ip(&format!("link set {} up", self.cable)));
    }
}

fn ip(words: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    command
}
