//! The house plan holds, and the pages made from the tables are fresh.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use databridge_tests::layers::violations;

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn imports_point_down_only() {
    let found = violations(&repo().join("databridge-core/src")).unwrap();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_check_finds_what_is_wrong() {
    let found = violations(&repo().join("tests/fixtures/layers/broken")).unwrap();
    let expected = [
        "control/jobs.rs:1: control uses domains, which is not below it",
        "control/jobs.rs:4: SQL outside control/db and sql.rs",
        "domains/transfer/service.rs:1: domain transfer uses domain lineage::Lot",
        "media/copy.rs:1: media uses control, which is not below it",
    ];
    assert_eq!(found, expected);
}

/// A page whose content comes from code; `DATABRIDGE_BLESS=1` writes it anew.
fn fresh(page: &str, content: &str) {
    let path = repo().join(page);
    if std::env::var_os("DATABRIDGE_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == content, "{page} is stale: run the test with DATABRIDGE_BLESS=1");
}

#[test]
fn the_page_of_the_transfer_is_fresh() {
    use databridge_core::domains::transfer::state::{MACHINE, MATRIX, Permission};
    use databridge_core::workflow::Symbol;
    use std::fmt::Write;

    let mut page = String::from(
        "# The life of a transfer\n\n\
         Made from the tables in `databridge-core/src/domains/transfer/state.rs`; a test keeps it\n\
         fresh. `review` is shown under its stage's name: `team_lead_review`, `supervisor_review`,\n\
         `line_producer_review` in the default chain.\n\n```mermaid\n",
    );
    page.push_str(&MACHINE.mermaid());
    page.push_str("```\n\n## Steps\n\n| From | Action | To | Permission | When | Then |\n|---|---|---|---|---|---|\n");
    for row in MACHINE.transitions {
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} |",
            row.from.name(),
            row.action.name(),
            row.to.name(),
            row.permission.map_or("(the system)", Symbol::name),
            row.guard.map_or("", Symbol::name),
            row.work.unwrap_or_default(),
        )
        .unwrap();
    }
    page.push_str("\n## Roles\n\n| Role |");
    for permission in Permission::ALL {
        write!(page, " {} |", permission.name()).unwrap();
    }
    page.push_str(&format!("\n|---|{}\n", "---|".repeat(Permission::ALL.len())));
    for (role, granted) in MATRIX {
        write!(page, "| {role} |").unwrap();
        for permission in Permission::ALL {
            page.push_str(if granted.contains(permission) { " yes |" } else { "  |" });
        }
        page.push('\n');
    }
    page.push_str(
        "\nCreating reaches only one's own transfers unless \"override approvals\" comes with it,\n\
         cancelling unless \"execute transfers\" does. Reviewing takes the role of the stage that decides. Nobody approves their own\n\
         transfer, nor two stages of one.\n",
    );
    fresh("docs/transfer.md", &page);
}

#[test]
fn the_page_of_the_roles_is_fresh() {
    use std::fmt::Write;

    use databridge_core::app::roles::{all, table};

    let mut page = String::from(
        "# Roles\n\nMade from the table in `databridge-core/src/app/roles.rs`; a test keeps it fresh, and\n\
         another walks every role, action and state against a table typed from the source. The\n\
         first seven are the source's; a role may be granted everywhere or in one project, for a\n\
         time or for good, and a denial wins over any grant. Approving takes the role of the stage\n\
         that decides: one's own, or that of somebody who is away and named a deputy. Nobody\n\
         approves their own transfer, nor two stages of one, in whoever's place.\n\n| Area | Right |",
    );
    for role in all() {
        write!(page, " {role} |").unwrap();
    }
    write!(page, "\n|---|---|{}\n", "---|".repeat(all().len())).unwrap();
    for right in table() {
        write!(page, "| {} | {} |", right.area, right.permission).unwrap();
        for role in all() {
            page.push_str(if right.roles.contains(&role) { " yes |" } else { "  |" });
        }
        page.push('\n');
    }
    fresh("docs/roles.md", &page);
}

