//! The built `databridge` against the built `databridged`: signing in, the stored
//! token, and the main job from afar.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

struct Studio {
    daemon: Child,
    url: String,
    folder: TempDir,
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Studio {
    fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_databridged"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("store"))
            .env_remove("DATABRIDGE_DATABASE")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
        let mut next =
            |prefix: &str| lines.next().unwrap().unwrap().strip_prefix(prefix).unwrap().to_owned();
        fs::write(folder.path().join("one-time"), next("one-time password for admin: ")).unwrap();
        let url = next("listening on ");
        let studio = Self { daemon, url, folder };
        studio.secret("admin", "a new password for admin");
        let login = ["token", "login", "admin", "--password-file", "one-time"];
        studio.fails("admin", &login, 3, "must be changed");
        studio.ok("admin", &[&login[..], &["--new-password-file", "admin.secret"]].concat());
        for (name, role) in [
            ("artist", "artist"),
            ("lead", "team_lead"),
            ("supervisor", "supervisor"),
            ("producer", "line_producer"),
            ("data", "data_team"),
            ("it", "it_team"),
        ] {
            studio.secret(name, &format!("a long password for {name}"));
            let file = format!("{name}.secret");
            studio.ok("admin", &["user", "create", name, "--role", role, "--password-file", &file]);
            studio.ok(name, &["token", "login", name, "--password-file", &file]);
        }
        studio
    }

    fn secret(&self, name: &str, password: &str) {
        fs::write(self.folder.path().join(format!("{name}.secret")), password).unwrap();
    }

    /// Where `who` keeps tokens.
    fn home(&self, who: &str) -> std::path::PathBuf {
        self.folder.path().join("home").join(who)
    }

    /// Runs the command line as `who`, by the token that they stored.
    fn run(&self, who: &str, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_databridge"))
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.home(who))
            .env("DATABRIDGE_SERVER", &self.url)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn ok(&self, who: &str, args: &[&str]) -> String {
        let (code, said) = self.run(who, args);
        assert_eq!(code, 0, "{who} {args:?}: {said}");
        said
    }

    #[track_caller]
    fn fails(&self, who: &str, args: &[&str], code: i32, says: &str) {
        let (found, said) = self.run(who, args);
        assert_eq!(found, code, "{who} {args:?}: {said}");
        assert!(said.contains(says), "{says:?} in {said}");
    }
}

fn shot(folder: &Path) {
    fs::create_dir_all(folder.join("src/empty")).unwrap();
    fs::write(folder.join("src/notes.txt"), "hold the last frames\n").unwrap();
}

#[test]
fn the_main_job_from_afar() {
    let studio = Studio::open();
    shot(studio.folder.path());
    let create = ["transfer", "create", "shot", "--project", "film", "--category", "plates"];
    let code = studio.ok("artist", &create).trim().to_owned();
    studio.ok("artist", &["transfer", "add", &code, "src"]);
    let submitted = studio.ok("artist", &["transfer", "submit", &code, "--wait"]);
    assert!(submitted.contains("team_lead_review"), "{submitted}");
    let explained = studio.ok("artist", &["explain", &code]);
    assert!(explained.contains("waits for a team_lead"), "{explained}");
    studio.fails("nobody", &["explain", &code], 3, "sign in");
    for who in ["lead", "supervisor", "producer"] {
        assert!(studio.ok(who, &["transfer", "list", "--waiting"]).contains(&code));
        studio.ok(who, &["transfer", "approve", &code]);
    }
    studio.fails("data", &["transfer", "scan", &code, "--wait"], 6, "undecided");
    let decide = ["transfer", "decide", &code, "accept", "--reason", "looked at by hand"];
    let decided = studio.ok("data", &[&decide[..], &["--wait"]].concat());
    assert!(decided.contains("scanned"), "{decided}");
    studio.fails("artist", &["transfer", "start", &code], 3, "it_team");
    let other = studio.ok("artist", &create).trim().to_owned();
    studio.ok("artist", &["transfer", "add", &other, "src"]);
    let gone = studio.ok("artist", &["transfer", "cancel", &other, "--reason", "old", "--wait"]);
    assert!(gone.contains("cancelled"), "{gone}");
    studio.ok("it", &["transfer", "start", &code]);
    let watched = studio.ok("it", &["transfer", "watch", &code]);
    assert!(watched.contains("delivered"), "{watched}");
    let payload = studio.folder.path().join("store/production/film/plates").join(&code);
    assert!(payload.join("empty").is_dir());
    assert!(studio.ok("artist", &["receipt", "show", &code]).contains("Authority: daemon"));
    // A daemon's word needs no allowance.
    let proof = format!("{}.proof/receipt.json", payload.display());
    studio.ok("it", &["receipt", "verify", &proof, "--tree", payload.to_str().unwrap()]);
    studio.ok("admin", &["ledger", "verify"]);
}

#[test]
fn tokens_and_keys_end() {
    let studio = Studio::open();
    let stored = studio.home("artist").join("databridge/tokens.json");
    assert_eq!(stored.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let key = studio.ok("artist", &["token", "create", "farm"]).trim().to_owned();
    studio.ok("nobody", &["--token", &key, "transfer", "list"]);
    studio.ok("artist", &["token", "revoke", "farm"]);
    studio.fails("nobody", &["--token", &key, "transfer", "list"], 3, "not accepted");
    studio.ok("artist", &["token", "logout"]);
    studio.fails("artist", &["transfer", "list"], 3, "signed in");
    studio.ok("admin", &["user", "deactivate", "lead"]);
    studio.fails("lead", &["transfer", "list"], 3, "not accepted");
}
