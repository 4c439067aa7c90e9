//! What a scan may end in, and who decides then.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use databridge_core::app::App;
use databridge_core::base::error::ErrorKind;
use databridge_core::media::scan::{Accept, Clamd, ClamdAddress, Engine, Reason};
use databridge_tests::clamd::{Server, eicar};
use serde_json::json;

use crate::lab::{Kind, Lab, names, text};

on_both!(
    rules_alone_leave_it_to_a_person,
    who_doubts_sends_it_back,
    an_admin_goes_on_without_a_scan_and_the_receipt_says_so,
    malware_leaves_staging_and_can_be_cancelled_or_sent_back,
    a_false_alarm_is_released_by_an_admin,
    a_real_clamd_passes_what_is_clean_and_stops_malware,
    a_clamd_that_dies_is_a_failed_step_that_can_be_retried,
    the_next_revision_asks_only_about_what_is_new,
    what_a_policy_accepts_by_type_is_on_the_receipt,
    a_filled_database_from_before_is_upgraded,
);

const FILES: &[(&str, &[u8])] = &[("a.txt", b"aaaa"), ("sub/b.txt", b"bbbb")];

async fn receipt_page(lab: &Lab, code: &str) -> String {
    let proof = lab.destination(code).await.with_extension("proof");
    std::fs::read_to_string(proof.join("receipt.txt")).unwrap()
}

async fn rules_alone_leave_it_to_a_person(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "undecided");
    let shown = lab.show(&code).await;
    assert_eq!(shown["scan"]["verdict"]["kind"], "not_scanned", "{}", shown["scan"]["verdict"]);
    assert_eq!(shown["scan"]["verdict"]["reason"], "no_antivirus");
    let empty = json!({ "code": code, "decision": "accept", "reason": "" });
    assert_eq!(lab.refused("data_team", "decide", empty).await.code(), "transfer.no_reason");
    let accept = json!({ "code": code, "decision": "accept", "reason": "from our own farm" });
    lab.ok("data_team", "decide", accept).await;
    let shown = lab.show(&code).await;
    assert_eq!(shown["state"], "scanned");
    assert_eq!(shown["scan_decision"]["by"], "data_team");
    lab.deliver(&code).await;
    let page = receipt_page(&lab, &code).await;
    assert!(page.contains("from our own farm") && page.contains("no_antivirus"), "{page}");
}

async fn who_doubts_sends_it_back(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    lab.act("data_team", "scan", &code).await;
    lab.settle(&code).await;
    let empty = json!({ "code": code, "decision": "send_back", "reason": " " });
    assert_eq!(lab.refused("data_team", "decide", empty).await.code(), "transfer.no_reason");
    lab.decide("data_team", &code, "send_back").await.unwrap();
    let shown = lab.show(&code).await;
    assert_eq!(
        (text(&shown, "state"), text(&shown, "reason")),
        ("rejected".into(), "because".into())
    );
    // Its next revision begins at the chain's first stage.
    assert_eq!(lab.submit(&code).await, "team_lead_review");
}

async fn an_admin_goes_on_without_a_scan_and_the_receipt_says_so(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(FILES).await;
    let error = lab.decide("data_team", &code, "override_scan").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.required_roles(), ["admin"]);
    let empty = json!({ "code": code, "decision": "override_scan", "reason": "" });
    assert_eq!(lab.refused("chief", "decide", empty).await.code(), "transfer.no_reason");
    let why = json!({ "code": code, "decision": "override_scan", "reason": "clamd burnt down" });
    lab.ok("chief", "decide", why).await;
    lab.deliver(&code).await;
    let page = receipt_page(&lab, &code).await;
    assert!(page.contains("clamd burnt down") && page.contains("overridden"), "{page}");
}

/// A transfer that a scan stopped, and the infected file's path in staging.
async fn infected(lab: &Lab) -> (String, PathBuf) {
    let bytes = eicar();
    let code = lab.approved(&[("a.txt", b"aaaa"), ("tools/bad.com", &bytes)]).await;
    let file = lab.frozen(&code, 1).join("tools/bad.com");
    assert!(file.exists());
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "infected");
    (code, file)
}