#[test]
fn the_page_of_the_lineage_is_fresh() {
    use std::fmt::Write;

    use databridge_core::domains::lineage::state::{
        LOTS, MATRIX, PAGES, Page, Permission, RUNS, VERSIONS,
    };
    use databridge_core::workflow::Symbol;

    let path = repo().join("docs/lineage.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (head, _) = written.split_once(LINEAGE_MARK).expect("the page has its mark");
    let mut page = format!("{head}{LINEAGE_MARK}\n");
    let diagrams = [
        ("Lots", LOTS.mermaid(), "leaving HOLD takes a note"),
        ("Runs", RUNS.mermaid(), "the system holds a run whose control point failed"),
        ("Flow versions", VERSIONS.mermaid(), "nobody publishes what they wrote"),
    ];
    for (title, diagram, note) in diagrams {
        write!(page, "\n### {title}\n{note}\n\n```mermaid\n{diagram}```\n").unwrap();
    }
    page.push_str("\n### Roles\n\n| Role |");
    for permission in Permission::ALL {
        write!(page, " {} |", permission.name()).unwrap();
    }
    write!(page, "\n|---|{}\n", "---|".repeat(Permission::ALL.len())).unwrap();
    for (role, granted) in MATRIX {
        write!(page, "| {role} |").unwrap();
        for permission in Permission::ALL {
            page.push_str(if granted.contains(permission) { " yes |" } else { "  |" });
        }
        page.push('\n');
    }
    page.push_str("\n### Pages of a console\n\n| Role |");
    for shown in Page::ALL {
        write!(page, " {} |", shown.name()).unwrap();
    }
    write!(page, "\n|---|{}\n", "---|".repeat(Page::ALL.len())).unwrap();
    for (role, cells) in PAGES {
        let cells: Vec<_> = cells.iter().map(|cell| cell.name()).collect();
        writeln!(page, "| {role} | {} |", cells.join(" | ")).unwrap();
    }
    fresh("docs/lineage.md", &page);
}

/// What stands below is made from the tables.
const LINEAGE_MARK: &str = "## Tables";

#[test]
fn the_page_of_the_rest_interface_is_fresh() {
    use databridge_core::app::routes::{PREFIX, ROUTES};

    let mut page = format!(
        "# REST\n\nMade from the table in `databridge-core/src/app/routes.rs`; a test keeps it fresh. Paths\n\
         are below `{PREFIX}`. Fields that are not in the path go into a JSON object (POST) or the\n\
         query (GET, DELETE). `Authorization: Bearer …` takes an access token or an API key;\n\
         `Idempotency-Key` makes a command that is sent twice be done once. Refusals are problem\n\
         documents (RFC 9457) with `code`, `kind` and `hint`; see [errors](errors.md).\n\n\
         | Method | Path | Call |\n|---|---|---|\n\
         | POST | /auth/login | `username`, `password`, `new_password` |\n\
         | POST | /auth/refresh | `refresh_token`; it is used up, and a second use ends the session |\n\
         | PUT | /transfers/{{code}}/files/{{*path}} | the body becomes the file; `?kind=empty_dir` a folder |\n\
         | POST | /transfers/{{code}}/uploads | tus 1.0: an upload in pieces begins |\n\
         | HEAD, PATCH, DELETE | /transfers/{{code}}/uploads/{{id}} | tus 1.0: its offset, its next piece, its end |\n"
    );
    for route in ROUTES {
        let method = format!("{:?}", route.method).to_uppercase();
        page.push_str(&format!("| {method} | {} | {} |\n", route.path, route.op));
    }
    page.push_str("\n`GET /api/health`, `/api/ready`, `/api/docs` (to browse) and `/api/v1/openapi.json` need no\n\
         sign-in. `/events` and `/transfers/{code}/events` stream what happens (server-sent\n\
         events, resumed by `Last-Event-ID`), `/activity/export` answers CSV or JSON lines.\n\n\
         What answers an `ETag` can be bound to it by `If-Match`: 412 where the version is\n\
         another now, 428 where a change takes one (`PATCH`). `*` is any version.\n");
    fresh("docs/rest.md", &page);
}

/// Every Rust source below these folders.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        collect(&repo().join(folder), &mut found);
    }
    found.sort();
    found
}

