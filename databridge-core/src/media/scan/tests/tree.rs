use std::os::unix::fs::symlink;

use super::*;
use crate::base::cancel::Cancel;
use crate::base::error::{ErrorKind, Fault};
use crate::media::manifest::{Manifest, What};

/// Says clean and is believed.
struct Trusting;

impl Scanner for Trusting {
    fn info(&self) -> Result<EngineInfo, Error> {
        Ok(EngineInfo {
            name: "trusting".into(),
            version: "1".into(),
            signature_version: None,
            signature_date: Some(crate::base::clock::Timestamp::now()),
            antivirus: true,
        })
    }
    fn scan(&self, _subject: &Subject<'_>) -> Vec<Verdict> {
        vec![Verdict::Clean]
    }
}

/// Writes to the very file that it looks at.
struct Meddling(std::path::PathBuf);

impl Scanner for Meddling {
    fn info(&self) -> Result<EngineInfo, Error> {
        Trusting.info()
    }
    fn scan(&self, subject: &Subject<'_>) -> Vec<Verdict> {
        std::fs::write(self.0.join(subject.path.to_path()), b"longer than before").unwrap();
        vec![Verdict::Clean]
    }
}

fn trusting() -> Engines {
    Engines::with(&Settings::default(), vec![Box::new(Trusting)])
}

#[test]
fn what_differs_from_the_manifest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    std::fs::create_dir_all(root.join("sub/empty")).unwrap();
    for name in ["same", "content", "length", "sub/gone", "link", "file"] {
        write(name, "1234");
    }
    let manifest = Manifest::of_tree(root, None, &()).unwrap();
    let check = || trusting().tree(root, Files::Manifest(&manifest), &()).unwrap();
    let report = check();
    assert!(report.passes(), "{report:?}");
    assert_eq!((report.counts.clean, report.bytes), (6, 24));

    write("content", "1235");
    write("length", "12345");
    std::fs::remove_file(root.join("sub/gone")).unwrap();
    std::fs::remove_file(root.join("link")).unwrap();
    symlink("same", root.join("link")).unwrap();
    std::fs::remove_dir(root.join("sub/empty")).unwrap();
    write("extra", "");
    let report = check();
    assert!(!report.passes());
    assert!(matches!(report.verdict, Verdict::Error { .. }), "what is gone was not scanned");
    let changed: Vec<_> = report.changed.iter().map(|d| (d.path.as_str(), &d.what)).collect();
    assert_eq!(changed.len(), 6, "{changed:?}");
    for (i, path) in
        ["content", "extra", "length", "link", "sub/empty", "sub/gone"].iter().enumerate()
    {
        assert_eq!(changed[i].0, *path);
    }
    assert!(matches!(changed[0].1, What::Content { .. }));
    assert!(matches!(changed[1].1, What::Extra { .. }));
    assert!(matches!(changed[2].1, What::Size { .. }));
    assert!(matches!(changed[3].1, What::Kind { .. }));
    assert!(matches!(changed[4].1, What::Missing));
    assert!(matches!(changed[5].1, What::Missing));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_file_written_to_while_it_is_scanned_is_in_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), b"first").unwrap();
    let meddling = Box::new(Meddling(folder.path().into()));
    let engines = Engines::with(&Settings::default(), vec![meddling]);
    let report = engines.tree(folder.path(), Files::Paths(&[rel("a")]), &()).unwrap();
    assert!(matches!(report.verdict, Verdict::Error { .. }));
}

#[test]
fn many_files_that_are_not_scanned_are_counted_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..1500).map(|i| format!("f{i:04}")).collect();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b""[..])).collect();
    files.push(("z.exe", b"MZ"));
    let settings = Settings { engine: Engine::Rules, ..Settings::default() };
    let report = scan(folder.path(), &files, &settings);
    assert_eq!(
        (report.counts.not_scanned, report.not_named, report.files.len()),
        (1500, 500, 1001)
    );
    assert_eq!(report.reasons[&Reason::NoAntivirus], 1500);
    assert_eq!(on(&report, "z.exe").kind(), "suspicious");
}

#[test]
fn cancelled_and_missing_roots() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), b"1").unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let files = [rel("a")];
    let error = trusting().tree(folder.path(), Files::Paths(&files), &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let gone = trusting().tree(&folder.path().join("none"), Files::Paths(&files), &());
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn settings_come_from_text() {
    let json = r#"{"engine": "clamd", "clamd": {"address": "/run/clamav/clamd.ctl"},
                   "policy": {"rules_suffice": true}}"#;
    let settings: Settings = serde_json::from_str(json).unwrap();
    assert_eq!(settings.clamd.unwrap().address, ClamdAddress::Unix("/run/clamav/clamd.ctl".into()));
    assert_eq!(settings.policy.signature_max_age_seconds, Some(604_800));
    for (text, shown) in [
        ("unix:/a/b", Some("unix:/a/b")),
        ("localhost:3310", Some("tcp://localhost:3310")),
        ("tcp://[::1]:3310", Some("tcp://[::1]:3310")),
        ("localhost", None),
        (":3310", None),
        ("localhost:99999", None),
        ("", None),
    ] {
        let address = text.parse::<ClamdAddress>().ok().map(|a| a.to_string());
        assert_eq!(address.as_deref(), shown, "{text}");
    }
}

#[test]
fn an_engine_that_is_asked_for_must_be_there() {
    let asked = Settings { engine: Engine::Clamd, ..Settings::default() };
    let error = tree(Path::new("/"), Files::Paths(&[]), &asked, &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
