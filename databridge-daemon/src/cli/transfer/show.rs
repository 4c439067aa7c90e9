//! How transfers are shown.

use databridge_core::media::monitor::Snapshot;
use serde_json::Value;

use super::super::Outcome;
use super::super::progress::figures;
use super::super::view::{Show, size, text, time};

/// Transfers, a line each.
pub fn list(show: &Show, transfers: &Value) -> Outcome {
    show.document(transfers);
    if transfers.as_array().is_some_and(Vec::is_empty) {
        show.aside("no such transfers; `databridge transfer create` makes one");
    }
    for t in transfers.as_array().into_iter().flatten() {
        show.line(format!(
            "{:<10} {:<21} {:>9}  {:<12.12} {:.22}",
            text(&t["code"]),
            text(&t["state"]),
            size(t["total_bytes"].as_u64().unwrap_or(0)),
            text(&t["owner"]),
            text(&t["title"]),
        ));
    }
    Ok(0)
}

/// Something that happened, on a line.
pub fn event(show: &Show, event: &Value) {
    show.document(event);
    let data = &event["data"];
    let detail = ["stage", "reason", "what", "code"]
        .iter()
        .filter_map(|name| data[*name].as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let kind = text(&event["kind"]);
    show.line(format!(
        "{}  {:<20} {:<12} {detail}",
        time(&event["at"]),
        kind.strip_prefix("transfer.").unwrap_or(kind),
        text(&event["by"]["username"]),
    ));
}

/// Who paused it, since when and why.
fn paused(pause: &Value) -> String {
    if pause.is_null() {
        return String::new();
    }
    let why = pause["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    format!("by {} since {}{why}", text(&pause["by"]), time(&pause["at"]))
}

/// What else is known of it.
fn metadata(given: &Value) -> String {
    let fields = given.as_object().into_iter().flatten();
    let shown = |(name, value): (&String, &Value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    };
    fields.map(shown).collect::<Vec<_>>().join(" ")
}

/// Who took it out of production, when, why, and where it is kept.
fn recalled(recall: &Value) -> String {
    if recall.is_null() {
        return String::new();
    }
    let kept = recall["place"].as_str().map(|place| format!("; kept in {place}"));
    format!(
        "by {} at {}: {}{}",
        text(&recall["by"]),
        time(&recall["asked_at"]),
        text(&recall["reason"]),
        kept.unwrap_or_default(),
    )
}

/// How far the work in hand is; `None` where there is none.
pub fn progress(t: &Value) -> Option<String> {
    let jobs = t["jobs"].as_array()?;
    let job = jobs.iter().find(|job| job["state"] == "leased")?;
    let shown = serde_json::from_value::<Snapshot>(job["progress"].clone()).ok()?;
    let held = match text(&job["progress"]["held"]) {
        "window" => "waiting for its time window, ",
        "paused" => "standing still, ",
        _ => "",
    };
    Some(format!("{held}{}", figures(&shown)))
}

/// What of a scan's policy lets pass what is not clean: every page says so.
fn scan_policy(scan: &Value) -> String {
    let suffice = scan["policy"]["rules_suffice"] == true;
    let accepted = scan["accepted"].as_object().into_iter().flatten();
    let suffice = suffice.then(|| "rules suffice to call a file clean".to_owned());
    let accepted = accepted.map(|(why, files)| format!("{files} not clean accepted: {why}"));
    suffice.into_iter().chain(accepted).collect::<Vec<_>>().join("; ")
}

/// What followed a delivery, a line each.
pub fn hooks(show: &Show, hooks: &Value) -> Outcome {
    show.document(hooks);
    hooks.as_array().into_iter().flatten().for_each(|one| hook(show, one));
    Ok(0)
}

fn hook(show: &Show, hook: &Value) {
    let how = match text(&hook["state"]) {
        "done" => format!("succeeded at {}", time(&hook["finished_at"])),
        "dead" => format!("given up after {} attempts", hook["attempts"]),
        _ => format!("due at {}", time(&hook["run_at"])),
    };
    let said = if text(&hook["state"]) == "done" { &hook["output"] } else { &hook["last_error"] };
    let said = said.as_str().and_then(|said| said.lines().next_back()).unwrap_or_default();
    let dash = if said.is_empty() { "" } else { ": " };
    show.line(format!("  {:<12} {} {how}{dash}{said}", "hook", text(&hook["hook"])));
}

/// All that is known of one.
pub fn detail(show: &Show, t: &Value) {
    show.document(t);
    show.line(format!("{}  {}", text(&t["code"]), text(&t["title"])));
    for (name, value) in [
        ("state", text(&t["state"]).to_owned()),
        ("project", format!("{}/{}", text(&t["project"]), text(&t["category"]))),
        ("owner", text(&t["owner"]).to_owned()),
        ("revision", t["revision"].to_string()),
        ("chain", format!("{} v{}", text(&t["chain"]), t["chain_version"])),
        (
            "content",
            format!("{} files, {}", t["file_count"], size(t["total_bytes"].as_u64().unwrap_or(0))),
        ),
        ("manifest", text(&t["manifest_digest"]).to_owned()),
        ("priority", text(&t["priority"]).to_owned()),
        ("paused", paused(&t["paused"])),
        ("progress", progress(t).unwrap_or_default()),
        ("destination", text(&t["destination"]).to_owned()),
        ("metadata", metadata(&t["metadata"])),
        ("recalled", recalled(&t["recall"])),
        ("reason", text(&t["reason"]).to_owned()),
        ("failure", text(&t["failure"]["message"]).to_owned()),
        ("hint", text(&t["failure"]["hint"]).to_owned()),
        ("scan", text(&t["scan"]["verdict"]["kind"]).to_owned()),
        ("scan policy", scan_policy(&t["scan"])),
    ] {
        if !value.is_empty() {
            show.line(format!("  {name:<12} {value}"));
        }
    }
    for a in t["approvals"].as_array().into_iter().flatten() {
        let role = a["on_behalf_of"].as_str().map(|name| format!(" as {name}")).unwrap_or_default();
        show.line(format!(
            "  {:<12} r{} {} by {}{role}",
            text(&a["decision"]),
            a["revision"],
            text(&a["stage_key"]),
            text(&a["username"]),
        ));
    }
    t["hooks"].as_array().into_iter().flatten().for_each(|one| hook(show, one));
    let actions: Vec<_> = t["actions"].as_array().into_iter().flatten().map(text).collect();
    show.line(format!("  {:<12} {}", "you can", actions.join(", ")));
}
