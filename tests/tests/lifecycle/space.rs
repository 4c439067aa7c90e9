//! Room in production and staging, and what of it is to stay free.

use databridge_tests::mounts;
use serde_json::{Value, json};

use crate::lab::{Kind, Lab, text};

on_both!(
    what_would_not_fit_is_not_submitted,
    a_copy_that_would_not_fit_is_not_begun,
    a_small_production_takes_what_fits_it,
);

/// More than any disk has.
const HUGE: u64 = 1 << 62;
const FILES: &[(&str, &[u8])] = &[("a.exr", b"aaaa")];

async fn what_would_not_fit_is_not_submitted(kind: Kind) {
    for root in ["production", "staging"] {
        let mut lab = Lab::open_with(kind, |config| match root {
            "production" => config.space.production_reserve_bytes = HUGE,
            _ => config.space.staging_reserve_bytes = HUGE,
        })
        .await;
        let code = lab.create().await;
        lab.add(&code, FILES).await;
        let error = lab.refused("artist", "transfer_submit", json!({ "code": code })).await;
        assert_eq!(error.code(), "transfer.insufficient_space");
        let told = error.to_string();
        assert!(told.contains(root) && told.contains(&HUGE.to_string()), "{told}");
        assert!(told.contains("4 bytes are needed") || root == "staging", "{told}");
        assert_eq!(lab.state(&code).await, "uploading");
        // Who may not submit is told that and nothing else.
        let error = lab.refused("team_lead", "transfer_submit", json!({ "code": code })).await;
        assert_eq!(error.code(), "identity.forbidden");
        lab.reopen(|config| config.space = Default::default()).await;
        assert_eq!(lab.submit(&code).await, "team_lead_review");
    }
}

async fn a_copy_that_would_not_fit_is_not_begun(kind: Kind) {
    let mut lab = Lab::open(kind).await;
    let code = lab.scanned(FILES).await;
    lab.reopen(|config| config.space.production_reserve_bytes = HUGE).await;
    let explained = lab.ok("artist", "transfer_explain", json!({ "code": code })).await;
    let told = text(&explained, "text");
    assert!(told.contains("As things are, production has not enough room"), "{told}");
    lab.act("it_team", "start", &code).await;
    assert_eq!(lab.settle(&code).await, "prepare_failed");
    let failure = lab.show(&code).await["failure"].clone();
    assert_eq!(failure["code"], "transfer.insufficient_space", "{failure}");
    assert_eq!(failure["needed_bytes"].as_u64().map(|n| n >= 4), Some(true), "{failure}");
    assert!(failure["free_bytes"].as_u64().is_some(), "{failure}");
    assert_eq!(lab.around(&code).await, Vec::<String>::new(), "nothing was begun");
    lab.reopen(|config| config.space = Default::default()).await;
    lab.act("it_team", "retry", &code).await;
    // Room that is gone by then does not keep what is written from being read back.
    lab.work_to(&code, "verifying").await;
    lab.reopen(|config| config.space.production_reserve_bytes = HUGE).await;
    assert_eq!(lab.settle(&code).await, "delivered", "{}", lab.show(&code).await["failure"]);
}

async fn a_small_production_takes_what_fits_it(kind: Kind) {
    if !mounts::require_root("a_small_production_takes_what_fits_it") {
        return;
    }
    let small = mounts::tmpfs(4 << 20);
    let lab = Lab::open_with(kind, |config| {
        config.production = Some(small.path().into());
        config.space.production_reserve_bytes = 1 << 20;
    })
    .await;
    let of = |mega: usize| vec![7u8; mega << 20];
    let large = lab.create().await;
    lab.add(&large, &[("large.exr", &of(4))]).await;
    let error = lab.refused("artist", "transfer_submit", json!({ "code": large })).await;
    assert_eq!(error.code(), "transfer.insufficient_space", "{error}");
    assert!(error.to_string().contains("4194304 bytes are needed"), "{error}");
    let fits = lab.scanned(&[("fits.exr", &of(2))]).await;
    lab.deliver(&fits).await;
    // What is left beyond the reserve is too little now.
    let next = lab.create().await;
    lab.add(&next, &[("next.exr", &of(1))]).await;
    let error = lab.refused("artist", "transfer_submit", json!({ "code": next })).await;
    assert_eq!(error.code(), "transfer.insufficient_space", "{error}");
    assert_eq!(lab.show(&next).await["failure"], Value::Null);
}
