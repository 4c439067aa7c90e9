//! Taking a wrong delivery back.

use std::os::unix::fs::PermissionsExt;

use databridge_core::domains::transfer::Template;
use databridge_core::media::receipt::{Envelope, Options, verify_recall};
use databridge_tests::tree::digest_tree;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, names, text};

on_both!(
    a_wrong_delivery_is_moved_aside_whole_and_its_path_is_free,
    a_recall_takes_a_reason_and_whoever_executes_transfers,
    a_recall_that_finds_nothing_is_a_failed_step,
    those_concerned_are_told,
    a_delivery_that_was_not_tidied_up_is_recalled_all_the_same,
    what_is_not_the_delivery_any_more_is_left_alone,
    it_is_told_by_its_content_where_that_is_asked,
    the_staging_copy_of_a_recalled_delivery_goes_in_time,
);

const FILES: &[(&str, &[u8])] = &[("a.exr", b"aaaa"), ("sub/b.txt", b"bbbb"), ("empty/", b"")];

fn because(code: &str) -> Value {
    json!({ "code": code, "reason": "the wrong plate" })
}

async fn recall(lab: &Lab, code: &str) -> Value {
    lab.ok("it_team", "transfer_recall", because(code)).await;
    assert_eq!(lab.settle(code).await, "recalled", "{}", lab.show(code).await["failure"]);
    lab.show(code).await
}

async fn a_wrong_delivery_is_moved_aside_whole_and_its_path_is_free(kind: Kind) {
    let lab = Lab::open_with(kind, |config| {
        config.layout.template = Template::parse("{project}/{shot}").unwrap();
    })
    .await;
    let new = json!({
        "title": "x", "project": "film", "category": "plates", "metadata": { "shot": "sh010" },
    });
    let deliver = async || {
        let code = text(&lab.ok("artist", "transfer_create", new.clone()).await, "code");
        lab.add(&code, FILES).await;
        lab.submit(&code).await;
        lab.approve_all(&code).await;
        lab.scan_and_accept(&code).await;
        lab.deliver(&code).await;
        code
    };
    let code = deliver().await;
    let payload = lab.destination(&code).await;
    let delivered = digest_tree(&payload);
    let receipt = lab.ok("artist", "transfer_receipt", json!({ "code": code })).await;

    let shown = recall(&lab, &code).await;
    assert_eq!(lab.around(&code).await, [".recalled"]);
    let place = payload.with_file_name(".recalled").join(&code);
    assert_eq!(shown["recall"]["place"], place.display().to_string());
    assert_eq!(
        (&shown["recall"]["by"], &shown["recall"]["reason"]),
        (&json!("it_team"), &json!("the wrong plate"))
    );
    assert_eq!(names(&place), ["sh010", "sh010.proof", "sh010.recall.json"]);
    assert_eq!(digest_tree(&place.join("sh010")), delivered);
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
    let sums = place.join("sh010.proof/SHA256SUMS");
    databridge_tests::process::run(
        std::process::Command::new("sha256sum")
            .args(["-c", "--strict", "--quiet"])
            .arg(sums)
            .current_dir(place.join("sh010")),
    );
    statement_holds(&lab, &code, &place.join("sh010.recall.json"), &receipt).await;
    // What it was stays on record.
    assert_eq!(lab.ok("artist", "transfer_receipt", json!({ "code": code })).await, receipt);
    let explained = lab.ok("artist", "transfer_explain", json!({ "code": code })).await;
    assert_eq!(explained["waits_for"], "nothing");
    assert!(text(&explained, "text").contains("by it_team: the wrong plate"), "{explained}");

    // The path is free, and what is delivered there now is recalled beside the first.
    let second = deliver().await;
    assert_eq!(lab.destination(&second).await, payload);
    assert_eq!(lab.around(&second).await, [".recalled", "sh010", "sh010.proof"]);
    recall(&lab, &second).await;
    assert_eq!(names(&payload.with_file_name(".recalled")), [code.clone(), second]);
    assert_eq!(digest_tree(&place.join("sh010")), delivered);
    lab.seal().await;
    assert_eq!(lab.ok("chief", "ledger_verify", json!({})).await["findings"], json!([]));
}

