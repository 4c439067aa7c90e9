//! Everybody does their part.

use std::collections::HashMap;
use std::path::Path;

use databridge_core::Error;
use databridge_core::app::call::{Code, Decision};
use databridge_core::app::{App, Call, Config};
use databridge_core::control::identity::NewUser;
use databridge_core::domains::transfer::Create;
use databridge_core::domains::transfer::state::State;
use databridge_core::remote::Remote;
use serde_json::Value;

use crate::daemon::failure;

const PEOPLE: &[(&str, &str)] = &[
    ("artist", "artist"),
    ("lead", "team_lead"),
    ("supervisor", "supervisor"),
    ("producer", "line_producer"),
    ("data", "data_team"),
    ("it", "it_team"),
];

/// Makes the people known, each with a fresh password that is told to nobody else:
/// who runs this owns the store's files, and may.
pub async fn people(config: Config) -> Result<HashMap<&'static str, String>, Error> {
    let app = App::open(config).await?.app;
    let ctx = app.embedded(None).await?;
    let mut passwords = HashMap::new();
    for (username, role) in PEOPLE {
        let password = uuid::Uuid::new_v4().to_string();
        let new = NewUser {
            username: (*username).to_owned(),
            display_name: None,
            email: None,
            roles: vec![(*role).to_owned()],
            password: Some(password.clone()),
            password_hash: None,
            service: false,
        };
        match app.call(&ctx, Call::UserCreate(new), None).await {
            Err(error) if error.code() == "identity.user_exists" => {
                let username = (*username).to_owned();
                let new_password = password.clone();
                app.call(&ctx, Call::UserPassword { username, new_password }, None).await?;
            }
            other => drop(other?),
        }
        passwords.insert(*username, password);
    }
    app.close().await;
    Ok(passwords)
}

struct Team {
    clients: HashMap<&'static str, Remote>,
    code: String,
    seen: i64,
}

impl Team {
    fn call(&self, who: &str, call: &Call) -> Result<Value, Error> {
        match self.clients.get(who) {
            Some(client) => Ok(client.call(call, None)?),
            None => Err(failure(format!("find {who}"), std::io::ErrorKind::NotFound.into())),
        }
    }

    fn code(&self) -> Code {
        Code { code: self.code.clone() }
    }

    /// Prints what happened until the transfer waits for a person; answers its state.
    fn follow(&mut self) -> Result<String, Error> {
        loop {
            let state = self.call("data", &Call::TransferShow(self.code()))?;
            let state = state["state"].as_str().unwrap_or_default().to_owned();
            let resting = State::shown_rests(&state);
            let history = Call::TransferHistory {
                code: self.code.clone(),
                after: Some(self.seen),
                limit: None,
                wait: Some(if resting { 0 } else { 20 }),
            };
            for event in self.call("data", &history)?.as_array().into_iter().flatten() {
                self.seen = event["position"].as_i64().unwrap_or(self.seen);
                print_event(event);
            }
            if resting {
                return Ok(state);
            }
        }
    }
}

fn print_event(event: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = &event["data"];
    let mut detail = String::new();
    for (name, value) in [
        ("stage", &data["stage"]),
        ("verdict", &data["verdict"]["kind"]),
        ("because", &data["verdict"]["reason"]),
        ("because", &data["reason"]),
        ("read back", &data["read_back"]["worth"]),
        ("files", &data["file_count"]),
    ] {
        match value {
            Value::Null => {}
            Value::String(value) => detail.push_str(&format!("  {name}: {value}")),
            value => detail.push_str(&format!("  {name}: {value}")),
        }
    }
    let kind = text(&event["kind"]);
    let kind = kind.strip_prefix("transfer.").unwrap_or(&kind).to_owned();
    println!("  {:<18} {:<12}{detail}", kind, text(&event["by"]["username"]));
}

/// Carries `source` from upload to delivery, printing each step.
pub fn deliver(
    url: &str,
    people: &HashMap<&'static str, String>,
    source: &Path,
) -> Result<(), Error> {
    let daemon = Remote::new(url, None);
    let mut clients = HashMap::new();
    for (username, password) in people {
        let session = daemon.login(username, password, None)?;
        clients.insert(*username, daemon.with_token(session.access_token));
    }
    let mut team = Team { clients, code: String::new(), seen: -1 };
    let title = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let create = Create {
        title: format!("{title}: first delivery"),
        project: "demo".into(),
        category: "plates".into(),
        chain: None,
        priority: None,
        parents: Vec::new(),
        metadata: Default::default(),
    };
    let created = team.call("artist", &Call::TransferCreate(create))?;
    team.code = created["code"].as_str().unwrap_or_default().to_owned();
    println!("\n{} carries {}", team.code, source.display());
    if let Some(artist) = team.clients.get("artist") {
        artist.add(&team.code, source, &())?;
    }
    team.call("artist", &Call::TransferSubmit(team.code()))?;
    team.follow()?;
    for reviewer in ["lead", "supervisor", "producer"] {
        let approve =
            Call::Approve { code: team.code.clone(), manifest_digest: None, comment: None };
        team.call(reviewer, &approve)?;
    }
    team.call("data", &Call::Scan(team.code()))?;
    let mut state = team.follow()?;
    if state == "undecided" {
        println!("  no engine that may say clean has read everything: the data team decides");
        let decide = Call::Decide {
            code: team.code.clone(),
            decision: Decision::Accept,
            reason: "demonstration on a host without a current antivirus".into(),
        };
        team.call("data", &decide)?;
        state = team.follow()?;
    }
    if state == "infected" {
        let why = "found infected".to_owned();
        let decision = Decision::SendBack;
        team.call("data", &Call::Decide { code: team.code.clone(), decision, reason: why })?;
    }
    team.call("it", &Call::Start(team.code()))?;
    let state = team.follow()?;
    let show = team.call("data", &Call::TransferShow(team.code()))?;
    if state != "delivered" {
        let why = std::io::Error::other(show["failure"].to_string());
        return Err(failure(format!("deliver {}: it is {state}", team.code), why));
    }
    explain(&show);
    Ok(())
}

fn explain(show: &Value) {
    let payload = show["destination"].as_str().unwrap_or_default();
    println!("\nDelivered and read back: {payload}");
    println!(
        "  {} files, {} bytes, manifest {}",
        show["file_count"],
        show["total_bytes"],
        show["manifest_digest"].as_str().unwrap_or_default()
    );
    println!("Its proof: {payload}.proof");
    println!("  receipt.txt reads, receipt.json proves. Check it yourself:");
    println!("  (cd {payload} && sha256sum -c {payload}.proof/SHA256SUMS)");
    println!(
        "  target/debug/databridge receipt verify {payload}.proof/receipt.json --tree {payload}"
    );
    println!("  target/debug/databridge verify {payload}");
}