/// Where errors are defined.
const WITH_ERRORS: [&str; 4] =
    ["bindings/c/src", "databridge-core/src", "databridge-daemon/src", "databridge-py/src"];

/// Every stable code in the sources. Python's own are in its documentation.
fn codes() -> Vec<String> {
    let mut found = Vec::new();
    for (_, text) in sources(&WITH_ERRORS[..3]) {
        for body in text.split("fn code(&self) -> &str {").skip(1) {
            let body = &body[..body.find("\n    }").unwrap_or(body.len())];
            found.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The errors of a source that leave some of their codes without a hint.
fn hintless(text: &str) -> Vec<&str> {
    let faults = text.split("Fault for ").skip(1);
    let bare = faults.filter_map(|rest| {
        let (name, body) = rest.split_once(" {\n")?;
        let body = &body[..body.find("\n}").unwrap_or(body.len())];
        let hint = body.split_once("fn hint(&self)").map(|(_, hint)| hint);
        let hint = hint.map(|hint| &hint[..hint.find("\n    }").unwrap_or(hint.len())]);
        // Outside strings.
        let has_none = |hint: &str| hint.split('"').step_by(2).any(|code| code.contains("None"));
        hint.is_none_or(has_none).then_some(name)
    });
    bare.collect()
}

#[test]
fn every_error_says_what_to_do_next() {
    let mut found = Vec::new();
    for (path, text) in sources(&WITH_ERRORS) {
        let path = path.strip_prefix(repo()).unwrap().display().to_string();
        found.extend(hintless(&text).iter().map(|name| format!("{path}: {name}")));
    }
    assert!(found.is_empty(), "without a hint:\n{}", found.join("\n"));
}

#[test]
fn the_check_finds_errors_without_a_hint() {
    let with = |hint: &str| format!("impl Fault for Error {{\n    fn code() {{}}\n{hint}}}\n");
    let of = |body: &str| with(&format!("    fn hint(&self) -> Option<X> {{\n{body}\n    }}\n"));
    assert!(hintless(&of("        Some(\"If-None-Match\".into())")).is_empty());
    assert_eq!(hintless(&with("")), ["Error"]);
    assert_eq!(hintless(&of("        Some(match self { _ => return None })")), ["Error"]);
    assert_eq!(hintless(&of("        match self {\n            Self::Io => None,")), ["Error"]);
}

#[test]
fn only_the_c_interface_is_unsafe() {
    let folders = [&WITH_ERRORS[1..], &["tests/src", "tests/tests", "examples", "benches"]];
    let word = concat!("un", "safe");
    for (path, text) in sources(&folders.concat()) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // Outside strings, which may speak of it.
        let code = code.flat_map(|line| line.split('"').step_by(2));
        let mut words =
            code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
        assert!(!words.any(|found| found == word), "{} is {word}", path.display());
    }
}

#[test]
fn every_error_code_is_documented() {
    let page = std::fs::read_to_string(repo().join("docs/errors.md")).unwrap();
    let missing: Vec<_> =
        codes().into_iter().filter(|code| !page.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {}", missing.join(", "));
}

#[test]
fn the_table_of_metrics_is_fresh() {
    use std::fmt::Write;

    use databridge_core::app::METRICS;

    const MARK: &str = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n";
    let path = repo().join("docs/operations.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (head, rest) = written.split_once(MARK).expect("the page has its table");
    let (_, tail) = rest.split_once("\n## ").expect("something follows the table");
    let mut page = format!("{head}{MARK}");
    for (name, kind, labels, help) in METRICS {
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    fresh("docs/operations.md", &format!("{page}\n## {tail}"));
}
