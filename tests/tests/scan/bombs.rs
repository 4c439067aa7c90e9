//! What an archive may cost: the memory of a program that scans bombs.

use std::process::Command;

use databridge_tests::process::{built, run};

use crate::bench::Tree;

/// All that comes out of a file before it is left.
const UNPACKED_BYTES: u64 = 192 << 20;
/// What the program may hold meanwhile; it needs some 30 MiB for a note.
const MOST_BYTES: u64 = 176 << 20;

/// A policy that knows no bombs, only how much may come out.
fn lenient() -> String {
    format!(
        "[scan]\nthreads = 2\n[scan.content.archives]\nratio = 1000000000\n\
         unpacked_bytes = {UNPACKED_BYTES}\n"
    )
}

/// Python's own libraries write them.
const BOMBS: &str = r#"
import bz2, gzip, io, lzma, struct, tarfile, zipfile
zeros, mib = bytes(1 << 20), 256
def stream(opened):
    with opened as out:
        for _ in range(mib):
            out.write(zeros)
stream(gzip.open("a.gz", "wb", 1))
stream(lzma.open("a.xz", "wb", preset=0))
with zipfile.ZipFile("large.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
    for n in range(2):
        with archive.open(f"{n}.bin", "w") as out:
            for _ in range(mib // 2):
                out.write(zeros)
with zipfile.ZipFile("many.zip", "w") as archive:
    for n in range(120_000):
        archive.writestr(f"{n:0200}", b"")
inner = open("a.gz", "rb").read()
for depth in range(3):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.zip" if depth else "a.gz", inner)
    inner = out.getvalue()
open("nested.zip", "wb").write(inner)
with tarfile.open("long.tar", "w", format=tarfile.PAX_FORMAT) as archive:
    for n in range(20):
        archive.addfile(tarfile.TarInfo("x/" * 400_000 + str(n)))
with tarfile.open("names.tar.gz", "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
    for n in range(60):
        archive.addfile(tarfile.TarInfo("\x01" * 1_000_000 + str(n)))
# A directory and nothing else (APPNOTE 4.3.12, 4.3.14 to 4.3.16).
count = 800_000
fixed = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[20] * 2, *[0] * 7, 4, *[0] * 6)
listed = b"".join(fixed + b"%04x" % n if n < 1 << 16 else fixed + struct.pack("<L", n)
                  for n in range(count))
with open("crowd.zip", "wb") as out:
    # It begins as an archive does.
    out.write(b"PK\3\4" + bytes(26))
    out.write(listed)
    at = 30 + len(listed)
    out.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count,
                          len(listed), 30))
    out.write(struct.pack("<4sLQL", b"PK\6\7", 0, at, 1))
    out.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xffff, 0xffff, 0xffffffff,
                          0xffffffff, 0))
"#;

/// Runs a program to its end; answers its exit code, its most memory at a time, and
/// what it printed.
const MEASURED: &str = r#"
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
print(json.dumps([done.returncode, peak, json.loads(done.stdout)["report"]]))
"#;

fn scan(tree: &Tree, policy: &str, name: &str) -> (i64, u64, serde_json::Value) {
    let settings = tree.path().join("policy.toml");
    std::fs::write(&settings, policy).unwrap();
    let mut command = Command::new("python3");
    command.arg("-c").arg(MEASURED).arg(built("databridge"));
    command.args(["--json", "scan", "--engine", "rules", "--policy"]).arg(settings);
    let said = run(command.arg(tree.path().join(name)));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    (said[0].as_i64().unwrap(), said[1].as_u64().unwrap(), said[2].clone())
}

#[test]
fn memory_does_not_follow_what_comes_out_of_an_archive() {
    let tree = Tree::new(&[]);
    run(Command::new("python3").arg("-c").arg(BOMBS).current_dir(tree.path()));
    for (name, verdict, usual) in [
        ("a.gz", "limits", 1),
        ("a.xz", "limits", 1),
        ("large.zip", "limits", 1),
        ("many.zip", "limits", 6),
        ("nested.zip", "limits", 1),
        ("long.tar", "no_antivirus", 0),
        ("names.tar.gz", "content.archive_path", 1),
        ("crowd.zip", "limits", 6),
    ] {
        let (_, peak, report) = scan(&tree, &lenient(), name);
        eprintln!("{name}: {} MiB", peak >> 20);
        assert!(peak < MOST_BYTES, "{name}: {} MiB", peak >> 20);
        let findings = report["files"][0]["findings"].to_string();
        assert!(findings.contains(verdict), "{name}: {findings}");
        let (code, peak, report) = scan(&tree, "[scan]\n", name);
        assert!(peak < MOST_BYTES, "{name}: {} MiB", peak >> 20);
        assert_eq!(code, usual, "{name}: {}", report["verdict"]);
    }
}
