use super::*;

fn rules() -> Settings {
    Settings { engine: Engine::Rules, ..Settings::default() }
}

fn suspicious(rule: &str) -> Verdict {
    Verdict::Suspicious { rule: rule.into() }
}

fn scan_one(name: &str, content: &[u8]) -> Verdict {
    let root = tempfile::tempdir().unwrap();
    scan(root.path(), &[(name, content)], &rules()).verdict
}

#[test]
fn the_test_virus_is_found() {
    let infected = Verdict::Infected { name: "EICAR-Test-File".into() };
    assert_eq!(eicar().len(), 68);
    assert_eq!(scan_one("note.txt", &eicar()), infected);
    assert_eq!(scan_one("note.txt", &[eicar(), b"  \r\n".to_vec()].concat()), infected);
    let inside = [vec![b' '; 5000], eicar()].concat();
    assert_eq!(scan_one("note.txt", &inside), suspicious("eicar_inside"));
}

#[test]
fn rules_alone_never_say_clean() {
    let none = Verdict::not_scanned(Reason::NoAntivirus);
    assert_eq!(scan_one("a.exr", &exr(100)), none);
    assert_eq!(scan_one("empty", b""), none);
    let root = tempfile::tempdir().unwrap();
    assert_eq!(scan(root.path(), &[], &rules()).verdict, none);
}

#[test]
fn what_is_dressed_as_media() {
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
    let mut pe = vec![0; 0x100];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    for (name, content, rule) in [
        ("a.exr", &elf[..], "elf_dressed_as_media"),
        ("a.mov", &pe[..], "pe_dressed_as_media"),
        ("a.dpx", b"\xcf\xfa\xed\xfe\x07\0\0\x01", "macho_dressed_as_media"),
        ("a.jpg", b"#!/bin/sh\nrm -rf /\n", "script_dressed_as_media"),
        ("a.png", b"<?php system($_GET['c']); ?>", "script_dressed_as_media"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let report = scan(root.path(), &[(name, content)], &rules());
        let found = &report.files[0].findings;
        let by_rules: Vec<_> = found.iter().filter(|f| f.engine == "rules").collect();
        assert_eq!(by_rules[0].verdict, suspicious(rule), "{name}");
    }
    assert_eq!(scan_one("tool", elf), suspicious("content.executable"));
}

#[test]
fn documents_that_run() {
    let ooxml = b"PK\x03\x04....word/vbaProject.bin....";
    assert_eq!(scan_one("a.docm", ooxml), suspicious("macro_document_ooxml"));
    let wide: Vec<u8> = "_VBA_PROJECT".bytes().flat_map(|b| [b, 0]).collect();
    let ole = [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &[0; 600], &wide].concat();
    assert_eq!(scan_one("a.doc", &ole), suspicious("macro_document_ole"));
    let pdf = b"%PDF-1.7\n1 0 obj << /S /Launch /F (cmd.exe) >> endobj";
    assert_eq!(scan_one("a.pdf", pdf), suspicious("pdf_that_launches"));
    assert_eq!(scan_one("b.pdf", b"%PDF-1.7\n"), Verdict::not_scanned(Reason::NoAntivirus));
}

#[test]
fn executables_pass_where_policy_lets_them() {
    let root = tempfile::tempdir().unwrap();
    let files: &[(&str, &[u8])] = &[("run.sh", b"#!/bin/sh\n"), ("tool", b"\x7fELF\x02\x01")];
    assert!(matches!(scan(root.path(), files, &rules()).verdict, Verdict::Suspicious { .. }));
    let mut lenient = rules();
    lenient.policy = Policy { allow_executables: true, rules_suffice: true, ..Policy::default() };
    let report = scan(root.path(), files, &lenient);
    assert!(report.passes());
    assert!(report.policy.rules_suffice && report.policy.allow_executables, "the report says so");
}

#[test]
fn a_file_seen_in_part_is_not_clean_even_where_rules_suffice() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = Settings { rules_whole_bytes: 1000, rules_read_bytes: 0, ..rules() };
    settings.policy.rules_suffice = true;
    let large = exr((16 << 20) + 1);
    let files: &[(&str, &[u8])] = &[("small.exr", &exr(1000)), ("large.exr", &large)];
    let report = scan(root.path(), files, &settings);
    assert_eq!(on(&report, "small.exr"), Verdict::Clean);
    assert_eq!(on(&report, "large.exr"), Verdict::not_scanned(Reason::TooLarge));
    settings.rules_read_bytes = 1 << 30;
    assert_eq!(on(&scan(root.path(), files, &settings), "large.exr"), Verdict::Clean);
}

