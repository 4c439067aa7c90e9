//! The command line on a real S3 server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_tests::process::built;
use databridge_tests::s3::{ACCESS_KEY, SECRET_KEY, Server};
use databridge_tests::tree::{digest_tree, write_media};
use serde_json::Value;
use tempfile::TempDir;

/// A shop with a shot in it, and the settings of the server.
struct Shop {
    server: Server,
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("card")).unwrap();
        write_media(&folder.path().join("card"), 31);
        let settings = format!(
            "[s3]\nendpoint = \"{}\"\nregion = \"us-east-1\"\nallow_http = true\n\
             access_key_id = \"{ACCESS_KEY}\"\nsecret_access_key = \"{SECRET_KEY}\"\n",
            server.endpoint(),
        );
        fs::write(folder.path().join("settings.toml"), settings).unwrap();
        Self { server, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exit code and everything said.
    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut program = Command::new(built("databridge"));
        program.args(["--config", "settings.toml"]).args(args).current_dir(self.folder.path());
        program.env_clear().env("HOME", self.folder.path());
        let done = program.output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn code(&self, args: &[&str], expected: i32, says: &str) -> String {
        let (code, said) = self.run(args);
        assert_eq!(code, Some(expected), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {says:?} not in {said}");
        said
    }
}

/// Some file of the server's own folder that holds an object of this name.
fn stored(folder: &Path, name: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = entries.filter_map(|path| match path.is_dir() {
        true => Some(stored(&path, name)).filter(|path| path.exists()),
        false => path.file_name().is_some_and(|found| found == name).then_some(path),
    });
    found.next().unwrap_or_default()
}

#[test]
fn a_shot_goes_there_is_verified_damaged_told_and_comes_back() {
    let shop = Shop::new();
    const THERE: &str = "s3://production/show/card";
    let text = shop.code(&["--json", "copy", "card", THERE], 0, "");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["read_back"]["worth"], "server");
    assert_eq!(report["published"]["rename"], "conditional");
    // A second one replaces nothing.
    shop.code(&["copy", "card", THERE], 4, "already");
    shop.code(&["verify", THERE], 0, "");
    shop.code(&["copy", THERE, "back"], 0, "read back");
    assert_eq!(digest_tree(&shop.at("back")), digest_tree(&shop.at("card")));
    let sums = shop.code(&["checksum", THERE], 0, "");
    let known = shop.code(&["checksum", "card"], 0, "");
    let digests = |text: &str| {
        let mut all: Vec<_> = text.lines().map(|line| line[..64].to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(digests(&sums), digests(&known));
    shop.code(&["copy", "card", "s3://production/x", "--hard-links", "keep"], 2, "hard links");

    let object = stored(shop.server.folder(), "notes.txt");
    let mut bytes = fs::read(&object).unwrap();
    bytes[7] ^= 1;
    fs::write(&object, bytes).unwrap();
    shop.code(&["verify", THERE], 1, "notes.txt");
    shop.code(&["copy", THERE, "again"], 1, "notes.txt");
    assert!(!shop.at("again").exists());
    fs::remove_file(object).unwrap();
    shop.code(&["verify", THERE], 1, "notes.txt");
}

#[test]
fn a_list_says_what_goes_there() {
    let shop = Shop::new();
    let list = ["manifest", "create", "card", "--format", "json", "--output", "list.json"];
    shop.code(&list, 0, "");
    let copy = ["copy", "card", "s3://production/listed", "--manifest", "list.json"];
    fs::write(shop.at("card/.hidden"), "another").unwrap();
    shop.code(&copy, 1, ".hidden");
    // Some of it may have gone there before, or nothing: it is no delivery.
    shop.code(&["verify", "s3://production/listed"], 2, "s3://production/listed");
}
