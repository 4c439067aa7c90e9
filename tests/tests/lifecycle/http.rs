//! Every role, every action, every state over HTTP, against the table typed by hand: what
//! a real daemon lets through, and whom it names on each 403.

use databridge_tests::matrix::{ACTIONS, ROLES, STATES, TABLE};
use databridge_tests::studio::{Place, Running};
use serde_json::{Value, json};

use crate::lab::{Kind, Lab};
use crate::matrix::{legal, person, reach};

/// A daemon that serves the lab's store and leaves its work to the lab.
pub struct Served {
    pub running: Running,
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub required_roles: Vec<String>,
    pub text: String,
}

impl Answer {
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Served {
    pub fn of(lab: &Lab) -> Self {
        let config = lab.app.config();
        let places = config.places();
        let place = Place {
            data: config.data.clone(),
            staging: places.staging,
            production: places.production.as_path().unwrap().to_owned(),
            database: config.database.clone(),
        };
        let running = Running::start(&place, &vec![("WORKERS", "0".into())]);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { running: running.unwrap_or_else(|ended| panic!("{}", ended.output)), agent }
    }

    /// Asks once; `tag` goes into `If-Match`.
    pub fn ask(
        &self,
        bearer: &str,
        method: &str,
        path: &str,
        tag: Option<&str>,
        body: &Value,
    ) -> Answer {
        let url = format!("{}{path}", self.running.url);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        request = request.header("authorization", format!("Bearer {bearer}"));
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let answer = match method {
            "GET" | "DELETE" => self.agent.run(request.body(()).unwrap()),
            "PUT" => self.agent.run(
                request.header("content-type", "application/octet-stream").body("more").unwrap(),
            ),
            _ => self.agent.run(
                request.header("content-type", "application/json").body(body.to_string()).unwrap(),
            ),
        };
        let mut answer = answer.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let roles = answer.headers().get("x-required-roles");
        let roles = roles.map(|roles| roles.to_str().unwrap().split(", ").map(str::to_owned));
        Answer {
            status: answer.status().as_u16(),
            required_roles: roles.map(|roles| roles.collect()).unwrap_or_default(),
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    /// Does to a transfer what the table calls it.
    fn act(&self, lab: &Lab, role: &str, code: &str, action: &str, tag: Option<&str>) -> Answer {
        let because = json!({ "reason": "because" });
        let decision = json!({ "decision": action, "reason": "because" });
        let (method, path, body) = match action {
            "upload" => ("PUT", format!("transfers/{code}/files/more.exr"), json!({})),
            "submit" => ("POST", format!("transfers/{code}/submit"), json!({})),
            "cancel" => ("POST", format!("transfers/{code}/cancel"), because),
            "approve" => ("POST", format!("approvals/{code}/approve"), json!({})),
            "reject" => ("POST", format!("approvals/{code}/reject"), because),
            "override" => ("POST", format!("approvals/{code}/override"), because),
            "scan" => ("POST", format!("scanning/{code}/start"), json!({})),
            "start" => ("POST", format!("transfer-ops/{code}/start"), json!({})),
            "retry" => ("POST", format!("transfer-ops/{code}/retry"), json!({})),
            "recall" => ("POST", format!("transfer-ops/{code}/recall"), because),
            _ => ("POST", format!("scanning/{code}/decide"), decision),
        };
        self.ask(lab.secret(person(role)), method, &format!("/api/v1/{path}"), tag, &body)
    }
}

async fn walk(kind: Kind, states: &[&str]) {
    let lab = Lab::open(kind).await;
    let served = Served::of(&lab);
    for state in states {
        let code = reach(&lab, state).await;
        let version = lab.show(&code).await["version"].clone();
        for role in ROLES {
            for action in ACTIONS {
                let place = format!("{role} {action} in {state}");
                let row = legal(state, action);
                let allowed = row.is_some_and(|(_, _, who, _)| who.contains(&role));
                if allowed {
                    // Bound to a version that is gone it comes as far as that, and moves
                    // nothing; an upload cannot be bound, and is done below.
                    if action != "upload" {
                        let answer = served.act(&lab, role, &code, action, Some("\"0\""));
                        let told = (answer.status, answer.code());
                        assert_eq!(told, (412, "command.outdated".into()), "{place}: {answer:?}");
                    }
                    continue;
                }
                let answer = served.act(&lab, role, &code, action, None);
                match row {
                    Some((_, _, who, _)) => {
                        let told = (answer.status, answer.code());
                        assert_eq!(told, (403, "identity.forbidden".into()), "{place}: {answer:?}");
                        let mut who: Vec<_> = who.iter().map(|w| (*w).to_owned()).collect();
                        let mut roles = answer.required_roles;
                        who.sort();
                        roles.sort();
                        assert_eq!(roles, who, "{place}");
                    }
                    None if answer.status == 403 => {
                        // Whoever is named is not the caller.
                        assert!(!answer.required_roles.contains(&role.to_owned()), "{place}");
                    }
                    None => {
                        let told = (answer.status, answer.code());
                        assert_eq!(
                            told,
                            (409, "workflow.illegal_state".into()),
                            "{place}: {answer:?}"
                        );
                    }
                }
            }
        }
        let after = lab.show(&code).await;
        assert_eq!(after["version"], version, "somebody moved it in {state}");
        // One of those who may does it.
        for (_, action, who, to) in TABLE.iter().filter(|row| row.0 == *state) {
            let code = reach(&lab, state).await;
            let answer = served.act(&lab, who[0], &code, action, None);
            assert_eq!(answer.status, 200, "{} {action} in {state}: {answer:?}", who[0]);
            assert_eq!(lab.state(&code).await, *to, "{} {action} in {state}", who[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_approval_a_daemon_lets_through_what_the_table_says() {
    walk(Kind::Sqlite, &STATES[..8]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn around_the_scan_a_daemon_lets_through_what_the_table_says() {
    walk(Kind::Sqlite, &STATES[8..14]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_way_to_production_a_daemon_lets_through_what_the_table_says() {
    walk(Kind::Sqlite, &STATES[14..]).await;
}
