//! `databridge doctor` on the scanner.

use databridge_tests::clamd::Server;
use serde_json::Value;

use crate::bench::program;

/// Whether the scanner is well, and what is said of it.
fn doctor(settings: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("databridge.toml");
    std::fs::write(&file, settings).unwrap();
    let mut command = program("databridge");
    command.arg("--json").arg("--config").arg(file).arg("--data").arg(folder.path());
    let output = command.arg("doctor").output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = findings.as_array().unwrap();
    let scanner = findings.iter().find(|finding| finding["what"] == "scanner").unwrap();
    let is_well = scanner["ok"].as_bool().unwrap();
    let others = findings.iter().all(|finding| finding["ok"] == true);
    assert_eq!(output.status.code(), Some(if others { 0 } else { 5 }), "{findings:?}");
    (is_well, scanner["detail"].as_str().unwrap().to_owned())
}

fn clamd(server: &Server, policy: &str) -> String {
    format!(
        "[scan]\nengine = \"clamd\"\nclamd = {{ address = \"{}\" }}\n[scan.policy]\n{policy}\n",
        server.socket().display()
    )
}

#[test]
fn a_clamd_with_its_versions_age_and_limits() {
    let server = Server::start();
    let any = "signature_max_age_seconds = \"any\"";
    let (is_well, said) = doctor(&clamd(&server, any));
    assert!(is_well, "{said}");
    let version = server.command("VERSION");
    let version = version.split_whitespace().nth(1).unwrap().split('/').next().unwrap().to_owned();
    for part in [
        format!("clamd {version}"),
        "signatures without a version, of any age".into(),
        "read up to 2147483644 bytes, it tells what is beyond its limits".into(),
        format!("rules {}, signatures sha256:", env!("CARGO_PKG_VERSION")),
        "archives opened 4 deep".into(),
    ] {
        assert!(said.contains(&part), "{part:?} in {said}");
    }
    let silent = Server::start_with("AlertExceedsMax no\nAlertEncrypted no\n");
    let (is_well, said) = doctor(&clamd(&silent, any));
    assert!(is_well && said.contains("26214400 bytes once that is proved"), "{said}");
    assert!(said.contains("no archive is clean"), "{said}");
    // Signatures of our own bear no date, which a policy takes for old.
    let (is_well, said) = doctor(&clamd(&server, ""));
    assert!(!is_well && said.contains("at most 7 days"), "{said}");
}

#[test]
fn no_scanner_is_told_as_such() {
    let mut server = Server::start();
    let settings = clamd(&server, "");
    server.daemon().kill_9();
    let (is_well, said) = doctor(&settings);
    assert!(!is_well && said.contains("does not answer"), "{said}");
    let (is_well, said) = doctor("[scan]\nengine = \"rules\"\n");
    assert!(!is_well && said.contains("no antivirus answers"), "{said}");
    let (is_well, said) =
        doctor("[scan]\nengine = \"rules\"\n[scan.policy]\nrules_suffice = true\n");
    assert!(is_well && said.contains("rules suffice"), "{said}");
}
