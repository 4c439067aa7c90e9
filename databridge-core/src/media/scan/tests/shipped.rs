//! Every shipped rule: a sample that it must find, and that it must not find in
//! ordinary files.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::*;

fn rules() -> Settings {
    Settings { engine: Engine::Rules, ..Settings::default() }
}

fn with_scripts() -> Settings {
    let content = ContentPolicy { scene_scripts: true, ..ContentPolicy::default() };
    Settings { content, ..rules() }
}

/// What the rules alone found in a file, by name.
fn found(settings: &Settings, name: &str, content: &[u8]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let report = scan(root.path(), &[(name, content)], settings);
    let Some(file) = report.files.first() else { return Vec::new() };
    let by_rules = file.findings.iter().filter(|f| f.engine == "rules");
    by_rules
        .filter_map(|finding| match &finding.verdict {
            Verdict::Suspicious { rule } => Some(rule.clone()),
            Verdict::Infected { name } => Some(name.clone()),
            Verdict::NotScanned { reason: Reason::NoAntivirus } => None,
            other => Some(other.to_string()),
        })
        .collect()
}

fn ole(with: &[u8]) -> Vec<u8> {
    [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &[0; 600], with, &[0; 64]].concat()
}

fn pdf(objects: &str) -> Vec<u8> {
    format!("%PDF-1.7\n1 0 obj\n{objects}\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n").into()
}

#[test]
fn each_rule_finds_its_sample() {
    let wide: Vec<u8> = "_VBA_PROJECT".bytes().flat_map(|b| [b, 0]).collect();
    let sheet = b"\x85\0\x10\0\x40\x05\0\0\x02\x01\x06\0Macro1";
    let lnk = b"\x4c\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
    let hidden = "A".repeat(130);
    let shell = format!("powershell.exe -nop -w hidden -enc {hidden}");
    let turned = "PK\x03\x04....shot\u{202e}rxe.exe".as_bytes().to_vec();
    let packed = format!("Text {{ label \"[python {{exec(base64.b64decode('{hidden}'))}}]\" }}");
    let samples: &[(&str, Vec<u8>, &str)] = &[
        ("a.docm", b"PK\x03\x04....word/vbaProject.bin....".to_vec(), "macro_document_ooxml"),
        ("a.xlsm", b"PK\x03\x04....xl/macrosheets/sheet1.xml".to_vec(), "macro_sheet_ooxml"),
        ("a.doc", ole(&wide), "macro_document_ole"),
        ("a.xls", ole(sheet), "macro_sheet_ole"),
        ("a.rtf", br"{\rtf1{\object\objupdate{\*\objdata 0105}}}".to_vec(), "rtf_object"),
        ("a.pdf", pdf("<< /S /Launch /F (cmd.exe) >>"), "pdf_that_launches"),
        ("b.pdf", pdf("<< /OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> >>"), "pdf_with_script"),
        ("c.pdf", pdf("<< /Type /EmbeddedFile /Length 4 >>"), "pdf_with_attachment"),
        ("a.txt", shell.into_bytes(), "powershell_hidden"),
        (
            "a.js",
            b"var s = new ActiveXObject('WScript.Shell'); var h = new ActiveXObject(\"MSXML2.XMLHTTP\");".to_vec(),
            "script_host_downloads",
        ),
        ("a.txt", b"<html><hta:application id=a></html>".to_vec(), "html_application"),
        ("a.zip", turned, "archive_name_turned_round"),
        ("b.zip", b"PK\x03\x04....shot.exr.exePK\x01\x02".to_vec(), "archive_double_extension"),
        ("a.exr", b"<html><script>alert(1)</script>".to_vec(), "hypertext_dressed_as_media"),
        ("a.mov", lnk.to_vec(), "shortcut_dressed_as_media"),
        (
            "a.ma",
            b"//Maya ASCII 2020\ncreateNode script -n \"vaccine_gene\";\ncreateNode script -n \"breed_gene\";".to_vec(),
            "Maya.VaccineGene",
        ),
        (
            "b.ma",
            b"//Maya ASCII 2020\ncreateNode script -n \"uifiguration\";\nbase64.urlsafe_b64decode".to_vec(),
            "maya_ui_configuration",
        ),
        ("a.nk", packed.into_bytes(), "scene_runs_hidden_code"),
    ];
    for (name, content, rule) in samples {
        let found = found(&rules(), name, content);
        assert!(found.iter().any(|found| found == rule), "{name}: {found:?}, not {rule}");
    }
}

#[test]
fn scripts_in_scenes_are_findings_only_where_the_policy_asks() {
    let node = b"//Maya ASCII 2024\ncreateNode script -n \"s\";\n\tsetAttr \".stp\" 1;\n";
    let callback = b"Root {\n inputs 0\n onScriptLoad \"import os\"\n}\n";
    let system = b"NoOp {\n tile_color \"\\[python {os.system('id')}]\"\n}\n";
    let blend = b"BLENDER-v405 import bpy\ndef register():\n    pass\n";
    for (name, content, rule) in [
        ("a.ma", &node[..], "maya_script_node"),
        ("a.nk", callback, "nuke_callback"),
        ("b.nk", system, "scene_calls_system"),
        ("a.blend", blend, "blender_text_that_registers"),
    ] {
        assert_eq!(found(&rules(), name, content), Vec::<String>::new(), "{name}");
        assert_eq!(found(&with_scripts(), name, content), [rule], "{name}");
    }
}

