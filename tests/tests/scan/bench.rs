//! A folder of files, and short words for scanning it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_core::media::monitor::Monitor;
use databridge_core::media::scan::{
    Clamd, ClamdAddress, Engine, Engines, Files, Policy, Reason, Report, Settings, Verdict,
};
use databridge_core::media::storage::RelPath;
use databridge_tests::clamd::{Server, eicar};
use databridge_tests::process::{built, run};
use tempfile::TempDir;

pub struct Tree(TempDir);

impl Tree {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let tree = Self(tempfile::Builder::new().prefix("databridge-scan-").tempdir().unwrap());
        for (name, bytes) in files {
            tree.write(name, bytes);
        }
        tree
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    /// A file with a hole, and these bytes at its end.
    pub fn sparse(&self, name: &str, length: u64, end: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::create(self.path().join(name)).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(end, length - end.len() as u64).unwrap();
    }

    /// Archives of the test file that Python's own library wrote.
    pub fn archives(&self) {
        self.write("eicar.com", &eicar());
        run(Command::new("python3").arg("-c").arg(ARCHIVES).current_dir(self.path()));
        std::fs::remove_file(self.path().join("eicar.com")).unwrap();
    }

    pub fn files(&self) -> Vec<RelPath> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.iter().map(|name| RelPath::parse(name).unwrap()).collect()
    }

    pub fn scan(&self, engines: &Engines, monitor: &dyn Monitor) -> Report {
        engines.tree(self.path(), Files::Paths(&self.files()), monitor).unwrap()
    }

    /// What `engine` said of each file.
    pub fn said(&self, settings: &Settings, engine: &str) -> BTreeMap<String, Verdict> {
        let engines = Engines::open(settings).unwrap();
        let report = self.scan(&engines, &());
        let mut said: BTreeMap<_, _> =
            self.files().iter().map(|path| (path.to_string(), Verdict::Clean)).collect();
        for file in report.files {
            let verdict = file.findings.into_iter().find(|f| f.engine == engine).unwrap().verdict;
            said.insert(file.path.to_string(), verdict);
        }
        said
    }
}

const ARCHIVES: &str = r#"
import io, tarfile, zipfile, zlib
virus = open("eicar.com", "rb").read()
def packed(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()
inner = packed([("eicar.com", virus)])
nested = inner
for _ in range(4):
    nested = packed([("inner.zip", nested)])
open("eicar.zip", "wb").write(inner)
open("nested.zip", "wb").write(nested)
for by in ("gz", "xz"):
    with tarfile.open("eicar.tar." + by, "w:" + by) as archive:
        archive.add("eicar.com")
# ZipCrypto (APPNOTE 6.1)
def locked(content, password):
    table = [0] * 256
    for n in range(256):
        table[n] = n
        for _ in range(8):
            table[n] = table[n] >> 1 ^ (0xEDB88320 if table[n] & 1 else 0)
    one, two, three = 0x12345678, 0x23456789, 0x34567890
    out, check = bytearray(), zlib.crc32(content) >> 24
    for at, byte in enumerate(password + bytes(11) + bytes([check]) + content):
        if at >= len(password):
            mask = three | 2
            out.append(byte ^ (mask * (mask ^ 1) >> 8 & 255))
        one = one >> 8 ^ table[(one ^ byte) & 255]
        two = (two + (one & 255)) * 134775813 + 1 & 0xFFFFFFFF
        three = three >> 8 ^ table[(three ^ two >> 24) & 255]
    return bytes(out)
secret = bytearray(packed([("eicar.com", locked(virus, b"secret"))], zipfile.ZIP_STORED))
for at in (6, secret.index(b"PK\1\2") + 8):
    secret[at] |= 1
    secret[at + 8 : at + 12] = zlib.crc32(virus).to_bytes(4, "little")
    secret[at + 16 : at + 20] = len(virus).to_bytes(4, "little")
open("secret.zip", "wb").write(secret)
assert zipfile.ZipFile("secret.zip").read("eicar.com", b"secret") == virus
zeros = [(str(n), bytes(10 << 20)) for n in range(3)]
open("bomb.zip", "wb").write(packed(zeros))
open("eicar_bomb.zip", "wb").write(packed([*zeros, ("eicar.com", virus)]))
"#;

/// Signatures of our own bear no date.
pub fn settings(clamd: Clamd) -> Settings {
    let policy = Policy { signature_max_age_seconds: None, ..Policy::default() };
    Settings { engine: Engine::Clamd, clamd: Some(clamd), policy, ..Settings::default() }
}

pub fn unix(server: &Server) -> Clamd {
    Clamd::at(ClamdAddress::Unix(server.socket()))
}

pub fn tcp(server: &Server) -> Clamd {
    Clamd::at(ClamdAddress::Tcp(server.address().to_string()))
}

pub fn not(reason: Reason) -> Verdict {
    Verdict::not_scanned(reason)
}

pub fn infected(name: &str) -> Verdict {
    Verdict::Infected { name: format!("{name}.UNOFFICIAL") }
}

/// A built program that hears of no settings but those it is given.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(built(name));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("DATABRIDGE_") {
            command.env_remove(variable);
        }
    }
    command
}

/// What is flat: no archive and no document.
pub fn vdb(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(b" BDV");
    bytes
}

/// Our own signatures, where clamscan can be told of them.
pub fn signatures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/clamd/db")
}
