//! Approval chains, rejection and re-submission, separation of duties.

use databridge_core::base::error::ErrorKind;
use databridge_core::media::receipt::{self, Envelope, Options};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, call, text};

on_both!(
    chains_of_two_and_of_five_stages_lead_to_approval,
    a_new_version_of_a_chain_leaves_transfers_on_their_way_alone,
    a_chain_with_an_unknown_role_is_refused,
    a_rejection_at_any_stage_gives_a_reason_and_keeps_all_history,
    only_what_changed_moves_again,
    nobody_approves_their_own_nor_two_stages,
    an_embedded_store_records_what_it_cannot_enforce,
    one_embedded_step_makes_the_whole_delivery_embedded,
    an_admin_stands_in_with_a_reason,
    words_that_are_kept_are_text_of_a_decent_length,
    whoever_waits_for_history_is_told_when_something_happens,
);

fn stages(roles: &[(&str, &str)]) -> Value {
    roles.iter().map(|(key, role)| json!({ "key": key, "role": role })).collect()
}

async fn chains_of_two_and_of_five_stages_lead_to_approval(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let two = stages(&[("look", "team_lead"), ("sign", "line_producer")]);
    lab.ok("chief", "chain_define", json!({ "name": "short", "stages": two })).await;
    let five = stages(&[
        ("comp", "team_lead"),
        ("cg", "team_lead"),
        ("vfx", "supervisor"),
        ("client", "supervisor"),
        ("final", "line_producer"),
    ]);
    lab.ok("chief", "chain_define", json!({ "name": "long", "stages": five })).await;
    lab.hire("lead2", &["team_lead"]).await;
    lab.hire("super2", &["supervisor"]).await;
    let walks: [(&str, &[(&str, &str)]); 2] = [
        ("short", &[("look", "team_lead"), ("sign", "line_producer")]),
        (
            "long",
            &[
                ("comp", "team_lead"),
                ("cg", "lead2"),
                ("vfx", "supervisor"),
                ("client", "super2"),
                ("final", "line_producer"),
            ],
        ),
    ];
    for (chain, walk) in walks {
        let code = lab.create_in(chain).await;
        lab.add(&code, &[("a.exr", b"a")]).await;
        lab.submit(&code).await;
        for (stage, who) in walk {
            assert_eq!(lab.state(&code).await, format!("{stage}_review"));
            lab.act(who, "approve", &code).await;
        }
        assert_eq!(lab.state(&code).await, "approved", "{chain}");
        let shown = lab.show(&code).await;
        let approvals = shown["approvals"].as_array().unwrap();
        let kept: Vec<_> = approvals.iter().map(|a| text(a, "stage_key")).collect();
        assert_eq!(kept, walk.iter().map(|(stage, _)| *stage).collect::<Vec<_>>());
        assert!(approvals.iter().all(|a| a["manifest_digest"] == shown["manifest_digest"]));
    }
}

async fn a_new_version_of_a_chain_leaves_transfers_on_their_way_alone(kind: Kind) {
    let lab = Lab::open(kind).await;
    let first = stages(&[("look", "team_lead")]);
    lab.ok("chief", "chain_define", json!({ "name": "film", "stages": first })).await;
    let pinned = lab.create_in("film").await;
    lab.add(&pinned, &[("a.exr", b"a")]).await;
    let second = stages(&[("look", "team_lead"), ("sign", "supervisor")]);
    let made = lab.ok("chief", "chain_define", json!({ "name": "film", "stages": second })).await;
    assert_eq!(made["version"], 2);
    let fresh = lab.create_in("film").await;
    lab.add(&fresh, &[("a.exr", b"a")]).await;
    for (code, version, state) in [(&pinned, 1, "approved"), (&fresh, 2, "sign_review")] {
        lab.submit(code).await;
        lab.act("team_lead", "approve", code).await;
        let shown = lab.show(code).await;
        assert_eq!(
            (shown["chain_version"].clone(), text(&shown, "state")),
            (json!(version), state.to_owned())
        );
    }
    let chains = lab.ok("artist", "chain_list", json!({})).await;
    let film = chains.as_array().unwrap().iter().filter(|c| c["name"] == "film").count();
    assert_eq!(film, 2);
}