#[test]
fn a_finding_says_why_and_where() {
    let root = tempfile::tempdir().unwrap();
    let text = pdf("<< /S /Launch /F (cmd.exe) >>");
    let tar = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_path("docs/read me.pdf").unwrap();
        header.set_size(text.len() as u64);
        header.set_cksum();
        tar.append(&header, &text[..]).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    };
    let report = scan(root.path(), &[("a.tar.gz", &tar)], &rules());
    let finding = report.files[0].findings.iter().find(|f| f.engine == "rules").unwrap();
    assert_eq!(finding.verdict, Verdict::Suspicious { rule: "pdf_that_launches".into() });
    assert_eq!(
        finding.why.as_deref(),
        Some(
            "docs/read me.pdf: a PDF that starts a program, or a script when it is opened; \
             severity: high; source: ISO 32000-1, 12.6.4.5 and 12.6.4.16 (databridge/documents.yar)"
        )
    );
}

/// Noise that no compressor makes small, so that pictures are large enough to hold
/// any short pattern by chance.
fn noise(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

fn write_exr(path: &Path, compression: exr::prelude::Compression) {
    use exr::prelude::*;
    let mut next = noise(7);
    let pixels: Vec<f32> = (0..256 * 256).map(|_| (next() >> 8) as f32).collect();
    let channels = SpecificChannels::rgb(|at: Vec2<usize>| {
        let value = pixels[at.y() * 256 + at.x()];
        (value, value / 2.0, 0.5_f32)
    });
    let encoding = Encoding { compression, ..Encoding::FAST_LOSSLESS };
    let layer = Layer::new((256, 256), LayerAttributes::named("plate"), encoding, channels);
    Image::from_layer(layer).write().to_file(path).unwrap();
}

/// Real files of the formats that studios send, as far as programs are here that
/// write them.
fn ordinary(root: &Path) -> BTreeSet<String> {
    use exr::prelude::Compression as C;
    let write = |name: &str, content: &[u8]| std::fs::write(root.join(name), content).unwrap();
    for (name, how) in [
        ("raw.exr", C::Uncompressed),
        ("zip.exr", C::ZIP16),
        ("piz.exr", C::PIZ),
        ("rle.exr", C::RLE),
    ] {
        write_exr(&root.join(name), how);
    }
    write("shot.usda", b"#usda 1.0\n(\n    defaultPrim = \"shot\"\n)\ndef Xform \"shot\" {}\n");
    write(
        "cut.edl",
        b"TITLE: REEL 1\r\nFCM: NON-DROP FRAME\r\n001  A001C001 V C 00:00:01:00 00:00:02:00\r\n",
    );
    write("grade.cdl", b"<ColorDecisionList xmlns=\"urn:ASC:CDL:v1.01\"></ColorDecisionList>\n");
    write(
        "look.cube",
        b"TITLE \"look\"\nLUT_3D_SIZE 2\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n",
    );
    write(
        "comp.nk",
        b"Root {\n inputs 0\n name /show/comp.nk\n}\nRead {\n inputs 0\n file plate.%04d.exr\n}\n",
    );
    write(
        "rig.ma",
        b"//Maya ASCII 2024 scene\nrequires maya \"2024\";\ncreateNode transform -n \"rig\";\n",
    );
    write("notes.md", b"# Notes\n\nUse the exec producer's list; powershell is not needed.\n");
    write("otio.otio", br#"{"OTIO_SCHEMA": "Timeline.1", "name": "cut"}"#);
    write("plain.pdf", &pdf("<< /Type /Catalog /Pages 2 0 R >>"));
    let mut next = noise(99);
    let cache: Vec<u8> = (0..1 << 20).flat_map(|_| next().to_le_bytes()).collect();
    write("sim.vdb", &[&b" BDV\0\0\0\0"[..], &cache].concat());
    write("geo.abc", &[&b"Ogawa\xff\0\x01"[..], &cache].concat());
    write("cache.bin", &cache);
    let ffmpeg = |name: &str, arguments: &str| {
        let command = format!("ffmpeg -v error -nostdin -f lavfi -i {arguments} -y {name}");
        let ran = Command::new("sh").args(["-c", &command]).current_dir(root).status();
        assert!(ran.unwrap().success(), "{name}");
    };
    if Command::new("ffmpeg").arg("-version").output().is_ok() {
        let picture = "testsrc=size=128x72:rate=24 -frames:v 1";
        for name in ["a.png", "a.tif", "a.jpg", "a.dpx", "a.sgi", "a.tga", "a.jp2"] {
            ffmpeg(name, picture);
        }
        ffmpeg("a.mov", "testsrc=size=128x72:rate=24 -frames:v 24 -c:v mjpeg");
        ffmpeg("a.mp4", "testsrc=size=128x72:rate=24 -frames:v 24 -c:v mpeg4");
        ffmpeg("a.mxf", "testsrc=size=128x72:rate=24 -frames:v 24 -c:v mpeg2video");
        ffmpeg("a.mkv", "testsrc=size=128x72:rate=24 -frames:v 24 -c:v mjpeg");
        ffmpeg("a.avi", "testsrc=size=128x72:rate=24 -frames:v 24 -c:v mjpeg");
        for name in ["a.wav", "a.aiff", "a.flac", "a.caf"] {
            ffmpeg(name, "sine=duration=1");
        }
    }
    let names = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn ordinary_media_is_no_finding() {
    let root = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ordinary(root.path()).iter().map(|name| rel(name)).collect();
    assert!(paths.len() >= 16);
    let report = tree(root.path(), Files::Paths(&paths), &with_scripts(), &()).unwrap();
    let none = Verdict::not_scanned(Reason::NoAntivirus);
    for file in &report.files {
        assert_eq!(file.verdict, none, "{}: {:?}", file.path, file.findings);
    }
    assert_eq!(report.counts.not_scanned, paths.len() as u64);
}
