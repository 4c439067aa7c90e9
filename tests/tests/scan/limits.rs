//! How far clamd reads: told, configured, or proved, and else not believed.

use databridge_core::media::scan::{Engines, Reason, Verdict};
use databridge_tests::clamd::{Server, marker};
use databridge_tests::process::run;

use crate::bench::{Tree, infected, not, settings, unix, vdb};

const MB: usize = 1 << 20;

/// Media without a pattern, which takes time to look at.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = vdb(length);
    for byte in &mut bytes[4..] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 33) as u8;
    }
    bytes
}

fn said(server: &Server, content: &[u8]) -> Verdict {
    let tree = Tree::new(&[("a.vdb", content)]);
    tree.said(&settings(unix(server)), "clamd")["a.vdb"].clone()
}

#[test]
fn every_limit_that_is_told_is_not_scanned() {
    let tree = Tree::new(&[]);
    tree.archives();
    for (setting, name, expected) in [
        // clamd says OK: it cuts a deflated member and does not tell.
        ("MaxFileSize 1M", "bomb.zip", not(Reason::UnknownLimits)),
        ("MaxScanSize 1M", "bomb.zip", not(Reason::Limits)),
        ("MaxFiles 2", "bomb.zip", not(Reason::Limits)),
        ("MaxRecursion 3", "nested.zip", not(Reason::Limits)),
        ("MaxScanTime 1", "bomb.zip", not(Reason::Limits)),
        ("MaxRecursion 17", "nested.zip", infected("Eicar-Test-Body")),
    ] {
        let server = Server::start_with(&format!("{setting}\n"));
        let said = tree.said(&settings(unix(&server)), "clamd");
        assert_eq!(said[name], expected, "{setting}");
    }
}

#[test]
fn a_silent_daemon_is_believed_only_within_what_it_proved() {
    // A limit on time that nobody knows of cuts the file at the limit short, too.
    for (setting, expected) in [
        ("MaxFileSize 40M\nMaxScanSize 40M\n", Verdict::Clean),
        ("MaxFileSize 4M\n", not(Reason::UnknownLimits)),
        ("MaxScanSize 4M\n", not(Reason::UnknownLimits)),
        ("MaxScanTime 20\n", not(Reason::UnknownLimits)),
    ] {
        let server = Server::start_with(&format!("AlertExceedsMax no\n{setting}"));
        assert_eq!(said(&server, &vdb(MB)), expected, "{setting}");
    }
}

#[test]
fn what_its_configuration_says_counts() {
    let server = Server::start_with("AlertExceedsMax no\nMaxFileSize 8M\nMaxScanSize 30M\n");
    let mut clamd = unix(&server);
    clamd.config_file = Some(server.config_file());
    let settings = settings(clamd);
    let tree = Tree::new(&[
        ("large.vdb", &[vdb(8 * MB), marker()].concat()),
        ("small.vdb", &vdb(MB)),
        ("marked.vdb", &[vdb(7 * MB), marker()].concat()),
    ]);
    let said = tree.said(&settings, "clamd");
    assert_eq!(said["large.vdb"], not(Reason::TooLarge), "clamd itself says OK");
    assert_eq!(said["small.vdb"], Verdict::Clean);
    assert_eq!(said["marked.vdb"], infected("DataBridge.Test.Marker"));
}

#[test]
fn a_configuration_that_is_not_the_one_in_force_is_found_out() {
    // Edited after the daemon had read it.
    let server = Server::start_with("AlertExceedsMax no\nMaxFileSize 2M\nMaxScanSize 2M\n");
    let text = std::fs::read_to_string(server.config_file()).unwrap();
    let edited = text.replace("MaxFileSize 2M", "MaxFileSize 30M");
    std::fs::write(server.config_file(), edited.replace("ScanSize 2M", "ScanSize 30M")).unwrap();
    let mut clamd = unix(&server);
    clamd.config_file = Some(server.config_file());
    let tree = Tree::new(&[("a.vdb", &[vdb(3 * MB), marker()].concat())]);
    let said = tree.said(&settings(clamd), "clamd");
    assert_eq!(said["a.vdb"], not(Reason::UnknownLimits));
}

#[test]
fn a_limit_on_time_that_cuts_media_short_is_not_clean() {
    let marked = [noise(6 * MB), marker()].concat();
    for alert in ["yes", "no"] {
        let server = Server::start_with(&format!("AlertExceedsMax {alert}\nMaxScanTime 10\n"));
        let said = said(&server, &marked);
        assert!(!said.is_clean(), "{alert}: {said}");
    }
}

