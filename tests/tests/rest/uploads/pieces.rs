//! The protocol, request by request.

use std::io::Write;
use std::net::Shutdown;

use serde_json::{Value, json};
use sha2::Digest;

use super::{Tus, base64, noise};
use crate::desk::{Desk, Kind, raw, read};

on_both!(
    pieces_make_the_file,
    what_is_wrong_is_refused_with_its_status,
    one_at_a_time_and_what_came_is_kept,
    a_transfer_is_whole_when_it_is_submitted,
    what_expired_is_gone,
    a_length_may_be_told_late,
    a_browser_is_shown_what_it_needs,
);

fn pieces_make_the_file(kind: Kind) {
    let desk = Desk::open(kind);
    let tus = Tus::new(&desk);
    let told = desk.raw("OPTIONS", &tus.uploads(), &[], b"");
    assert_eq!(told.status, 204, "{told:?}");
    assert_eq!(told.header("tus-version"), Some("1.0.0"));
    let extensions = told.header("tus-extension").unwrap();
    assert_eq!(
        extensions,
        "creation,creation-defer-length,creation-with-upload,checksum,termination,expiration"
    );
    assert_eq!(told.header("tus-checksum-algorithm"), Some("sha1,sha256"));
    assert_eq!(told.header("tus-max-size"), Some("1099511627776"));
    // In three pieces, the second by another verb, for networks that know no PATCH.
    let bytes = noise(300_000, 1);
    let at = tus.begin("a b/é.exr", bytes.len());
    assert_eq!(tus.offset(&at), 0);
    assert_eq!(tus.send(&at, 0, &bytes[..100_000]), 100_000);
    assert!(tus.files().is_empty());
    let instead = [
        ("upload-offset", "100000".to_owned()),
        ("content-type", "application/offset+octet-stream".to_owned()),
        ("x-http-method-override", "PATCH".to_owned()),
    ];
    assert_eq!(tus.ask("POST", &at, &instead, &bytes[100_000..250_000]).status, 204);
    let told = tus.head(&at);
    assert_eq!(told.header("upload-offset"), Some("250000"));
    assert_eq!(told.header("upload-length"), Some("300000"));
    let metadata = format!("path {}", base64("a b/é.exr".as_bytes()));
    assert_eq!(told.header("upload-metadata"), Some(metadata.as_str()));
    // Who sees it beside.
    let listed = desk.ok("artist", "GET", &format!("/transfers/{}/uploads", tus.code), Value::Null);
    assert_eq!(listed[0]["offset_bytes"], 250_000);
    assert_eq!(tus.send(&at, 250_000, &bytes[250_000..]), 300_000);
    tus.has(&at, "a b/é.exr", &bytes);
    assert_eq!(tus.offset(&at), 300_000);
    // An answer that was lost is asked for again.
    assert_eq!(tus.send(&at, 300_000, b""), 300_000);
    // At once, with its first piece; of no length; in place of another.
    let first = [("content-type", "application/offset+octet-stream".to_owned())];
    let metadata = format!("filename {}", base64(b"b.exr"));
    let head = [("upload-length", "4".into()), ("upload-metadata", metadata), first[0].clone()];
    let answer = tus.ask("POST", &tus.uploads(), &head, b"four");
    assert_eq!((answer.status, answer.header("upload-offset")), (201, Some("4")), "{answer:?}");
    tus.has(answer.header("location").unwrap(), "b.exr", b"four");
    let at = tus.begin("empty", 0);
    tus.has(&at, "empty", b"");
    let at = tus.begin("b.exr", 5);
    assert_eq!(tus.send(&at, 0, b"other"), 5);
    tus.has(&at, "b.exr", b"other");
    assert_eq!(tus.files().len(), 3);
    // And all of it is delivered as what it was: freezing reads it again.
    desk.ok("artist", "POST", &format!("/transfers/{}/submit", tus.code), json!({}));
    desk.wait(&tus.code, "team_lead_review");
}

