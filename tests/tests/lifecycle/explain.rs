//! Where a transfer stands, told in a paragraph.

use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(when_a_state_began_and_who_is_next, what_stands_still_says_whose_wish_it_is);

async fn explained(lab: &Lab, who: &str, code: &str) -> Value {
    lab.ok(who, "transfer_explain", json!({ "code": code })).await
}

async fn when_a_state_began_and_who_is_next(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let draft = explained(&lab, "artist", &code).await;
    assert_eq!(
        draft["since_at"],
        lab.ok("artist", "transfer_show", json!({ "code": code })).await["created_at"]
    );
    let first = lab.try_add("artist", &code, &lab.tree(&[("a.exr", b"a")])).await.unwrap();
    let second = lab.try_add("artist", &code, &lab.tree(&[("b.exr", b"b")])).await.unwrap();
    assert_ne!(first["updated_at"], second["updated_at"]);
    let filled = explained(&lab, "artist", &code).await;
    assert_eq!(filled["since_at"], first["updated_at"]);
    assert!(text(&filled, "text").contains("It has 2 files"), "{filled}");
    lab.act("artist", "transfer_submit", &code).await;
    let queued = explained(&lab, "artist", &code).await;
    assert_eq!((&queued["waits_for"], &queued["next"]), (&json!("work"), &json!([])));
    lab.settle(&code).await;
    // Whoever can see it reads the same.
    let review = explained(&lab, "team_lead", &code).await;
    assert_eq!(review["state"], "team_lead_review");
    assert_eq!(review["next"][0]["by"], json!(["team_lead"]));
    assert_eq!(review["next"], explained(&lab, "artist", &code).await["next"]);
    let error = lab.refused("other", "transfer_explain", json!({ "code": code })).await;
    assert_eq!(error.code(), "transfer.not_found");
}

async fn what_stands_still_says_whose_wish_it_is(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.scanned(&[("a.exr", b"a")]).await;
    lab.act("it_team", "start", &code).await;
    let why = json!({ "code": code, "reason": "the link is needed" });
    lab.ok("it_team", "transfer_pause", why).await;
    let held = explained(&lab, "artist", &code).await;
    assert_eq!(
        (&held["waits_for"], &held["next"][0]["action"]),
        (&json!("person"), &json!("resume"))
    );
    assert!(text(&held, "text").contains("it_team has let the work stand still"), "{held}");
    lab.act("it_team", "transfer_resume", &code).await;
    assert_eq!(explained(&lab, "artist", &code).await["waits_for"], "work");
    lab.settle(&code).await;
    let delivered = explained(&lab, "artist", &code).await;
    assert_eq!(delivered["waits_for"], "nothing");
}