#[test]
fn a_daemon_that_does_not_tell_what_is_encrypted_is_not_believed_about_archives() {
    let server = Server::start_with("AlertEncrypted no\n");
    let tree = Tree::new(&[("a.vdb", &vdb(100))]);
    tree.archives();
    let said = tree.said(&settings(unix(&server)), "clamd");
    assert_eq!(said["secret.zip"], not(Reason::UnknownLimits), "clamd itself says OK");
    assert_eq!(said["a.vdb"], Verdict::Clean);
    assert_eq!(said["eicar.zip"], infected("Eicar-Test-Body"));
}

#[test]
fn a_daemon_without_signatures_calls_nothing_clean() {
    let mut server = Server::start();
    let engines = Engines::open(&settings(unix(&server))).unwrap();
    let tree = Tree::new(&[("a.vdb", &vdb(100))]);
    assert!(tree.scan(&engines, &()).passes());
    server.forget();
    assert_eq!(said(&server, &vdb(100)), not(Reason::NoSignatures));
}

/// A ZIP whose one member, deflated, has the marker behind 3 MiB, hidden in other files;
/// and one whose member is small.
const HIDDEN: &str = r#"
import gzip, io, os, sys, tarfile, zipfile
marker = bytes.fromhex(sys.argv[1])
def zipped(name, content, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, content)
    return out.getvalue()
def tarred(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
def write(name, content):
    assert len(content) < 1 << 20
    open(name, "wb").write(content)
long = zipped("lut.vdb", bytes(3 << 20) + marker)
junk = os.urandom(4096)
write("direct.zip", long)
write("in.tar", tarred("lut.dat", long))
write("in.tar.gz", gzip.compress(tarred("lut.dat", long)))
write("lut.dat.gz", gzip.compress(long))
write("stored.zip", zipped("lut.dat", long, zipfile.ZIP_STORED))
write("twice.zip", zipped("a.dat", zipped("b.dat", long)))
write("junk.bin", junk + long)
write("junk.tar", tarred("lut.dat", junk + long))
write("junk.txt", b"note\n" * 20_000 + long)
def record(kind, content, format=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        info = tarfile.TarInfo("lut")
        info.type, info.size = kind, len(content)
        archive.addfile(info, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("lut.vdb"), io.BytesIO())
    return out.getvalue()
write("folder.tar", record(tarfile.DIRTYPE, long))
write("link.tar", record(tarfile.LNKTYPE, long))
write("global.tar", record(tarfile.XGLTYPE, long))
write("name.tar", record(tarfile.GNUTYPE_LONGNAME, long))
directory = int.from_bytes(long[-6:-2], "little")
front = bytes(-(directory + 200) % 512) + long[:directory]
padded = bytearray(tarred("lut.vdb", front))
padded[512 + len(front) : 512 + len(front) + len(long) - directory] = long[directory:]
write("padding.tar", bytes(padded))
ends = [("lut.dat", junk[:100] + long[:-22]), ("lut.end", long[-22:])]
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w") as archive:
    for name, content in ends:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
split = bytearray(out.getvalue())
end = split.rindex(b"PK\x05\x06")
split[end + 16 : end + 20] = (512 + 100 + directory).to_bytes(4, "little")
write("split.tar", bytes(split))
stored = bytearray(gzip.compress(os.urandom(1000) + long, 0)) + gzip.compress(bytes(100_000))
write("members.gz", bytes(stored))
compressed = gzip.compress(b"note")
extra = len(long).to_bytes(2, "little") + long
write("extra.gz", compressed[:3] + b"\x04" + compressed[4:10] + extra + compressed[10:])
frame = b"\x28\xb5\x2f\xfd\x20\x04\x21\x00\x00note"
write("skipped.zst", frame + b"\x50\x2a\x4d\x18" + len(long).to_bytes(4, "little") + long)
small = zipped("lut.vdb", bytes(300 << 10))
write("small.tar", tarred("lut.dat", zipped("a.dat", small)))
write("small.zip", small)
write("plain.tar", tarred("lut.vdb", bytes(300 << 10)))
write("plain-pax.tar", record(tarfile.XGLTYPE, b"20 comment=a commit\n"))
write("plain.zst", frame)
"#;

#[test]
fn a_member_of_a_zip_that_is_cut_is_not_clean_wherever_the_zip_hides() {
    // clamd says OK to each of them: it cuts a deflated member and does not tell.
    let server = Server::start_with("MaxFileSize 1M\n");
    let tree = Tree::new(&[]);
    let marker: String = marker().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut python = std::process::Command::new("python3");
    run(python.args(["-c", HIDDEN, &marker]).current_dir(tree.path()));
    let mut clamd = unix(&server);
    clamd.config_file = Some(server.config_file());
    for (name, said) in tree.said(&settings(clamd), "clamd") {
        let is_small = name.starts_with("small") || name.starts_with("plain");
        let expected = if is_small { Verdict::Clean } else { not(Reason::UnknownLimits) };
        assert_eq!(said, expected, "{name}");
    }
}
