//! What of the store's own rows is forgotten in time, and what is not.

use databridge_core::control::ctx::Ctx;
use databridge_core::control::jobs::NewJob;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    old_rows_are_forgotten_and_new_ones_are_not,
    what_was_given_up_goes_when_it_is_tried_again,
    what_was_given_up_stays_until_it_is_asked_for_anew,
    what_was_asked_for_by_hand_and_given_up_goes_with_the_next_that_is_done,
);

fn count(lab: &Lab, sql: &str) -> i64 {
    lab.sql(&format!("SELECT COUNT(*) FROM {sql}")).trim().parse().unwrap()
}

async fn old_rows_are_forgotten_and_new_ones_are_not(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(&[("a.exr", b"a")]).await;
    let keyed = async |key: &str| {
        let new = json!({ "title": "Shot", "project": "film", "category": "plates" });
        let call = crate::lab::call("transfer_create", new);
        text(&lab.app.call(lab.who("artist"), call, Some(key)).await.unwrap(), "code")
    };
    let (old, new) = (keyed("old").await, keyed("new").await);
    lab.seal().await;
    lab.app.follow().await.unwrap();
    let before = count(&lab, "ledger_event");
    // A job that was given up waits for somebody, however old it is.
    let dead = lab.approved(&[("b.exr", b"b")]).await;
    lab.act("data_team", "scan", &dead).await;
    lab.break_rules(true);
    lab.settle(&dead).await;
    lab.break_rules(false);
    assert_eq!(count(&lab, "jobs WHERE state = 'dead'"), 1);
    assert!(count(&lab, "notifications") > 1);
    let done = count(&lab, "jobs WHERE state = 'done'");
    // Ten years ago.
    let long_ago =
        if kind == Kind::Sqlite { "1480000000000000" } else { "to_timestamp(1480000000)" };
    lab.sql(&format!(
        "UPDATE idempotency SET created_at = {long_ago} WHERE key = 'old';
         UPDATE notifications SET at = {long_ago}
             WHERE position = (SELECT MIN(position) FROM notifications);
         UPDATE jobs SET finished_at = {long_ago}
             WHERE subject_id = (SELECT id FROM transfers WHERE code = '{code}')
                OR state = 'dead'"
    ));
    let old_jobs = format!(
        "jobs WHERE state = 'done' AND subject_id = (SELECT id FROM transfers WHERE code = '{code}')"
    );
    let (gone, told) = (count(&lab, &old_jobs), count(&lab, "notifications"));
    assert!(gone > 0 && gone < done);
    let root = lab.app.embedded(None).await.unwrap();
    let run = async || {
        let job = lab.app.call(&root, crate::lab::call("housekeeping_run", json!({})), None).await;
        let job: Value = job.unwrap();
        assert_eq!(job["state"], "done", "{job}");
    };
    run().await;
    assert_eq!(count(&lab, &old_jobs), 0);
    // The housekeeping's own job is one more that is done.
    assert_eq!(count(&lab, "jobs WHERE state = 'done'"), done - gone + 1);
    assert_eq!(count(&lab, "jobs WHERE state = 'dead'"), 1);
    assert!(count(&lab, "notifications") < told);
    assert!(count(&lab, "ledger_event") >= before, "the ledger forgets nothing");
    // The new key answers as it did; the old one is free again.
    assert_eq!(keyed("new").await, new);
    assert_ne!(keyed("old").await, old);
    // A second run finds nothing to do.
    let rows = count(&lab, "notifications");
    run().await;
    assert_eq!(count(&lab, "notifications"), rows);
}

async fn what_was_given_up_goes_when_it_is_tried_again(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(&[("a.exr", b"a")]).await;
    lab.act("data_team", "scan", &code).await;
    lab.break_rules(true);
    assert_eq!(lab.settle(&code).await, "scan_failed");
    let dead = || count(&lab, "jobs WHERE state = 'dead'");
    assert_eq!(dead(), 1);
    lab.act("data_team", "retry", &code).await;
    assert_eq!(dead(), 0);
    // Once more in vain: one waits for somebody, not two.
    assert_eq!(lab.settle(&code).await, "scan_failed");
    assert_eq!(dead(), 1);
    lab.break_rules(false);
    lab.act("data_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "undecided");
    assert_eq!(dead(), 0);
}

async fn what_was_given_up_stays_until_it_is_asked_for_anew(kind: Kind) {
    let lab = Lab::open(kind).await;
    let org = lab.app.org();
    let ask = async |key: &str| {
        let mut unit = lab.store.begin(&Ctx::system(org)).await.unwrap();
        let job = NewJob {
            kind: "housekeeping",
            subject_id: org.0,
            key: key.to_owned(),
            payload: json!({}),
            priority: -20,
            held: false,
        };
        unit.enqueue_anew(job).await.unwrap();
        unit.commit(()).await.unwrap();
    };
    let of = |state: &str| count(&lab, &format!("jobs WHERE state = '{state}'"));
    ask("this hour").await;
    lab.sql("UPDATE jobs SET state = 'dead'");
    // It is asked for every minute, and is the same within an hour.
    ask("this hour").await;
    assert_eq!((of("dead"), of("ready")), (1, 0));
    ask("the next").await;
    assert_eq!((of("dead"), of("ready"), of("withdrawn")), (0, 1, 1));
}

async fn what_was_asked_for_by_hand_and_given_up_goes_with_the_next_that_is_done(kind: Kind) {
    let lab = Lab::open(kind).await;
    lab.organisation("rival").await;
    lab.ok("it_team", "housekeeping_run", json!({})).await;
    lab.ok("it_team", "housekeeping_run", json!({})).await;
    // By its schedule, for both.
    lab.app.ask_for_housekeeping().await.unwrap();
    lab.sql("UPDATE jobs SET state = 'dead'");
    let of = |state: &str| count(&lab, &format!("jobs WHERE state = '{state}'"));
    assert_eq!(of("dead"), 4);
    let root = lab.app.embedded(None).await.unwrap();
    let run = crate::lab::call("housekeeping_run", json!({}));
    let done = lab.app.call(&root, run, None).await.unwrap();
    assert_eq!(done["state"], "done", "{done}");
    // What is another organisation's is left to them.
    assert_eq!((of("dead"), of("withdrawn"), of("done")), (1, 3, 1));
}