async fn malware_leaves_staging_and_can_be_cancelled_or_sent_back(kind: Kind) {
    let lab = Lab::open(kind).await;
    for exit in ["cancel", "send_back"] {
        let (code, file) = infected(&lab).await;
        assert!(!file.exists());
        let quarantine = lab.quarantine(&code, 1);
        let kept = names(&quarantine);
        assert_eq!(kept.len(), 2, "{kept:?}");
        let evidence = std::fs::read(quarantine.join(&kept[1])).unwrap();
        let evidence: serde_json::Value = serde_json::from_slice(&evidence).unwrap();
        assert_eq!(evidence["path"], "tools/bad.com");
        assert_eq!(evidence["size_bytes"], eicar().len());
        let mode = std::fs::metadata(quarantine.join(&kept[0])).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0, "{mode:o}");
        let history = lab.history(&code).await;
        let event = history.last().unwrap();
        assert_eq!(event["kind"], "transfer.infected");
        assert_eq!(event["data"]["files"][0]["path"], "tools/bad.com");
        if exit == "cancel" {
            lab.act("artist", "transfer_cancel", &code).await;
            assert_eq!(lab.settle(&code).await, "cancelled");
            assert!(!lab.app.config().places().staging_of(&code).exists());
            assert_eq!(names(&quarantine).len(), 2, "evidence stays");
        } else {
            lab.decide("data_team", &code, "send_back").await.unwrap();
            assert_eq!(lab.submit(&code).await, "team_lead_review");
            let files = lab.files(&code).await;
            let files: Vec<_> = files.into_iter().collect();
            assert_eq!(files, [("a.txt".to_owned(), Some(1))], "malware is not carried over");
            lab.approve_all(&code).await;
            lab.scan_and_accept(&code).await;
            lab.deliver(&code).await;
        }
    }
}

async fn a_false_alarm_is_released_by_an_admin(kind: Kind) {
    let lab = Lab::open(kind).await;
    let (code, file) = infected(&lab).await;
    let error = lab.decide("data_team", &code, "release").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.required_roles()),
        (ErrorKind::Forbidden, vec!["admin".into()])
    );
    let empty = json!({ "code": code, "decision": "release", "reason": "" });
    assert_eq!(lab.refused("chief", "decide", empty).await.code(), "transfer.no_reason");
    let why = json!({ "code": code, "decision": "release", "reason": "our own test pattern" });
    lab.ok("chief", "decide", why).await;
    assert_eq!(lab.settle(&code).await, "undecided");
    assert_eq!(std::fs::read(&file).unwrap(), eicar());
    lab.decide("data_team", &code, "accept").await.unwrap();
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    assert_eq!(std::fs::read(payload.join("tools/bad.com")).unwrap(), eicar());
    let page = receipt_page(&lab, &code).await;
    assert!(page.contains("our own test pattern") && page.contains("infection"), "{page}");
}

async fn with_clamd(kind: Kind, server: &Server) -> Lab {
    let address = ClamdAddress::Unix(server.socket());
    Lab::open_with(kind, |config| {
        config.scan.engine = Engine::Clamd;
        config.scan.clamd = Some(Clamd { retry_seconds: 0, ..Clamd::at(address) });
        // Signatures of our own bear no date.
        config.scan.policy.signature_max_age_seconds = None;
    })
    .await
}

async fn a_real_clamd_passes_what_is_clean_and_stops_malware(kind: Kind) {
    let server = Server::start();
    let lab = with_clamd(kind, &server).await;
    let code = lab.approved(FILES).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "scanned");
    assert_eq!(lab.show(&code).await["scan"]["verdict"]["kind"], "clean");
    lab.deliver(&code).await;
    assert!(receipt_page(&lab, &code).await.contains("clamd"));
    // Only the antivirus knows this one.
    let marker = [b"in the middle ".as_slice(), &databridge_tests::clamd::marker()].concat();
    let code = lab.approved(&[("a.txt", b"aaaa"), ("b.txt", &marker)]).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "infected");
    assert!(!lab.frozen(&code, 1).join("b.txt").exists());
}