fn what_is_wrong_is_refused_with_its_status(kind: Kind) {
    let settings = vec![("MAX_UPLOAD_BYTES", "1000".into())];
    let desk = Desk::open_with(kind, &settings);
    let tus = Tus::new(&desk);
    let at = tus.begin("a.exr", 10);
    assert_eq!(tus.send(&at, 0, b"0123"), 4);
    let refused = |answer: crate::desk::Answer, status: u16, code: &str| {
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{answer:?}");
        answer.refused(status, code);
    };
    refused(tus.piece(&at, 0, b"0123", &[]), 409, "upload.wrong_offset");
    refused(tus.piece(&at, 5, b"5", &[]), 409, "upload.wrong_offset");
    refused(tus.piece(&at, 4, b"4567890", &[]), 413, "upload.too_long");
    // Also where it is not said beforehand.
    let chunked = [("transfer-encoding", "chunked".to_owned())];
    refused(tus.piece(&at, 4, b"7\r\n4567890\r\n0\r\n\r\n", &chunked), 413, "upload.too_long");
    assert_eq!(tus.offset(&at), 4);
    let sum = |text: String| [("upload-checksum", text)];
    let wrong = sum(format!("sha1 {}", base64(&[0; 20])));
    refused(tus.piece(&at, 4, b"456", &wrong), 460, "upload.checksum");
    let wrong = sum(format!("sha256 {}", base64(&sha2::Sha256::digest(b"654"))));
    refused(tus.piece(&at, 4, b"456", &wrong), 460, "upload.checksum");
    assert_eq!(tus.offset(&at), 4);
    refused(tus.piece(&at, 4, b"456", &sum("md5 AAAA".into())), 400, "http.bad_request");
    let right = sum(format!("sha256 {}", base64(&sha2::Sha256::digest(b"456"))));
    assert_eq!(tus.piece(&at, 4, b"456", &right).status, 204);
    // Headers.
    let octets =
        [("upload-offset", "7".into()), ("content-type", "application/octet-stream".into())];
    refused(tus.ask("PATCH", &at, &octets, b"7"), 415, "http.media_type");
    let token = ("authorization", format!("Bearer {}", desk.people.token("artist")));
    for version in [None, Some("0.2.2")] {
        let mut headers = vec![token.clone()];
        headers.extend(version.map(|version| ("tus-resumable", version.to_owned())));
        let answer = desk.raw("HEAD", &at, &headers, b"");
        assert_eq!((answer.status, answer.header("tus-version")), (412, Some("1.0.0")));
        refused(desk.raw("POST", &tus.uploads(), &headers, b""), 412, "http.tus_version");
    }
    refused(tus.ask("POST", &tus.uploads(), &[], b""), 400, "http.bad_request");
    let both = [("upload-defer-length", "1".to_owned())];
    refused(tus.try_begin("a", 1, &both), 400, "http.bad_request");
    let other = [("upload-defer-length", "2".into()), ("upload-metadata", "path YQ==".into())];
    refused(tus.ask("POST", &tus.uploads(), &other, b""), 400, "http.bad_request");
    refused(tus.try_begin("large", 1001, &[]), 413, "upload.too_long");
    for path in ["../a", "/a", "a//b", "nul\0"] {
        let answer = tus.try_begin(path, 1, &[]);
        assert_eq!(answer.status, 422, "{path:?}: {answer:?}");
    }
    refused(tus.ask("POST", &at, &[], b""), 405, "http.no_method");
    // Of others, or of nobody.
    let nobody = at.replace(at.rsplit('/').next().unwrap(), "00000000-0000-7000-8000-00000000000a");
    assert_eq!(tus.head(&nobody).status, 404);
    refused(tus.piece(&nobody, 0, b"0", &[]), 404, "upload.not_found");
    let other = Tus::new(&desk);
    let elsewhere = at.replace(&tus.code, &other.code);
    refused(other.piece(&elsewhere, 7, b"7", &[]), 404, "upload.not_found");
    let lead = Tus { desk: &desk, code: tus.code.clone(), who: "lead" };
    assert_eq!(lead.head(&at).status, 403);
    // Given up.
    assert_eq!(tus.ask("DELETE", &at, &[], b"").status, 204);
    assert_eq!(tus.head(&at).status, 404);
    assert!(!tus.blob(&at).exists());
    let at = tus.begin("a.exr", 1);
    assert_eq!(tus.send(&at, 0, b"0"), 1);
    refused(tus.ask("DELETE", &at, &[], b""), 409, "upload.done");
    tus.has(&at, "a.exr", b"0");
    refused(tus.try_begin("A.EXR", 1, &[]), 422, "transfer.collision");
}

/// The head of a piece whose bytes are not sent yet; it is let in when this answers.
fn opened(tus: &Tus<'_>, at: &str, offset: u64, length: usize) -> std::net::TcpStream {
    tus.opened("PATCH", at, &tus.of_a_piece(offset), length)
}

