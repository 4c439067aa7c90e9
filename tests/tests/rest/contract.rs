//! The description of the interface is what the daemon serves, and other people's tools
//! read it: `openapi-typescript` makes types of it, `schemathesis` asks the daemon
//! everything that it allows and much that it does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use databridge_tests::process::run;
use serde_json::{Value, json};

use crate::desk::{Desk, Kind};

on_both!(answers_bear_what_browsers_need);

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Installed by `tests/rest/install.sh` below the target folder.
pub fn tool(name: &str) -> PathBuf {
    let path = repo().join("target/rest-tools").join(name);
    assert!(path.exists(), "{name} is missing: run tests/rest-tools.sh");
    path
}

#[test]
fn the_description_is_fresh_and_served() {
    let document = databridge_core::app::openapi::document();
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    let path = repo().join("docs/openapi.json");
    if std::env::var_os("DATABRIDGE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/openapi.json is stale: run the test with DATABRIDGE_BLESS=1");
    let desk = Desk::open(Kind::Sqlite);
    assert_eq!(desk.ok("", "GET", "/openapi.json", Value::Null), document);
}

#[test]
fn the_page_loads_nothing_of_anybody_else_s() {
    let desk = Desk::open(Kind::Sqlite);
    for path in ["/api/docs", "/api/docs/page.js", "/api/docs/page.css"] {
        let answer = desk.ask("", "GET", path, Value::Null);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.text.contains("://"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn types_are_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let types = folder.path().join("databridge.d.ts");
    run(Command::new(tool("node_modules/.bin/openapi-typescript"))
        .arg(repo().join("docs/openapi.json"))
        .arg("-o")
        .arg(&types));
    // As a program sees them: a call's body and its answer.
    let program = folder.path().join("use.ts");
    std::fs::write(
        &program,
        "import type { paths, components } from './databridge';\n\
         type Create = paths['/api/v1/transfers']['post'];\n\
         const body: NonNullable<Create['requestBody']>['content']['application/json'] =\n\
           { title: 'a', project: 'b', category: 'c' };\n\
         const view = {} as Create['responses'][200]['content']['application/json'];\n\
         const code: string = view.code;\n\
         const problem = {} as components['schemas']['Problem'];\n\
         const status: number = problem.status;\n\
         export { body, code, status };\n",
    )
    .unwrap();
    run(Command::new(tool("node_modules/.bin/tsc"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "false"])
        .arg(&program));
}

/// How it asks, and for how many examples of each operation; a long run also walks
/// every bound of every field.
fn effort() -> [&'static str; 4] {
    match std::env::var_os("DATABRIDGE_TEST_LONG") {
        Some(_) => ["--max-examples", "150", "--phases", "examples,coverage,fuzzing"],
        None => ["--max-examples", "3", "--phases", "examples,fuzzing"],
    }
}

fn strangers(kind: Kind) {
    let desk = Desk::open(kind);
    desk.submitted();
    let output = Command::new(tool("venv/bin/schemathesis"))
        .current_dir(desk.place.data.parent().unwrap())
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", desk.running.url))
        .args(["--header", &format!("Authorization: Bearer {}", desk.people.token("admin"))])
        .args(effort())
        .args(["--seed", "7", "--generation-deterministic", "--workers", "2"])
        .args(["--max-failures", "20"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,\
             response_schema_conformance,response_headers_conformance,unsupported_method",
        ])
        // A stream has no end; whoever signs out is signed out; a password is one's own.
        .args(["--exclude-operation-id", "events"])
        .args(["--exclude-operation-id", "transfer_events"])
        .args(["--exclude-operation-id", "logout"])
        .args(["--exclude-operation-id", "user_password"])
        .args(["--exclude-operation-id", "user_active"])
        .args(["--exclude-operation-id", "user_role"])
        .args(["--suppress-health-check", "all", "--no-color", "--request-timeout", "60"])
        .env_remove("DATABRIDGE_TOKEN")
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", repo().join("tests/tus"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    // That it asked at all, and nearly everything.
    assert!(told.contains("Tested: "), "{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn answers_bear_what_browsers_need(kind: Kind) {
    let settings = vec![("HTTP__ORIGINS", "[\"https://console.example\"]".into())];
    let desk = Desk::open_with(kind, &settings);
    for (path, status) in [("/transfers", 200), ("/nowhere", 404), ("/api/health", 200)] {
        let answer = desk.ask_with(
            "artist",
            "GET",
            path,
            &[("origin", "https://console.example"), ("x-request-id", "mine-1")],
            Value::Null,
        );
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").unwrap().contains("'none'"));
        assert_eq!(answer.header("x-request-id"), Some("mine-1"));
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://console.example"));
    }
    let ask = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,idempotency-key"),
        ];
        desk.ask_with("", "OPTIONS", "/transfers", &headers, Value::Null)
    };
    let answer = ask("https://console.example");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("access-control-allow-headers").unwrap().contains("idempotency-key"));
    assert_eq!(ask("https://evil.example").header("access-control-allow-origin"), None);
    // Nobody is let in whom the configuration does not name.
    let closed = Desk::open(kind);
    let headers = [("origin", "https://console.example")];
    let answer = closed.ask_with("artist", "GET", "/transfers", &headers, json!(null));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    // A name that a log would choke on is not taken over.
    let answer =
        closed.ask_with("artist", "GET", "/transfers", &[("x-request-id", "a b")], json!(null));
    assert_ne!(answer.header("x-request-id"), Some("a b"));
}

#[test]
fn a_stranger_s_tool_finds_no_fault() {
    strangers(Kind::Sqlite);
}

#[test]
fn a_stranger_s_tool_finds_no_fault_on_postgres() {
    strangers(Kind::Postgres);
}
