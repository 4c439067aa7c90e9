use super::super::super::{ContentPolicy, ContentRule, Settings};
use super::{NOTHING, found, look, names, samples};

/// Samples under names, and all that must be found.
#[test]
fn content_under_names() {
    let lnk = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46\x9b\0\x08\0";
    let jpeg_and_zip = [samples::jpeg(), b"PK\x05\x06".to_vec(), vec![0; 18]].concat();
    for (name, bytes, expected) in [
        (
            "a.exr",
            &b"\x7fELF\x02\x01\x01"[..],
            &["content.extension_mismatch", "content.executable"][..],
        ),
        ("tool", b"\x7fELF\x02\x01\x01", &["content.executable"]),
        ("run", b"#!/bin/sh\n", &["content.executable"]),
        ("note.txt", b"#!/usr/bin/env python\n", &["content.executable"]),
        ("a.mov", lnk, &["content.extension_mismatch", "content.executable"]),
        ("start.bat", b"echo", &["content.executable_name"]),
        ("a.dpx", &samples::exr(1), &["content.extension_mismatch"]),
        ("a.exr", b"just a note\n", &["content.extension_mismatch"]),
        ("a.txt", b"no\0te", &["content.extension_mismatch"]),
        ("a.pdf", b"%PDF-1.7\n", NOTHING),
        ("look.cube", b"LUT_3D_SIZE 2\n", NOTHING),
        ("shot.usd", b"#usda 1.0\n", NOTHING),
        ("data.bin", b"\0\x01\x02", NOTHING),
        ("a.jpg", &jpeg_and_zip, &["content.polyglot"]),
    ] {
        assert_eq!(found(name, bytes), expected, "{name}");
    }
}

fn under(policy: &ContentPolicy, name: &str, bytes: &[u8]) -> Vec<String> {
    names(&look(&Settings { content: policy.clone(), ..Settings::default() }, name, bytes))
}

#[test]
fn only_what_is_allowed_passes() {
    let allow = |names: &[&str]| ContentPolicy {
        allow: names.iter().map(|name| (*name).to_owned()).collect(),
        ..ContentPolicy::default()
    };
    for (allowed, name, bytes, passes) in [
        (&["exr"][..], "a.exr", samples::exr(1), true),
        (&["image"], "a.exr", samples::exr(1), true),
        (&["image", "text"], "a.mov", samples::mov(), false),
        (&["exr"], "a.txt", b"note".to_vec(), false),
        (&["text"], "a.edl", b"TITLE: A".to_vec(), false),
        (&["edl"], "a.edl", b"TITLE: A".to_vec(), true),
        (&["exr"], "a.dat", b"\0\x01".to_vec(), false),
    ] {
        let said = under(&allow(allowed), name, &bytes);
        let expected = if passes { "no_antivirus" } else { "content.not_allowed" };
        assert_eq!(said, [expected], "{name} under {allowed:?}");
    }
    assert_eq!(under(&allow(&["exr"]), "run.sh", b"#!/bin/sh\n"), ["content.executable"]);
    assert_eq!(under(&allow(&["program"]), "run.sh", b"#!/bin/sh\n"), NOTHING);
}

#[test]
fn a_policy_refuses_and_waives() {
    let mut policy = ContentPolicy { refuse: vec!["content.exec*".into()], ..Default::default() };
    assert_eq!(under(&policy, "run", b"#!/bin/sh\n"), ["infected(content.executable)"]);
    policy.waive = vec!["content.extension_mismatch".into()];
    assert_eq!(under(&policy, "a.exr", b"a note\n"), NOTHING);
    let why = look(&Settings::default(), "a.exr", b"a note\n")[0].why.clone();
    assert_eq!(why.as_deref(), Some("its content is text, which .exr is not"));
}

#[test]
fn rules_by_project_and_category_are_applied_in_their_order() {
    let text = r#"{"content": {"allow": ["image"], "rule": [
        {"project": "film", "allow": ["exr"]},
        {"category": "tools", "allow_executables": true, "allow": []},
        {"project": "film", "category": "plates", "waive": ["content.exr_truncated"]}
    ]}}"#;
    let settings: Settings = serde_json::from_str(text).unwrap();
    let film = settings.within("film", "plates");
    assert_eq!(
        (&film.content.allow[..], &film.content.waive[..]),
        (&["exr".to_owned()][..], &["content.exr_truncated".to_owned()][..])
    );
    let tools = settings.within("other", "tools");
    assert!(tools.policy.allow_executables && tools.content.allow.is_empty());
    let other = settings.within("other", "plates");
    assert_eq!(other.content.allow, ["image"]);
    assert!(!other.policy.allow_executables && other.content.rule.is_empty());
}

#[test]
fn an_allow_list_that_means_nothing_is_refused() {
    use super::super::super::{Content, Error, Scanner};
    let unheard = || vec!["exrr".to_owned()];
    let plain = ContentPolicy { allow: unheard(), ..Default::default() };
    let rule = ContentRule { allow: Some(unheard()), ..Default::default() };
    let by_rule = ContentPolicy { rule: vec![rule], ..Default::default() };
    for content in [plain, by_rule] {
        let settings = Settings { content, ..Settings::default() };
        assert!(matches!(Content::new(&settings).info(), Err(Error::Setting { .. })));
    }
}
