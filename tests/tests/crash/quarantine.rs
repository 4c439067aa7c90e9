//! An infected transfer whose daemon is killed while it puts the file away: it ends
//! infected, with the file in quarantine, and never as something else.

use std::os::unix::fs::PermissionsExt;

use databridge_tests::life::{Accident, Life, Source};
use databridge_tests::studio::{Place, Settings};
use databridge_tests::{clamd, delivery};
use serde_json::json;

/// Traps, and the antivirus daemon at each start.
struct Scanned {
    socket: String,
    left: Vec<&'static str>,
}

impl Accident for Scanned {
    fn settings(&mut self) -> Settings {
        let trap = self.left.pop().map(|step| ("STEP", format!("{step}:KILL").into()));
        let mut settings: Settings = trap.into_iter().collect();
        settings.push(("SCAN__ENGINE", "clamd".into()));
        settings.push(("SCAN__CLAMD__ADDRESS", self.socket.clone().into()));
        settings
    }
}

fn infected(server: &clamd::Server, traps: &[&'static str]) {
    eprintln!("{traps:?}");
    let folder = tempfile::tempdir().unwrap();
    let source = Source::media(folder.path(), 4);
    // clamd reads what it is handed; two findings, so that one may be put away
    // and the other not.
    for name in ["plates/one.com", "two.com"] {
        std::fs::write(source.root.join(name), clamd::eicar()).unwrap();
    }
    let source = Source { listing: databridge_tests::tree::digest_tree(&source.root), ..source };
    let mut left = traps.to_vec();
    left.reverse();
    let accident = Scanned { socket: server.socket().display().to_string(), left };
    let mut life = Life::new(Place::below(folder.path()), source, accident);
    life.upload();
    life.act("artist", "transfers", "submit", json!({}));
    life.expect("team_lead_review");
    for who in ["lead", "supervisor", "producer"] {
        life.act(who, "approvals", "approve", json!({}));
    }
    life.act("data", "scanning", "start", json!({}));
    life.expect("infected");
    assert!(life.accident.left.is_empty(), "not every trap of {traps:?} sprang");
    let events = life.events();
    assert_eq!(delivery::count(&events).get("transfer.infected"), Some(&1), "{events:?}");
    let path = format!("/transfers/{}/history", life.code);
    let history = life.call("data", "GET", &path, json!({})).to_string();
    assert!(history.contains("plates/one.com") && history.contains("two.com"), "{history}");
    let frozen = life.place.staging.join(&life.code).join("frozen-r1");
    assert!(!frozen.join("two.com").exists() && !frozen.join("plates/one.com").exists());
    let taken = life.place.staging.join(".quarantine").join(&life.code).join("r1");
    let modes: Vec<u32> = delivery::names(&taken)
        .iter()
        .filter(|name| !name.ends_with(".json"))
        .map(|name| taken.join(name).metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0, 0], "{:?}", delivery::names(&taken));
}

#[test]
fn an_infection_is_told_as_such_whenever_the_daemon_is_killed() {
    let server = clamd::Server::start();
    for traps in [
        &["quarantine.evidence:1"][..],
        &["quarantine.moved:1"],
        &["quarantine.moved:2"],
        &["quarantine.before_commit:1"],
        &["quarantine.evidence:2", "quarantine.before_commit:1"],
    ] {
        infected(&server, traps);
    }
}
