//! A host whose way to the database is cut: packets vanish, in both directions, and nobody
//! is told. What it loses it can neither commit nor publish, also when it is back.

use databridge_tests::network::Network;
use databridge_tests::postgres::{Durability, Server};
use databridge_tests::process::PATIENCE;
use databridge_tests::studio::{Running, Settings};
use rustix::process::Signal;

use crate::farm::Farm;

/// What a host says when it finds out.
const NOTICED: [&str; 4] =
    ["lease not renewed", "the lease ran out", "job failed", "could not be "];

/// Starts one behind the cable: it works, and stops itself where it is told.
fn start(farm: &Farm, network: &Network, trap: Option<&str>) -> Running {
    let mut place = farm.place.clone();
    place.data = farm.data(1);
    place.database = place.database.map(|url| url.replace("127.0.0.1", &network.address()));
    let mut settings: Settings =
        vec![("HOST", "far".into()), ("ROLE", "work".into()), ("WORKERS", "1".into())];
    settings.extend(trap.map(|trap| ("STEP", format!("{trap}:1:STOP").into())));
    let started = Running::start_in(&network.enter(), &place, &settings);
    started.unwrap_or_else(|ended| panic!("{}", ended.output))
}

#[test]
fn a_host_that_is_cut_off_commits_and_publishes_nothing_that_it_lost() {
    let Some(network) = Network::new("a host that is cut off") else { return };
    let server = Server::start_at(Durability::Off, &network.address());
    let idle = || -> Settings { vec![("ROLE", "serve".into())] };
    let mut farm = Farm::on(server.fresh_database(), [idle(), idle(), idle()]);
    farm.kill(1);
    let mut codes = Vec::new();
    for (step, runs_on) in [
        // It copies on without its database while another takes its job over.
        ("copy.file_written", true),
        // It comes to the point where it would publish when another has.
        ("copy.journal_identity", false),
        // What it wrote is not committed, and its word to commit gets lost.
        ("command.before_commit", true),
    ] {
        eprintln!("{step}");
        codes.push(farm.scanned_by_worker());
        let mut far = start(&farm, &network, Some(step));
        farm.start_delivery(codes.last().unwrap());
        far.daemon.wait_until_stopped(PATIENCE);
        network.cut();
        if runs_on {
            far.daemon.resume();
            let noticed = |line: &str| NOTICED.iter().any(|what| line.contains(what));
            far.daemon.wait_for_line(PATIENCE, noticed);
        }
        farm.kill(2);
        farm.start(2, &Settings::new());
        farm.check(&codes);
        if !runs_on {
            far.daemon.resume();
        }
        network.mend();
        // It works again, alone; by then it has let go of what it had.
        codes.push(farm.scanned());
        farm.drain(2);
        farm.start_delivery(codes.last().unwrap());
        farm.check(&codes);
        far.daemon.end(Signal::TERM, PATIENCE);
        let output = far.daemon.output();
        assert!(output.contains("job done"), "{output}");
        // Any command may be the one that is not committed, a keeper's too.
        assert!(step.starts_with("command") || output.contains("job failed"), "{output}");
        farm.check(&codes);
        farm.start(2, &idle());
    }
}