fn one_at_a_time_and_what_came_is_kept(kind: Kind) {
    let desk = Desk::open(kind);
    let tus = Tus::new(&desk);
    let bytes = noise(200_000, 2);
    let at = tus.begin("a.exr", bytes.len());
    let mut first = opened(&tus, &at, 0, 150_000);
    tus.piece(&at, 0, &bytes, &[]).refused(423, "upload.busy");
    first.write_all(&bytes[..150_000]).unwrap();
    assert_eq!(read(first).status, 204);
    // It breaks off in the middle.
    let mut broken = opened(&tus, &at, 150_000, 50_000);
    broken.write_all(&bytes[150_000..170_000]).unwrap();
    broken.shutdown(Shutdown::Both).unwrap();
    tus.until(&at, |answer| answer.header("upload-offset") == Some("170000"));
    // One with a checksum is kept whole or not at all.
    let end = std::time::Instant::now() + databridge_tests::process::PATIENCE;
    let sum = |bytes: &[u8]| {
        [("upload-checksum", format!("sha256 {}", base64(&sha2::Sha256::digest(bytes))))]
    };
    let rest = &bytes[170_000..];
    // The one that broke off lets go of it just after its bytes count.
    loop {
        let answer = tus.piece(&at, 170_000, rest, &sum(b"other"));
        if answer.status == 460 {
            break;
        }
        answer.refused(423, "upload.busy");
        assert!(std::time::Instant::now() < end);
    }
    assert_eq!(tus.offset(&at), 170_000);
    assert_eq!(tus.piece(&at, 170_000, rest, &sum(rest)).status, 204);
    tus.has(&at, "a.exr", &bytes);
    // Another upload of the same path takes the place of one that was not finished.
    let older = tus.begin("b.exr", 10);
    let newer = tus.begin("b.exr", 4);
    assert_eq!(tus.head(&older).status, 404);
    assert_eq!(tus.send(&newer, 0, b"four"), 4);
    // Many at once, to one transfer.
    let names: Vec<String> = (0..8).map(|n| format!("frame.{n}.exr")).collect();
    let places: Vec<String> = names.iter().map(|name| tus.begin(name, name.len())).collect();
    let (address, headers) = (desk.address(), tus.of_a_piece(0));
    std::thread::scope(|scope| {
        for (name, at) in names.iter().zip(&places) {
            let headers = &headers;
            scope.spawn(move || {
                let answer = raw(address, "PATCH", at, headers, name.as_bytes());
                assert_eq!(answer.status, 204, "{answer:?}");
            });
        }
    });
    for (name, at) in names.iter().zip(&places) {
        tus.has(at, name, name.as_bytes());
    }
    assert_eq!(tus.files().len(), 10);
}

fn a_transfer_is_whole_when_it_is_submitted(kind: Kind) {
    let desk = Desk::open(kind);
    let tus = Tus::new(&desk);
    tus.begin("a.exr", 0);
    let at = tus.begin("b.exr", 8);
    assert_eq!(tus.send(&at, 0, b"half"), 4);
    let submit = format!("/transfers/{}/submit", tus.code);
    let answer = desk.ask("artist", "POST", &submit, json!({}));
    answer.refused(409, "upload.unfinished");
    assert!(answer.json()["detail"].as_str().unwrap().contains("b.exr (4 of 8 bytes)"));
    // Also while a piece is on its way.
    let mut open = opened(&tus, &at, 4, 4);
    desk.ask("artist", "POST", &submit, json!({})).refused(409, "upload.unfinished");
    open.write_all(b"rest").unwrap();
    assert_eq!(read(open).status, 204);
    desk.ok("artist", "POST", &submit, json!({}));
    desk.wait(&tus.code, "team_lead_review");
    // Nothing more comes in: not by a new one, not by one that is done.
    tus.try_begin("c.exr", 1, &[]).refused(409, "workflow.illegal_state");
    assert_eq!(tus.offset(&at), 8);
    // What comes in after it came back is of the next revision.
    let reject = json!({ "reason": "the first frame is missing" });
    desk.ok("lead", "POST", &format!("/approvals/{}/reject", tus.code), reject);
    let at = tus.begin("c.exr", 3);
    assert_eq!(tus.send(&at, 0, b"new"), 3);
    let shown = desk.ok("artist", "GET", &format!("/transfers/{}", tus.code), Value::Null);
    assert_eq!((&shown["revision"], &shown["file_count"]), (&json!(2), &json!(3)));
    // With the transfer its uploads are withdrawn.
    let at = tus.begin("d.exr", 3);
    desk.ok("artist", "POST", &format!("/transfers/{}/cancel", tus.code), json!({}));
    // Expired; or gone already, where the daemon's own sweep comes late.
    assert!(matches!(tus.head(&at).status, 404 | 410));
    assert!(matches!(tus.piece(&at, 0, b"new", &[]).status, 404 | 410));
}