async fn a_clamd_that_dies_is_a_failed_step_that_can_be_retried(kind: Kind) {
    let mut server = Server::start();
    let lab = with_clamd(kind, &server).await;
    let code = lab.approved(FILES).await;
    server.daemon().kill_9();
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "scan_failed");
    let failure = lab.show(&code).await["failure"].clone();
    assert!(text(&failure, "code").starts_with("scan."), "{failure}");
    assert!(!text(&failure, "hint").is_empty());
    let dead = lab.ok("chief", "job_list", json!({ "state": "dead" })).await;
    assert_eq!(dead[0]["attempts"], 5, "{dead}");
    // Another one comes up where the first was.
    let next = Server::start();
    let _ = std::fs::remove_file(server.socket());
    std::os::unix::fs::symlink(next.socket(), server.socket()).unwrap();
    lab.act("data_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "scanned");
    assert!(lab.show(&code).await["failure"].is_null());
}

/// A rejected transfer's next revision, with these files on top of what it had.
async fn revise(lab: &Lab, code: &str, files: &[(&str, &[u8])]) {
    lab.decide("data_team", code, "send_back").await.unwrap();
    lab.add(code, files).await;
    assert_eq!(lab.submit(code).await, "team_lead_review");
    lab.approve_all(code).await;
}

async fn the_next_revision_asks_only_about_what_is_new(kind: Kind) {
    let server = Server::start();
    let lab = with_clamd(kind, &server).await;
    let bytes = eicar();
    let code = lab.approved(&[("a.txt", b"aaaa"), ("b.txt", b"bbbb"), ("bad.com", &bytes)]).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "infected");
    revise(&lab, &code, &[("b.txt", b"other"), ("c.txt", b"cccc")]).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "scanned");
    let scan = lab.show(&code).await["scan"].clone();
    assert_eq!(scan["taken_over"], json!({ "revision 1": 1 }), "{scan}");
    assert_eq!(scan["counts"]["clean"], 3);
    let event = lab.history(&code).await.pop().unwrap();
    assert_eq!(event["data"]["taken_over"], json!({ "revision 1": 1 }));
    lab.deliver(&code).await;
    let left = lab.sql("SELECT COUNT(*) FROM scanned_files");
    assert_eq!(left.trim(), "0", "nobody scans it again");
}

async fn what_a_policy_accepts_by_type_is_on_the_receipt(kind: Kind) {
    let lab = Lab::open_with(kind, |config| {
        config.scan.policy.accept = vec![Accept {
            extensions: vec!["vdb".into()],
            reasons: vec![Reason::NoAntivirus],
            rules: Vec::new(),
            why: "frames of our own farm".into(),
        }];
    })
    .await;
    let vdb = [b" BDV".as_slice(), &[0; 60]].concat();
    let code = lab.approved(&[("a.vdb", &vdb), ("b.txt", b"note")]).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "undecided", "only frames are accepted");
    let code = lab.approved(&[("a.vdb", &vdb)]).await;
    lab.act("data_team", "scan", &code).await;
    assert_eq!(lab.settle(&code).await, "scanned");
    let scan = lab.show(&code).await["scan"].clone();
    assert_eq!(scan["verdict"]["kind"], "not_scanned", "it is not called clean");
    assert_eq!(scan["accepted"], json!({ "frames of our own farm": 1 }));
    lab.deliver(&code).await;
    let page = receipt_page(&lab, &code).await;
    assert!(page.contains("passed by policy, because: frames of our own farm"), "{page}");
    assert!(page.contains("not_scanned(no_antivirus)"), "{page}");
}

async fn a_filled_database_from_before_is_upgraded(kind: Kind) {
    let lab = Lab::open(kind).await;
    let delivered = lab.scanned(FILES).await;
    lab.deliver(&delivered).await;
    let code = lab.approved(FILES).await;
    // As the version before kept it.
    lab.sql("DROP TABLE scanned_files");
    lab.sql("DELETE FROM _sqlx_migrations WHERE version = 2010");
    let again = App::open(lab.app.config().clone()).await.unwrap();
    again.app.close().await;
    assert_eq!(lab.state(&delivered).await, "delivered");
    lab.scan_and_accept(&code).await;
    let kept = lab.sql("SELECT COUNT(*) FROM scanned_files");
    assert_eq!(kept.trim(), "2");
    lab.deliver(&code).await;
}
