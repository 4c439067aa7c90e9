//! What a monitoring system reads.

use databridge_core::app::METRICS;
use databridge_tests::process::PATIENCE;
use serde_json::Value;

use crate::desk::{Desk, Kind};

on_both!(every_metric_of_the_table_is_there_and_true);

/// The value of a sample.
fn sample(text: &str, line: &str) -> Option<f64> {
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '))?;
    found.split(' ').next()?.parse().ok()
}

fn every_metric_of_the_table_is_there_and_true(kind: Kind) {
    let desk = Desk::open_with(kind, &vec![("LIMITS__LOGIN_PER_MINUTE", "1".into())]);
    let code = desk.submitted();
    for _ in 0..3 {
        let body = serde_json::json!({ "username": "x", "password": "y" });
        desk.ask("", "POST", "/auth/login", body);
    }
    desk.ask("artist", "GET", "/metrics", Value::Null).refused(403, "identity.forbidden");
    desk.ask("", "GET", "/metrics", Value::Null).refused(401, "identity.no_token");
    let answer = desk.ask("it", "GET", "/metrics", Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = &answer.text;
    assert!(text.ends_with("# EOF\n"));
    // A family that nothing was counted in is not there.
    const EMPTY: [&str; 2] = ["databridge_jobs", "databridge_scanner_signature_age_seconds"];
    for (name, kind, ..) in METRICS.iter().filter(|(name, ..)| !EMPTY.contains(name)) {
        let bare = name.strip_suffix("_total").unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {bare} {kind}\n")), "{name}");
        assert!(text.contains(&format!("# HELP {bare} ")), "{name}");
    }
    let of = |line: &str| sample(text, line).unwrap_or_else(|| panic!("{line} is not in {text}"));
    assert_eq!(of("databridge_transfers{state=\"review\"}"), 1.0);
    assert_eq!(of("databridge_transfers{state=\"scanning\"}"), 0.0);
    assert!(of("databridge_approval_wait_seconds") >= 0.0);
    assert!(of("databridge_disk_free_bytes{root=\"data\"}") > 0.0);
    assert!(of("databridge_jobs_ended_total{kind=\"transfer.freeze\",outcome=\"done\"}") == 1.0);
    let login = "route=\"/api/v1/auth/login\"";
    assert!(of(&format!("databridge_rate_limited_total{{{login}}}")) >= 1.0);
    let limited =
        format!("databridge_http_requests_total{{{login},method=\"POST\",status=\"429\"}}");
    assert!(of(&limited) >= 1.0);
    // The label is the route, never what was asked for: there would be no end of them.
    assert!(!text.contains(&code));
}

#[test]
fn metrics_may_have_an_address_of_their_own() {
    let settings = vec![("HTTP__METRICS_LISTEN", "127.0.0.1:0".into())];
    let mut desk = Desk::open_with(Kind::Sqlite, &settings);
    desk.ask("it", "GET", "/metrics", Value::Null).refused(404, "http.no_route");
    // It is told after the address that everybody asks, and may be read later than that.
    const TOLD: &str = "metrics on ";
    let printed = desk.running.daemon.output();
    let line = printed.lines().find(|line| line.starts_with(TOLD)).map_or_else(
        || desk.running.daemon.wait_for_line(PATIENCE, |line| line.starts_with(TOLD)),
        str::to_owned,
    );
    let text = ureq::get(line.strip_prefix(TOLD).unwrap())
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(text.contains("databridge_queue_age_seconds"));
}