fn what_expired_is_gone(kind: Kind) {
    let desk = Desk::open_with(kind, &vec![("UPLOADS__KEEP_SECONDS", "1".into())]);
    let tus = Tus::new(&desk);
    let at = tus.begin("a.exr", 8);
    let gone = tus.until(&at, |answer| answer.status != 200).status;
    // The daemon's own sweep may have been there.
    assert!(matches!(gone, 404 | 410), "{gone}");
    assert!(matches!(tus.piece(&at, 0, b"half", &[]).status, 404 | 410));
    let collect = |who: &str| {
        desk.ask(who, "POST", "/transfer-ops/uploads/collect", json!({ "dry_run": false }))
    };
    collect("artist").refused(403, "identity.forbidden");
    assert_eq!(collect("admin").status, 200);
    assert_eq!(tus.head(&at).status, 404);
    // What expired keeps nobody from submitting.
    let token = [("authorization", format!("Bearer {}", desk.people.token("artist")))];
    let put = format!("/api/v1/transfers/{}/files/b.exr", tus.code);
    assert_eq!(desk.raw("PUT", &put, &token, b"bytes").status, 200);
    let at = tus.begin("a.exr", 8);
    tus.until(&at, |answer| answer.status != 200);
    desk.ok("artist", "POST", &format!("/transfers/{}/submit", tus.code), json!({}));
}

