//! A disk that is full, for a while.

use std::io::Write;
use std::path::{Path, PathBuf};

use databridge_tests::mounts::{require_root, tmpfs};
use databridge_tests::postgres::fresh_database;
use databridge_tests::studio::{Place, Running, found};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Kind, by_hand};

on_both!(a_full_disk_is_a_503_and_passes);

const SIZE: u64 = 32 << 20;
/// More than a journal takes that has not yet been written back.
const TRIES: usize = 1500;

/// Takes what is left.
fn fill(root: &Path) -> PathBuf {
    let path = root.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    let chunk = vec![1; 4096];
    while file.write_all(&chunk).is_ok() {}
    path
}

fn a_full_disk_is_a_503_and_passes(kind: Kind) {
    if !require_root("a_full_disk_is_a_503_and_passes") {
        return;
    }
    let disk = tmpfs(SIZE);
    let database = (kind == Kind::Postgres).then(fresh_database);
    let place = match &database {
        None => Place::below(disk.path()),
        Some(database) => Place::on(disk.path(), database),
    };
    let people = found(&place);
    let mut settings = by_hand();
    settings.push(("MIN_FREE_BYTES", (1 << 20).to_string().into()));
    let running = Running::start(&place, &settings).expect("the daemon does not start");
    let mut desk = Desk::of(people, place, running);
    let code = desk.transfer();
    let filler = fill(disk.path());

    let put = |name: &str| {
        let path = format!("/api/v1/transfers/{code}/files/{name}");
        let bearer = format!("Bearer {}", desk.people.token("artist"));
        desk.raw("PUT", &path, &[("authorization", bearer)], &vec![7; 1 << 20])
    };
    let later = |answer: &Answer, code: &str| {
        answer.refused(503, code);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    };
    later(&put("large.exr"), "transfer.no_space");
    let mut made = vec![json!(code)];
    let create = || {
        let body = json!({ "title": "a", "project": "film", "category": "plates" });
        desk.ask("artist", "POST", "/transfers", body)
    };
    if kind == Kind::Sqlite {
        // What the journal has room for is taken, and then nothing.
        let full = (0..TRIES).find_map(|_| {
            let answer = create();
            match answer.status {
                200 => {
                    made.push(answer.json()["code"].clone());
                    None
                }
                _ => Some(answer),
            }
        });
        later(&full.expect("the database is never full"), "db.full");
    }
    // It is read all the while, and says what is wrong.
    let shown = desk.ok("artist", "GET", &format!("/transfers/{code}/files"), Value::Null);
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    let ready = desk.ask("", "GET", "/api/ready", Value::Null);
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["checks"][2]["ok"], false, "{ready:?}");

    // Room, and all goes on in the same process.
    std::fs::remove_file(filler).unwrap();
    let answer = put("large.exr");
    assert_eq!(answer.status, 200, "{answer:?}\n{}", desk.running.daemon.output());
    let answer = create();
    assert_eq!(answer.status, 200, "{answer:?}");
    made.push(answer.json()["code"].clone());
    desk.ok("artist", "POST", &format!("/transfers/{code}/submit"), json!({}));
    desk.wait(&code, "team_lead_review");
    desk.deliver(&code);
    // What was told stands, and nothing else.
    for code in &made {
        let path = format!("/transfers/{}", code.as_str().unwrap());
        desk.ok("artist", "GET", &path, Value::Null);
    }
    let next = made.len() + 1;
    assert_eq!(create().json()["code"], format!("TRF-{next:05}"));
    let report = desk.ok("admin", "POST", "/activity/verify", json!({}));
    assert_eq!(report["findings"], json!([]), "{report}");
}