#[test]
fn a_large_file_is_seen_at_its_true_offsets() {
    let root = tempfile::tempdir().unwrap();
    let put = |at: usize| {
        let mut bytes = exr(20 << 20);
        bytes[at..at + 68].copy_from_slice(&eicar());
        bytes
    };
    let (tail, middle) = (put((20 << 20) - 68), put((8 << 20) - 34));
    let mut head = vec![0; 20 << 20];
    head[..68].copy_from_slice(&eicar());
    let files: &[(&str, &[u8])] =
        &[("tail.exr", &tail), ("middle.exr", &middle), ("head.bin", &head)];
    let settings = Settings { rules_whole_bytes: 1000, ..rules() };
    let report = scan(root.path(), files, &settings);
    assert_eq!(on(&report, "tail.exr"), suspicious("eicar_inside"));
    assert_eq!(on(&report, "middle.exr"), suspicious("eicar_inside"), "between two windows");
    assert_eq!(on(&report, "head.bin"), Verdict::Infected { name: "EICAR-Test-File".into() });
    let ends = Settings { rules_read_bytes: 0, ..settings };
    let report = scan(root.path(), files, &ends);
    assert_eq!(on(&report, "tail.exr"), suspicious("eicar_inside"));
    assert_eq!(on(&report, "middle.exr"), Verdict::not_scanned(Reason::NoAntivirus));
}

#[test]
fn a_studio_adds_its_own_rules() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    rule(
        "a.yar",
        "rule leak { strings: $a = \"TOP SECRET\" condition: $a and extension == \"txt\" }",
    );
    rule(
        "b.yara",
        "rule bad { meta: verdict = \"infected\" name = \"Studio.Bad\" strings: $a = \"BADBAD\" condition: $a }",
    );
    rule("readme.md", "not a rule");
    let mut settings = rules();
    settings.rules_dir = Some(folder.path().into());
    let root = tempfile::tempdir().unwrap();
    let files: &[(&str, &[u8])] =
        &[("a.txt", b"TOP SECRET"), ("b.dat", b"TOP SECRET"), ("c.dat", b"BADBAD")];
    let report = scan(root.path(), files, &settings);
    assert_eq!(on(&report, "a.txt"), suspicious("leak"));
    assert_eq!(on(&report, "b.dat"), Verdict::not_scanned(Reason::NoAntivirus));
    assert_eq!(report.verdict, Verdict::Infected { name: "Studio.Bad".into() });
    let versions = |r: &Report| r.engines[1].signature_version.clone();
    assert_ne!(versions(&report), versions(&scan(root.path(), files, &rules())));

    rule("c.yar", "rule broken {");
    let error = tree(root.path(), Files::Paths(&[]), &settings, &()).unwrap_err();
    let Error::Rules { path, .. } = error else { panic!("{error}") };
    assert!(path.ends_with("c.yar"));
}

#[test]
fn a_studios_rules_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yar");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("rule first { strings: $a = \"MARK\" condition: $a }");
    let settings = Settings { rules_dir: Some(folder.path().into()), ..rules() };
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a.txt"), "MARK").unwrap();
    let engines = Engines::open(&settings).unwrap();
    let look = || engines.tree(root.path(), Files::Paths(&[rel("a.txt")]), &());
    let version = |report: &Report| report.engines[1].signature_version.clone();
    let first = look().unwrap();
    assert_eq!(first.verdict, suspicious("first"));
    assert_eq!(version(&look().unwrap()), version(&first));

    write("rule other { strings: $a = \"MARK\" condition: $a }");
    let second = look().unwrap();
    assert_eq!(second.verdict, suspicious("other"));
    assert_ne!(version(&second), version(&first));

    write("rule fine { condition: false }\n\nrule broken { condition: $none }");
    let error = look().unwrap_err().to_string();
    assert!(error.contains("a.yar") && error.contains("line 3:"), "{error}");
    write("include \"/etc/passwd\"");
    assert!(matches!(look(), Err(Error::Rules { .. })), "one file says all");
    write("rule again { strings: $a = \"MARK\" condition: $a }");
    assert_eq!(look().unwrap().verdict, suspicious("again"));
}

#[test]
fn a_rule_that_takes_too_long_is_not_clean() {
    let folder = tempfile::tempdir().unwrap();
    let text = "rule slow { condition: for all i in (0..9223372036854775806) : (i >= 0) }";
    std::fs::write(folder.path().join("slow.yar"), text).unwrap();
    let mut settings = Settings { rules_dir: Some(folder.path().into()), ..rules() };
    settings.file_timeout_seconds = 1;
    settings.policy.rules_suffice = true;
    let root = tempfile::tempdir().unwrap();
    let files: &[(&str, &[u8])] = &[("a.txt", b"note")];
    let report = scan(root.path(), files, &settings);
    assert_eq!(report.verdict, Verdict::not_scanned(Reason::TimedOut));
}

#[test]
fn nobody_waives_malware() {
    let root = tempfile::tempdir().unwrap();
    let waive = vec!["*".to_owned()];
    let content = ContentPolicy { waive, ..ContentPolicy::default() };
    let settings = Settings { content, ..rules() };
    let files: &[(&str, &[u8])] = &[("a.txt", &eicar()), ("run.sh", b"#!/bin/sh\n")];
    let report = scan(root.path(), files, &settings);
    assert!(on(&report, "a.txt").is_infected());
    assert_eq!(on(&report, "run.sh"), Verdict::not_scanned(Reason::NoAntivirus));
    assert_eq!(report.policy.waived, ["*"], "the report says so");
}