/// The signed statement: beside what was moved, by the interface, and as the ledger has it.
async fn statement_holds(lab: &Lab, code: &str, file: &std::path::Path, receipt: &Value) {
    let written = std::fs::read_to_string(file).unwrap();
    let told = lab.ok("artist", "transfer_recall_receipt", json!({ "code": code })).await;
    assert_eq!(told, serde_json::from_str::<Value>(&written).unwrap());
    let key = lab.app.keys().receipt_key();
    let envelope = Envelope::from_json(&written).unwrap();
    let recall = verify_recall(&envelope, key, Options::default()).unwrap().unwrap();
    let shown = lab.show(code).await;
    assert_eq!(recall.transfer.code, code);
    assert_eq!(recall.decision.reason, "the wrong plate");
    assert_eq!(recall.manifest_sha256.to_string(), text(&shown, "manifest_digest"));
    assert!(recall.payload_moved && recall.proof_moved);
    let proof = file.with_file_name("sh010.proof/receipt.json");
    let proof = std::fs::read(proof).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&proof).unwrap(), *receipt);
    let digest = databridge_core::media::checksum::Sha256::of(&proof);
    assert_eq!(recall.receipt_sha256, digest);
    let history = lab.history(code).await;
    let last = history.last().unwrap();
    assert_eq!(text(last, "kind"), "transfer.recalled");
    assert_eq!(last["data"]["by"], "it_team");
    let stated = databridge_core::media::checksum::Sha256::of(written.as_bytes());
    assert_eq!(last["data"]["statement_sha256"], stated.to_string());
}

async fn a_recall_takes_a_reason_and_whoever_executes_transfers(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    let error = lab.refused("it_team", "transfer_recall", because(&code)).await;
    assert_eq!(error.code(), "workflow.illegal_state");
    lab.deliver(&code).await;
    for reason in ["", "  "] {
        let fields = json!({ "code": code, "reason": reason });
        let error = lab.refused("it_team", "transfer_recall", fields).await;
        assert_eq!(error.code(), "transfer.no_reason");
    }
    for who in ["artist", "supervisor", "data_team"] {
        let error = lab.refused(who, "transfer_recall", because(&code)).await;
        assert_eq!(error.required_roles(), ["it_team", "admin"], "{who}");
    }
    assert_eq!(lab.around(&code).await, [code.clone(), format!("{code}.proof")]);
    let error = lab.refused("it_team", "transfer_recall_receipt", json!({ "code": code })).await;
    assert_eq!(error.code(), "transfer.not_recalled");
    recall(&lab, &code).await;
    // Once is enough, and nothing else can be done with it.
    for op in ["transfer_recall", "transfer_cancel", "transfer_pause"] {
        let error = lab.refused("it_team", op, because(&code)).await;
        assert_eq!(error.kind().http_status(), 409, "{op}: {error}");
    }
}

