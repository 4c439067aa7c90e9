//! Roles for a time: from when until when, in one project or all, and a denial wins as long
//! as it holds.

use databridge_core::base::error::ErrorKind;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    a_grant_holds_in_its_term_and_its_project,
    a_denial_wins_as_long_as_it_holds,
    a_term_that_never_comes_is_refused,
);

const PAST: &str = "2020-01-01T00:00:00Z";
const FUTURE: &str = "2099-01-01T00:00:00Z";

/// What somebody may do about a transfer in `project`, as it is offered to them.
async fn offered(lab: &Lab, who: &str, code: &str) -> Vec<String> {
    let ctx = lab.again(who).await;
    let show = crate::lab::call("transfer_show", json!({ "code": code }));
    match lab.app.call(&ctx, show, None).await {
        Ok(shown) => {
            let actions = shown["actions"].as_array().unwrap();
            actions.iter().map(|action| action.as_str().unwrap().to_owned()).collect()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            Vec::new()
        }
    }
}

async fn role(lab: &Lab, fields: Value) {
    lab.ok("chief", "user_role", fields).await;
}

async fn a_grant_holds_in_its_term_and_its_project(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(&[("a.exr", b"a")]).await;
    let may_scan = async |who: &str| offered(&lab, who, &code).await.contains(&"scan".to_owned());
    assert!(!may_scan("other").await);
    let term = |from: Option<&str>, until: Option<&str>, project: Option<&str>| {
        json!({ "username": "other", "role": "data_team", "from": from, "until": until,
                "project": project })
    };
    role(&lab, term(Some(FUTURE), None, None)).await;
    assert!(!may_scan("other").await, "it does not hold yet");
    role(&lab, term(Some(PAST), Some(FUTURE), None)).await;
    assert!(may_scan("other").await);
    // The same place is given once: the new term takes the old one's place.
    role(&lab, term(Some(FUTURE), None, None)).await;
    assert!(!may_scan("other").await);
    role(&lab, term(Some(PAST), None, Some("another"))).await;
    assert!(!may_scan("other").await, "it holds elsewhere");
    role(&lab, term(Some(PAST), None, Some("film"))).await;
    assert!(may_scan("other").await);
    let shown = lab.ok("chief", "user_show", json!({ "username": "other" })).await;
    let terms: Vec<_> = shown["terms"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|term| term["role"] == "data_team")
        .map(|term| (term["project"].clone(), term["from"].clone(), term["in_force"].clone()))
        .collect();
    assert_eq!(
        terms,
        [
            (json!(null), json!(FUTURE), json!(false)),
            (json!("another"), json!(PAST), json!(true)),
            (json!("film"), json!(PAST), json!(true)),
        ]
    );
    // A term that ran out, however it came to be there.
    lab.sql("UPDATE role_grants SET valid_until = valid_from WHERE project = 'film'");
    assert!(!may_scan("other").await, "it is over");
    let events = lab.ok("chief", "activity", json!({ "kind": "user.role_granted" })).await;
    lab.seal().await;
    let all = lab.ok("chief", "activity", json!({ "kind": "user.role_granted" })).await;
    assert!(all.as_array().unwrap().len() >= events.as_array().unwrap().len());
    assert!(all.to_string().contains(FUTURE), "the term is not in the ledger: {all}");
}

async fn a_denial_wins_as_long_as_it_holds(kind: Kind) {
    let lab = Lab::open(kind).await;
    let code = lab.approved(&[("a.exr", b"a")]).await;
    let may_scan = async || offered(&lab, "data_team", &code).await.contains(&"scan".to_owned());
    let deny = |from: &str, until: Option<&str>, project: Option<&str>| {
        json!({ "username": "data_team", "role": "data_team", "deny": true, "from": from,
                "until": until, "project": project })
    };
    assert!(may_scan().await);
    role(&lab, deny(FUTURE, None, None)).await;
    assert!(may_scan().await, "it is not denied yet");
    role(&lab, deny(PAST, Some(FUTURE), Some("another"))).await;
    assert!(may_scan().await, "it is denied elsewhere");
    role(&lab, deny(PAST, Some(FUTURE), Some("film"))).await;
    assert!(!may_scan().await, "what gives it outweighs the denial");
    // Also a grant of that very project.
    let grant = json!({ "username": "data_team", "role": "data_team", "project": "film" });
    role(&lab, grant).await;
    assert!(!may_scan().await);
    let back = json!({ "username": "data_team", "role": "data_team", "deny": true,
                       "project": "film", "granted": false });
    role(&lab, back).await;
    assert!(may_scan().await);
}

async fn a_term_that_never_comes_is_refused(kind: Kind) {
    let lab = Lab::open(kind).await;
    for (from, until) in [(FUTURE, PAST), (FUTURE, FUTURE)] {
        let term =
            json!({ "username": "other", "role": "data_team", "from": from, "until": until });
        let error = lab.refused("chief", "user_role", term).await;
        assert_eq!(error.code(), "identity.bad_field");
    }
    // The last admin for good does not become one for a while.
    let admins = lab.ok("chief", "user_list", json!({})).await;
    let admin = admins.as_array().unwrap().iter().find(|u| text(u, "username") == "admin").unwrap();
    assert_eq!(admin["grants"][0]["role"], "admin");
    for term in [json!({ "until": FUTURE }), json!({ "from": FUTURE })] {
        let mut change = json!({ "username": "admin", "role": "admin" });
        for (name, value) in term.as_object().unwrap() {
            change[name] = value.clone();
        }
        let error = lab.refused("chief", "user_role", change).await;
        assert_eq!(error.code(), "identity.last_admin");
    }
}