async fn a_chain_with_an_unknown_role_is_refused(kind: Kind) {
    let lab = Lab::open(kind).await;
    let bad = [
        stages(&[("look", "janitor")]),
        stages(&[("look", "artist")]),
        stages(&[]),
        stages(&[("look", "team_lead"), ("look", "supervisor")]),
    ];
    for stages in bad {
        let new = json!({ "name": "film", "stages": stages });
        let error = lab.refused("chief", "chain_define", new.clone()).await;
        assert_eq!(error.code(), "transfer.bad_field", "{new}");
    }
    let error = lab
        .refused(
            "chief",
            "chain_define",
            json!({ "name": "film", "stages": stages(&[("look", "janitor")]) }),
        )
        .await;
    assert!(error.to_string().contains("janitor"), "{error}");
    let fine = json!({ "name": "film", "stages": stages(&[("look", "team_lead")]) });
    assert_eq!(lab.refused("team_lead", "chain_define", fine).await.kind(), ErrorKind::Forbidden);
    let new = json!({ "title": "x", "project": "film", "category": "plates", "chain": "film" });
    assert_eq!(lab.refused("artist", "transfer_create", new).await.code(), "transfer.no_chain");
}

async fn a_rejection_at_any_stage_gives_a_reason_and_keeps_all_history(kind: Kind) {
    let lab = Lab::open(kind).await;
    let chain = ["team_lead", "supervisor", "line_producer"];
    for (stage, who) in chain.iter().enumerate() {
        let code = lab.create().await;
        lab.add(&code, &[("a.exr", b"first")]).await;
        lab.submit(&code).await;
        for earlier in &chain[..stage] {
            lab.act(earlier, "approve", &code).await;
        }
        for empty in ["", "  \n"] {
            let fields = json!({ "code": code, "reason": empty });
            assert_eq!(lab.refused(who, "reject", fields).await.code(), "transfer.no_reason");
        }
        assert_eq!(lab.state(&code).await, format!("{who}_review"));
        let first = text(&lab.show(&code).await, "manifest_digest");
        lab.ok(who, "reject", json!({ "code": code, "reason": "edges flicker" })).await;
        let shown = lab.show(&code).await;
        assert_eq!(shown["state"], "rejected");
        assert_eq!(shown["reason"], "edges flicker");
        let mine = lab.ok("artist", "transfer_list", json!({ "state": "rejected" })).await;
        assert!(mine.as_array().unwrap().iter().any(|t| t["code"] == code.as_str()));

        lab.add(&code, &[("a.exr", b"second")]).await;
        assert_eq!(lab.submit(&code).await, "team_lead_review");
        lab.approve_all(&code).await;
        let shown = lab.show(&code).await;
        assert_eq!((&shown["state"], &shown["revision"]), (&json!("approved"), &json!(2)));
        assert_ne!(text(&shown, "manifest_digest"), first);
        assert_eq!(shown["revisions"].as_array().unwrap().len(), 2);
        assert_eq!(shown["revisions"][0]["manifest_digest"], first.as_str());
        let decisions: Vec<_> = shown["approvals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| (a["revision"].as_i64().unwrap(), text(a, "decision"), text(a, "stage_key")))
            .collect();
        let mut expected: Vec<_> =
            chain[..stage].iter().map(|s| (1, "approve".to_owned(), (*s).to_owned())).collect();
        expected.push((1, "reject".into(), (*who).to_owned()));
        expected.extend(chain.iter().map(|s| (2, "approve".to_owned(), (*s).to_owned())));
        assert_eq!(decisions, expected);

        let mut story = vec!["created", "files_added", "submitted", "frozen"];
        story.extend(std::iter::repeat_n("approved", stage));
        story.extend(["rejected", "files_added", "submitted", "frozen"]);
        story.extend(["approved"; 3]);
        let story: Vec<_> = story.iter().map(|kind| format!("transfer.{kind}")).collect();
        assert_eq!(lab.kinds(&code).await, story);
        let history = lab.history(&code).await;
        let rejected = history.iter().find(|e| e["kind"] == "transfer.rejected").unwrap();
        assert_eq!(rejected["data"]["reason"], "edges flicker");
        assert_eq!(rejected["by"]["username"], *who);
    }
}

async fn only_what_changed_moves_again(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    let files: &[(&str, &[u8])] = &[("a.exr", b"a"), ("b.exr", b"b"), ("c.exr", b"c"), ("e/", b"")];
    lab.add(&code, files).await;
    lab.submit(&code).await;
    lab.act("team_lead", "reject", &code).await;
    lab.add(&code, &[("b.exr", b"better")]).await;
    lab.ok("artist", "transfer_remove_file", json!({ "code": code, "path": "c.exr" })).await;
    let incoming = lab.app.config().places().incoming(&code, 2);
    assert_eq!(crate::lab::names(&incoming).len(), 1, "only the changed file is uploaded again");
    lab.submit(&code).await;
    let files = lab.files(&code).await;
    let carried: Vec<_> = files.iter().map(|(path, from)| (path.as_str(), *from)).collect();
    assert_eq!(carried, [("a.exr", Some(1)), ("b.exr", None), ("e", Some(1))]);
    // And once more without a change: everything is carried, from where it was last.
    lab.act("team_lead", "reject", &code).await;
    assert_eq!(lab.submit(&code).await, "team_lead_review");
    assert_eq!(lab.show(&code).await["revision"], 3);
    assert!(lab.files(&code).await.values().all(Option::is_some));
    lab.approve_all(&code).await;
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let destination = lab.destination(&code).await;
    assert_eq!(std::fs::read(destination.join("b.exr")).unwrap(), b"better");
    assert_eq!(crate::lab::names(&destination), ["a.exr", "b.exr", "e"]);
}

async fn nobody_approves_their_own_nor_two_stages(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    for role in ["team_lead", "supervisor"] {
        lab.ok("chief", "user_role", json!({ "username": "artist", "role": role })).await;
    }
    lab.hire("both", &["team_lead", "supervisor", "line_producer"]).await;
    let artist = lab.again("artist").await;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    let own = lab.app.call(&artist, call("approve", json!({ "code": code })), None);
    let error = own.await.unwrap_err();
    assert_eq!(error.code(), "transfer.separation_of_duties");
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    lab.act("both", "approve", &code).await;
    let error = lab.refused("both", "approve", json!({ "code": code })).await;
    assert_eq!(error.code(), "transfer.separation_of_duties");
    // They may still reject, and another revision is another question.
    lab.act("both", "reject", &code).await;
    lab.submit(&code).await;
    lab.act("both", "approve", &code).await;
    assert_eq!(lab.state(&code).await, "supervisor_review");
    lab.act("supervisor", "approve", &code).await;
    lab.act("line_producer", "approve", &code).await;
    let shown = lab.show(&code).await;
    let approvals = shown["approvals"].as_array().unwrap();
    let counted = approvals.iter().filter(|a| a["decision"] == "approve" && a["revision"] == 2);
    assert!(counted.clone().all(|a| a["separate"] == true));
    assert_eq!(counted.count(), 3);
}

async fn an_embedded_store_records_what_it_cannot_enforce(kind: Kind) {
    let lab = Lab::open(kind).await;
    let me = lab.app.embedded(Some("artist")).await.unwrap();
    let new = json!({ "title": "x", "project": "film", "category": "plates" });
    let made = lab.app.call(&me, call("transfer_create", new), None).await.unwrap();
    let code = text(&made, "code");
    assert_eq!(made["owner"], "artist");
    lab.app.add(&me, &code, &lab.tree(&[("a.exr", b"a")]), ()).await.unwrap();
    let plain = json!({ "code": code });
    lab.app.call(&me, call("transfer_submit", plain.clone()), None).await.unwrap();
    lab.settle(&code).await;
    for role in ["team_lead", "supervisor", "line_producer"] {
        let me = lab.app.embedded(Some(role)).await.unwrap();
        lab.app.call(&me, call("approve", plain.clone()), None).await.unwrap();
    }
    let shown = lab.show(&code).await;
    for approval in shown["approvals"].as_array().unwrap() {
        assert_eq!(approval["separate"], false, "{approval}");
        assert!(text(approval, "username").starts_with("os:"), "{approval}");
        assert_eq!(approval["on_behalf_of"], approval["role"]);
    }
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let receipt = lab.ok("artist", "transfer_receipt", plain).await;
    let envelope = Envelope::from_json(&receipt.to_string()).unwrap();
    let key = lab.app.keys().receipt_key();
    assert!(receipt::verify(&envelope, key, Options { allow_embedded: false }).is_err());
    let statement = receipt::verify(&envelope, key, Options { allow_embedded: true }).unwrap();
    assert_eq!(serde_json::to_value(&statement).unwrap()["authority"], "embedded");
    assert!(statement.approvals.iter().all(|approval| !approval.separation_of_duties));
}

async fn one_embedded_step_makes_the_whole_delivery_embedded(kind: Kind) {
    let lab = Lab::open(kind).await;
    for embedded in [false, true] {
        let code = lab.approved(&[("a.exr", b"a")]).await;
        let scan = call("scan", json!({ "code": code }));
        let os = lab.app.embedded(Some("data_team")).await.unwrap();
        let who = if embedded { &os } else { lab.who("data_team") };
        lab.app.call(who, scan, None).await.unwrap();
        lab.settle(&code).await;
        lab.decide("data_team", &code, "accept").await.unwrap();
        lab.deliver(&code).await;
        let receipt = lab.ok("artist", "transfer_receipt", json!({ "code": code })).await;
        let envelope = Envelope::from_json(&receipt.to_string()).unwrap();
        let strict = Options { allow_embedded: false };
        let verified = receipt::verify(&envelope, lab.app.keys().receipt_key(), strict);
        assert_eq!(verified.is_err(), embedded, "{verified:?}");
    }
    assert!(lab.app.embedded(Some("nobody")).await.is_err());
    lab.ok("chief", "user_active", json!({ "username": "other", "active": false })).await;
    let gone = lab.app.embedded(Some("other")).await.unwrap_err();
    assert_eq!(gone.code(), "identity.no_user");
}

async fn an_admin_stands_in_with_a_reason(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    lab.act("team_lead", "approve", &code).await;
    let empty = json!({ "code": code, "reason": " " });
    assert_eq!(lab.refused("chief", "override_approval", empty).await.code(), "transfer.no_reason");
    let why = json!({ "code": code, "reason": "supervisor is on a plane" });
    lab.ok("chief", "override_approval", why).await;
    let shown = lab.show(&code).await;
    assert_eq!(shown["state"], "approved");
    assert_eq!(shown["overrides"][0]["what"], "approval");
    assert_eq!(shown["overrides"][0]["username"], "chief");
    lab.scan_and_accept(&code).await;
    lab.deliver(&code).await;
    let proof = lab.destination(&code).await.with_extension("proof");
    let page = std::fs::read_to_string(proof.join("receipt.txt")).unwrap();
    assert!(page.contains("supervisor is on a plane") && page.contains("chief"), "{page}");
    assert!(lab.kinds(&code).await.contains(&"transfer.overridden".to_owned()));
}

async fn words_that_are_kept_are_text_of_a_decent_length(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.add(&code, &[("a.exr", b"a")]).await;
    lab.submit(&code).await;
    for words in ["x".repeat(2001), "bell \u{7}".to_owned(), "nul \0".to_owned()] {
        for (who, op, field) in [
            ("team_lead", "approve", "comment"),
            ("team_lead", "reject", "reason"),
            ("chief", "override_approval", "reason"),
            ("artist", "transfer_cancel", "reason"),
        ] {
            let fields = json!({ "code": code, field: words });
            let error = lab.refused(who, op, fields).await;
            assert_eq!(error.code(), "call.bad_field", "{op}: {error:?}");
        }
        let new = json!({ "title": words, "project": "film", "category": "plates" });
        assert_eq!(lab.refused("artist", "transfer_create", new).await.code(), "call.bad_field");
    }
    for (project, category) in
        [("..", "x"), ("x", "a/b"), ("", "x"), ("x", ".hidden"), ("x", "y\0")]
    {
        let new = json!({ "title": "x", "project": project, "category": category });
        let error = lab.refused("artist", "transfer_create", new).await;
        assert!(error.code().ends_with(".bad_field"), "{error:?}");
    }
    let fields = json!({ "code": code, "comment": "nice\nreally" });
    lab.ok("team_lead", "approve", fields).await;
}

async fn whoever_waits_for_history_is_told_when_something_happens(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.create().await;
    lab.seal().await;
    let last = lab.history(&code).await[0]["position"].as_i64().unwrap();
    let wait = json!({ "code": code, "after": last, "wait": 60 });
    let happen = async {
        lab.add(&code, &[("a.exr", b"a")]).await;
        lab.seal().await;
    };
    let (told, ()) = tokio::join!(lab.ok("artist", "transfer_history", wait), happen);
    assert_eq!(told[0]["kind"], "transfer.files_added");
}