async fn a_recall_that_finds_nothing_is_a_failed_step(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    let folder = payload.parent().unwrap().to_owned();
    let away = lab.dir("away").join("folder");
    for (emptied, wanted) in [(false, "copy.io"), (true, "transfer.nothing_to_recall")] {
        std::fs::rename(&folder, &away).unwrap();
        if emptied {
            std::fs::create_dir(&folder).unwrap();
        }
        match emptied {
            false => lab.ok("it_team", "transfer_recall", because(&code)).await,
            true => lab.act("it_team", "retry", &code).await,
        };
        assert_eq!(lab.settle(&code).await, "recall_failed");
        let failure = lab.show(&code).await["failure"].clone();
        assert_eq!(failure["code"], wanted, "{failure}");
        assert_eq!(folder.exists(), emptied, "nothing is made where production is not");
        if emptied {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        std::fs::rename(&away, &folder).unwrap();
    }
    // Its path is still its own.
    lab.act("it_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "recalled");
    assert_eq!(lab.around(&code).await, [".recalled"]);
}

async fn those_concerned_are_told(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    recall(&lab, &code).await;
    lab.seal().await;
    lab.app.follow().await.unwrap();
    for (who, reason) in
        [("artist", "yours"), ("team_lead", "approved"), ("line_producer", "approved")]
    {
        let inbox = lab.ok(who, "notification_list", json!({})).await;
        let told: Vec<_> = inbox["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| text(item, "kind").starts_with("transfer.recall"))
            .map(|item| (text(item, "kind"), text(item, "reason")))
            .collect();
        let both = ["transfer.recalled", "transfer.recall_requested"];
        assert_eq!(told, both.map(|kind| (kind.to_owned(), reason.to_owned())), "{who}");
    }
    for who in ["other", "data_team"] {
        let inbox = lab.ok(who, "notification_list", json!({})).await.to_string();
        assert!(!inbox.contains("recall"), "{who}: {inbox}");
    }
}

/// Recalled before the work that follows a delivery was done: nothing of it is left to
/// stand in the next one's way.
async fn a_delivery_that_was_not_tidied_up_is_recalled_all_the_same(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.act("it_team", "start", &code).await;
    lab.work_to(&code, "delivered").await;
    assert!(lab.around(&code).await.iter().any(|name| name.contains("databridge-journal")));
    recall(&lab, &code).await;
    assert_eq!(lab.around(&code).await, [".recalled"]);
}

/// Asks for a recall that does not come to be; answers why not.
async fn refused(lab: &Lab, code: &str, digests: bool) -> Value {
    let mut wish = because(code);
    wish["digests"] = json!(digests);
    lab.ok("it_team", "transfer_recall", wish).await;
    assert_eq!(lab.settle(code).await, "recall_failed");
    lab.show(code).await["failure"].clone()
}

async fn what_is_not_the_delivery_any_more_is_left_alone(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    let proof = payload.with_file_name(format!("{code}.proof"));
    let beside = lab.around(&code).await;
    let kept = lab.dir("kept");
    let put_back = |name: &str, to: &std::path::Path| std::fs::rename(kept.join(name), to).unwrap();
    // One way after the other in which something else may stand there, and what is said.
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>, Box<dyn Fn() + 'a>);
    let changes: Vec<Change> = vec![
        (
            "extra.exr: extra regular file",
            Box::new(|| std::fs::write(payload.join("extra.exr"), "x").unwrap()),
            Box::new(|| std::fs::remove_file(payload.join("extra.exr")).unwrap()),
        ),
        (
            "a.exr: 5 bytes, expected 4",
            Box::new(|| std::fs::write(payload.join("a.exr"), "aaaaa").unwrap()),
            Box::new(|| std::fs::write(payload.join("a.exr"), "aaaa").unwrap()),
        ),
        (
            "sub/b.txt: missing",
            Box::new(|| std::fs::rename(payload.join("sub/b.txt"), kept.join("b.txt")).unwrap()),
            Box::new(|| put_back("b.txt", &payload.join("sub/b.txt"))),
        ),
        (
            "it is another folder than the one that was published",
            Box::new(|| {
                std::fs::rename(&payload, kept.join("payload")).unwrap();
                let mut copy = std::process::Command::new("cp");
                copy.arg("-a").arg(kept.join("payload")).arg(&payload);
                databridge_tests::process::run(&mut copy);
            }),
            Box::new(|| {
                std::fs::remove_dir_all(&payload).unwrap();
                put_back("payload", &payload);
            }),
        ),
        (
            "it is no folder",
            Box::new(|| {
                std::fs::rename(&payload, kept.join("payload")).unwrap();
                std::os::unix::fs::symlink(kept.join("payload"), &payload).unwrap();
            }),
            Box::new(|| {
                std::fs::remove_file(&payload).unwrap();
                put_back("payload", &payload);
            }),
        ),
        (
            "proof",
            Box::new(|| {
                std::fs::rename(proof.join("receipt.json"), kept.join("receipt.json")).unwrap();
                std::fs::write(proof.join("receipt.json"), "{}").unwrap();
            }),
            Box::new(|| put_back("receipt.json", &proof.join("receipt.json"))),
        ),
    ];
    for (told, change, back) in &changes {
        change();
        let stands = digest_tree(payload.parent().unwrap());
        let failure = refused(&lab, &code, false).await;
        assert_eq!(failure["code"], "transfer.not_the_delivery", "{told}: {failure}");
        assert!(text(&failure, "message").contains(told), "{told}: {failure}");
        assert!(text(&failure, "hint").contains("--force"), "{failure}");
        assert_eq!(digest_tree(payload.parent().unwrap()), stands, "{told}: something was moved");
        back();
    }
    assert_eq!(lab.around(&code).await, beside);
    // To take it up again helps once it is the delivery again, and force in any case.
    std::fs::write(payload.join("extra.exr"), "x").unwrap();
    lab.act("it_team", "retry", &code).await;
    assert_eq!(lab.settle(&code).await, "recall_failed");
    let mut wish = because(&code);
    (wish["force"], wish["reason"]) = (json!(true), json!("the supervisor said so"));
    let error = lab.refused("artist", "transfer_recall", wish.clone()).await;
    assert_eq!(error.kind().http_status(), 403);
    lab.ok("it_team", "transfer_recall", wish).await;
    assert_eq!(lab.settle(&code).await, "recalled");
    let shown = lab.show(&code).await;
    assert_eq!(
        (&shown["recall"]["force"], &shown["recall"]["reason"], &shown["failure"]),
        (&json!(true), &json!("the supervisor said so"), &Value::Null)
    );
    let place = payload.with_file_name(".recalled").join(&code);
    assert!(place.join(&code).join("extra.exr").exists());
    let history = lab.history(&code).await;
    let last = history.last().unwrap();
    assert_eq!(last["data"]["differences"], json!(["extra.exr: extra regular file"]), "{last}");
    let written = std::fs::read_to_string(place.join(format!("{code}.recall.json"))).unwrap();
    let envelope = Envelope::from_json(&written).unwrap();
    let key = lab.app.keys().receipt_key();
    let statement = verify_recall(&envelope, key, Options::default()).unwrap().unwrap();
    assert!(statement.forced);
    assert_eq!(statement.differences, ["extra.exr: extra regular file"]);
    assert_eq!(statement.decision.reason, "the supervisor said so");
}

async fn it_is_told_by_its_content_where_that_is_asked(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    let payload = lab.destination(&code).await;
    // As long as before, and at the same time.
    crate::lab::flip(&payload.join("a.exr"));
    let failure = refused(&lab, &code, true).await;
    assert_eq!(failure["code"], "transfer.not_the_delivery", "{failure}");
    assert!(text(&failure, "message").contains("a.exr: sha256 "), "{failure}");
    crate::lab::flip(&payload.join("a.exr"));
    let mut wish = because(&code);
    wish["digests"] = json!(true);
    lab.ok("it_team", "transfer_recall", wish).await;
    assert_eq!(lab.settle(&code).await, "recalled", "{}", lab.show(&code).await["failure"]);
    let written =
        payload.with_file_name(".recalled").join(&code).join(format!("{code}.recall.json"));
    let written = std::fs::read_to_string(written).unwrap();
    assert!(!written.contains("forced"));
}

async fn the_staging_copy_of_a_recalled_delivery_goes_in_time(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.deliver(&code).await;
    recall(&lab, &code).await;
    let staging = lab.app.config().places().staging_of(&code);
    let root = lab.app.embedded(None).await.unwrap();
    let plan = async |lab: &Lab| {
        let plan = crate::lab::call("housekeeping_plan", json!({}));
        lab.app.call(&root, plan, None).await.unwrap()["items"].clone()
    };
    // For ever, unless the studio says for how long; then from the recall on.
    assert_eq!(plan(&lab).await, json!([]));
    lab.reopen(|config| config.housekeeping.delivered_days = Some(1)).await;
    assert_eq!(plan(&lab).await, json!([]));
    let days = if kind == Kind::Sqlite { "3 * 86400000000" } else { "interval '3 days'" };
    lab.sql(&format!("UPDATE transfers SET delivered_at = delivered_at - {days}"));
    assert_eq!(plan(&lab).await, json!([]), "it was delivered long ago, and recalled just now");
    lab.sql(&format!("UPDATE transfers SET updated_at = updated_at - {days}"));
    let items = plan(&lab).await;
    assert_eq!(
        (&items[0]["what"], &items[0]["path"]),
        (&json!("recalled"), &json!(code)),
        "{items}"
    );
    assert!(staging.exists());
    lab.app.call(&root, crate::lab::call("housekeeping_run", json!({})), None).await.unwrap();
    assert!(!staging.exists());
    // What was moved aside in production is kept.
    let place = lab.destination(&code).await.with_file_name(".recalled").join(&code);
    assert_eq!(names(&place).len(), 3);
}