/// Begins an upload whose length its sender does not know yet.
fn begin_deferred(tus: &Tus<'_>, path: &str) -> String {
    let metadata = format!("path {}", base64(path.as_bytes()));
    let head = [("upload-defer-length", "1".to_owned()), ("upload-metadata", metadata)];
    let answer = tus.ask("POST", &tus.uploads(), &head, b"");
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

fn a_length_may_be_told_late(kind: Kind) {
    let settings =
        vec![("MAX_UPLOAD_BYTES", "1000".into()), ("UPLOADS__TRANSFER_BYTES", "900".into())];
    let desk = Desk::open_with(kind, &settings);
    let tus = Tus::new(&desk);
    let bytes = noise(600, 5);
    let at = begin_deferred(&tus, "a.exr");
    let told = tus.head(&at);
    assert_eq!(
        (told.header("upload-defer-length"), told.header("upload-length")),
        (Some("1"), None)
    );
    assert_eq!(tus.send(&at, 0, &bytes[..100]), 100);
    assert_eq!(tus.send(&at, 100, &bytes[100..200]), 200);
    assert!(tus.files().is_empty(), "nobody said that this is all");
    let submit = format!("/transfers/{}/submit", tus.code);
    let refused = desk.ask("artist", "POST", &submit, json!({}));
    assert!(refused.json()["detail"].as_str().unwrap().contains("a.exr (200 bytes so far)"));
    // What has come counts for the quota, and what comes is held to it.
    tus.try_begin("b.exr", 701, &[]).refused(413, "upload.transfer_quota");
    let length = |length: u64| [("upload-length", length.to_string())];
    tus.piece(&at, 200, b"", &length(901)).refused(413, "upload.transfer_quota");
    tus.piece(&at, 200, b"", &length(1001)).refused(413, "upload.too_long");
    tus.piece(&at, 200, b"", &length(199)).refused(409, "upload.wrong_length");
    tus.piece(&at, 200, &noise(701, 6), &[]).refused(413, "upload.too_long");
    assert_eq!(tus.offset(&at), 200);
    // Told with a piece, it is told once.
    assert_eq!(tus.piece(&at, 200, &bytes[200..400], &length(600)).status, 204);
    let told = tus.head(&at);
    assert_eq!(
        (told.header("upload-defer-length"), told.header("upload-length")),
        (None, Some("600"))
    );
    tus.piece(&at, 400, &bytes[400..], &length(601)).refused(409, "upload.wrong_length");
    assert_eq!(tus.piece(&at, 400, &bytes[400..], &length(600)).status, 204);
    tus.has(&at, "a.exr", &bytes);
    // Told at the end, with nothing more to come; and at once with the first piece.
    let at = begin_deferred(&tus, "b.exr");
    assert_eq!(tus.send(&at, 0, b"four"), 4);
    assert_eq!(tus.piece(&at, 4, b"", &length(4)).status, 204);
    tus.has(&at, "b.exr", b"four");
    let at = begin_deferred(&tus, "empty");
    assert_eq!(tus.piece(&at, 0, b"", &length(0)).status, 204);
    tus.has(&at, "empty", b"");
    // One whose length nobody ever tells is given up as any other.
    let at = begin_deferred(&tus, "c.exr");
    tus.send(&at, 0, b"half");
    assert_eq!(tus.ask("DELETE", &at, &[], b"").status, 204);
    desk.ok("artist", "POST", &submit, json!({}));
    desk.wait(&tus.code, "team_lead_review");
}

/// What `tus-js-client` does in a browser, whose page is of another origin.
fn a_browser_is_shown_what_it_needs(kind: Kind) {
    const PAGE: &str = "https://console.example";
    let origins = format!("[\"{PAGE}\"]");
    let desk = Desk::open_with(kind, &vec![("HTTP__ORIGINS", origins.into())]);
    let tus = Tus::new(&desk);
    let from = |origin: &str| ("origin", origin.to_owned());
    let list = |answer: &crate::desk::Answer, name: &str| -> Vec<String> {
        let text = answer.header(name).unwrap_or_default().to_ascii_lowercase();
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    // The browser asks before it sends what the client wants to.
    let at = tus.begin("a.exr", 4);
    for (path, method) in [(tus.uploads(), "POST"), (at.clone(), "PATCH"), (at.clone(), "HEAD")] {
        let sent = "authorization,content-type,tus-resumable,upload-checksum,upload-defer-length,\
                    upload-length,upload-metadata,upload-offset";
        let asked = [
            from(PAGE),
            ("access-control-request-method", method.to_owned()),
            ("access-control-request-headers", sent.to_owned()),
        ];
        let answer = desk.raw("OPTIONS", &path, &asked, b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        let (methods, headers) = (
            list(&answer, "access-control-allow-methods"),
            list(&answer, "access-control-allow-headers"),
        );
        assert!(method == "HEAD" || methods.contains(&method.to_ascii_lowercase()), "{methods:?}");
        for header in sent.split(',').map(str::trim) {
            assert!(headers.contains(&header.to_owned()), "{header}: {headers:?}");
        }
    }
    // Then it lets the page read what is exposed, and nothing else.
    let exposed = |answer: &crate::desk::Answer| {
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "{answer:?}");
        list(answer, "access-control-expose-headers")
    };
    let has = |shown: &[String], names: &[&str]| {
        for name in names {
            assert!(shown.contains(&(*name).to_owned()), "{name}: {shown:?}");
        }
    };
    let answer = tus.try_begin("b.exr", 4, &[from(PAGE)]);
    has(&exposed(&answer), &["location", "tus-resumable", "upload-offset", "upload-expires"]);
    let answer = tus.ask("HEAD", &at, &[from(PAGE)], b"");
    has(&exposed(&answer), &["upload-offset", "upload-length", "upload-metadata"]);
    has(&exposed(&answer), &["upload-defer-length"]);
    let answer = tus.piece(&at, 0, b"four", &[from(PAGE)]);
    assert_eq!(answer.status, 204, "{answer:?}");
    has(&exposed(&answer), &["upload-offset"]);
    // What is spoken is asked by OPTIONS as well, which is no preflight then.
    let answer = desk.raw("OPTIONS", &tus.uploads(), &[from(PAGE)], b"");
    assert_eq!((answer.status, answer.header("tus-version")), (204, Some("1.0.0")), "{answer:?}");
    let told = ["tus-extension", "tus-max-size", "tus-checksum-algorithm", "tus-version"];
    has(&exposed(&answer), &told);
    for name in told {
        assert!(answer.header(name).is_some(), "{name}: {answer:?}");
    }
    // From elsewhere nothing may be read.
    let evil = "https://evil.example";
    for answer in [
        desk.raw("OPTIONS", &tus.uploads(), &[from(evil)], b""),
        tus.ask("HEAD", &at, &[from(evil)], b""),
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    }
}
