//! Approvals bind to the content: whoever changes the frozen tree voids them,
//! whenever it is noticed.

use std::path::Path;

use databridge_core::base::error::ErrorKind;
use serde_json::json;

use crate::lab::{Kind, Lab, flip, names};

on_both!(
    a_change_after_one_approval_is_noticed_at_the_next,
    a_change_after_all_approvals_is_noticed_at_the_scan,
    a_change_before_a_scan_is_set_aside_is_noticed,
    a_change_after_the_scan_is_noticed_at_the_start,
    a_change_before_the_copy_is_noticed_by_the_copy,
    approvals_of_other_bytes_do_not_count_again,
    a_digest_that_was_not_looked_at_is_not_approved,
);

const FILES: &[(&str, &[u8])] = &[("a.exr", b"aaaa"), ("sub/b.exr", b"bbbb"), ("z.txt", b"zzzz")];

/// Ways to change a tree, and the name that must be told.
const WAYS: [(&str, &str); 4] =
    [("flip", "sub/b.exr"), ("add", "sub/new.exr"), ("remove", "a.exr"), ("rename", "z.txt")];

fn tamper(root: &Path, way: &str) {
    match way {
        "flip" => flip(&root.join("sub/b.exr")),
        "add" => std::fs::write(root.join("sub/new.exr"), "new").unwrap(),
        "remove" => std::fs::remove_file(root.join("a.exr")).unwrap(),
        _ => std::fs::rename(root.join("z.txt"), root.join("y.txt")).unwrap(),
    }
}

/// The transfer is back with its artist, and everybody can read why.
async fn voided(lab: &Lab, code: &str, file: &str) {
    let shown = lab.show(code).await;
    assert_eq!(shown["state"], "rejected", "{file}: {}", shown["failure"]);
    assert_eq!(shown["reason"], "content_changed");
    let history = lab.history(code).await;
    let event = history.last().unwrap();
    assert_eq!(event["kind"], "transfer.approvals_voided", "{event}");
    assert_eq!(event["data"]["reason"], "content_changed");
    let files = event["data"]["files"].as_array().unwrap();
    assert!(files.iter().any(|f| f.as_str().unwrap().starts_with(file)), "{event}");
    let production = lab.destination(code).await;
    assert!(!production.exists());
    assert_eq!(names(production.parent().unwrap()), Vec::<String>::new());
}

async fn refused_at(lab: &Lab, who: &str, op: &str, code: &str, file: &str) {
    let mut fields = json!({ "code": code });
    if op == "decide" {
        fields = json!({ "code": code, "decision": "override_scan", "reason": "because" });
    }
    let error = lab.refused(who, op, fields).await;
    assert_eq!(error.code(), "transfer.content_changed", "{op}: {error:?}");
    assert_eq!(error.kind(), ErrorKind::CheckFailed);
    assert!(error.to_string().contains(file), "{error}");
    voided(lab, code, file).await;
}

async fn a_change_after_one_approval_is_noticed_at_the_next(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (way, file) in WAYS {
        let code = lab.create().await;
        lab.add(&code, FILES).await;
        lab.submit(&code).await;
        lab.act("team_lead", "approve", &code).await;
        tamper(&lab.frozen(&code, 1), way);
        refused_at(&lab, "supervisor", "approve", &code, file).await;
    }
}

async fn a_change_after_all_approvals_is_noticed_at_the_scan(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (way, file) in WAYS {
        let code = lab.approved(FILES).await;
        tamper(&lab.frozen(&code, 1), way);
        lab.act("data_team", "scan", &code).await;
        lab.settle(&code).await;
        voided(&lab, &code, file).await;
    }
}

async fn a_change_before_a_scan_is_set_aside_is_noticed(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (way, file) in WAYS {
        let code = lab.approved(FILES).await;
        tamper(&lab.frozen(&code, 1), way);
        refused_at(&lab, "chief", "decide", &code, file).await;

        let code = lab.approved(FILES).await;
        lab.act("data_team", "scan", &code).await;
        lab.break_rules(true);
        assert_eq!(lab.settle(&code).await, "scan_failed");
        lab.break_rules(false);
        tamper(&lab.frozen(&code, 1), way);
        refused_at(&lab, "chief", "decide", &code, file).await;
    }
}

async fn a_change_after_the_scan_is_noticed_at_the_start(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (way, file) in WAYS {
        let code = lab.scanned(FILES).await;
        tamper(&lab.frozen(&code, 1), way);
        refused_at(&lab, "it_team", "start", &code, file).await;
    }
}

async fn a_change_before_the_copy_is_noticed_by_the_copy(kind: Kind) {
    let lab = Lab::open(kind).await;
    for state in ["preparing", "transferring"] {
        for (way, file) in WAYS {
            let code = lab.scanned(FILES).await;
            lab.act("it_team", "start", &code).await;
            lab.work_to(&code, state).await;
            tamper(&lab.frozen(&code, 1), way);
            lab.settle(&code).await;
            voided(&lab, &code, file).await;
        }
    }
}

async fn approvals_of_other_bytes_do_not_count_again(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    tamper(&lab.frozen(&code, 1), "flip");
    lab.act("data_team", "scan", &code).await;
    lab.settle(&code).await;
    // What was tampered with is not carried over silently either.
    assert_eq!(lab.submit(&code).await, "submit_failed");
    let failure = lab.show(&code).await["failure"].clone();
    assert!(failure["message"].as_str().unwrap().contains("sub/b.exr"), "{failure}");
    lab.add(&code, &[("sub/b.exr", b"bbbb")]).await;
    assert_eq!(lab.submit(&code).await, "team_lead_review");
    let shown = lab.show(&code).await;
    assert_eq!(shown["revision"], 2);
    let counted = shown["approvals"].as_array().unwrap();
    assert_eq!(counted.len(), 3);
    assert!(counted.iter().all(|a| a["revision"] == 1));
    lab.approve_all(&code).await;
    assert_eq!(lab.state(&code).await, "approved");
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
}

async fn a_digest_that_was_not_looked_at_is_not_approved(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, FILES).await;
    lab.submit(&code).await;
    let first = crate::lab::text(&lab.show(&code).await, "manifest_digest");
    lab.act("team_lead", "reject", &code).await;
    lab.add(&code, &[("a.exr", b"other")]).await;
    lab.submit(&code).await;
    let stale = json!({ "code": code, "manifest_digest": first });
    assert!(
        lab.refused("team_lead", "approve", stale).await.to_string().contains("manifest_digest")
    );
    let now = crate::lab::text(&lab.show(&code).await, "manifest_digest");
    lab.ok("team_lead", "approve", json!({ "code": code, "manifest_digest": now })).await;
}
