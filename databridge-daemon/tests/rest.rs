//! The built `databridged` over plain HTTP: the main job, and everything wrong with a
//! request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

struct Daemon {
    child: Child,
    url: String,
    one_time: String,
    agent: Agent,
    _data: TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    content_type: String,
    headers: ureq::http::HeaderMap,
    body: Value,
}

fn daemon(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_databridged"));
    command
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env_remove("DATABRIDGE_DATABASE")
        .env("DATABRIDGE_MAX_UPLOAD_BYTES", "100000")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn start() -> Daemon {
    start_with(&[])
}

fn start_with(settings: &[(&str, &str)]) -> Daemon {
    let data = TempDir::new().unwrap();
    let mut child = daemon(data.path()).envs(settings.iter().copied()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        |prefix: &str| lines.next().unwrap().unwrap().strip_prefix(prefix).unwrap().to_owned();
    let one_time = next("one-time password for admin: ");
    let url = format!("{}/api/v1", next("listening on "));
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        // Less than a request may wait for events, so that one nobody wakes is found.
        .timeout_global(Some(std::time::Duration::from_secs(45)))
        .build()
        .into();
    Daemon { child, url, one_time, agent, _data: data }
}

impl Daemon {
    fn send(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
        extra: &[(&str, &str)],
    ) -> Answer {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let headers = response.headers().clone();
        Answer {
            status: response.status().as_u16(),
            content_type: headers
                .get("content-type")
                .map(|v| v.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// Waits until the daemon counts an answer, as somebody who may see that and asks as often
    /// as it takes.
    fn has_answered(&self, token: &str, method: &str, status: &str) {
        let metrics = self.url.replace("/api/v1", "/metrics");
        let token = format!("Bearer {token}");
        let counted = format!("method=\"{method}\",status=\"{status}\"");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let told = self.agent.get(&metrics).header("authorization", &token).call();
            let mut told = told.unwrap();
            let text = told.body_mut().read_to_string().unwrap();
            if text.contains(&counted) {
                return;
            }
            assert!(Instant::now() < deadline, "{counted} is not in {text}");
        }
    }

    fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send("POST", path, token, body.to_string().as_bytes(), &[])
    }

    fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, token, b"", &[])
    }

    #[track_caller]
    fn refuses(&self, answer: &Answer, status: u16, code: &str) {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.content_type, "application/problem+json");
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        assert_eq!(answer.body["status"], status);
    }

    fn login(&self, username: &str, password: &str) -> String {
        let answer =
            self.post("/auth/login", "", json!({ "username": username, "password": password }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    fn admin(&self) -> String {
        let body = json!({
            "username": "admin", "password": self.one_time, "new_password": "a new password for admin",
        });
        let answer = self.post("/auth/login", "", body);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    fn person(&self, admin: &str, username: &str, role: &str) -> String {
        let password = format!("a long password for {username}");
        let body = json!({ "username": username, "roles": [role], "password": password });
        let made = self.post("/users", admin, body);
        assert_eq!(made.status, 200, "{}", made.body);
        self.login(username, &password)
    }

    /// Waits, by the history, until the transfer is in `state`.
    fn wait_for(&self, token: &str, code: &str, state: &str) -> Value {
        let mut after = -1;
        for _ in 0..60 {
            let shown = self.get(&format!("/transfers/{code}"), token).body;
            if shown["state"] == state {
                return shown;
            }
            let path = format!("/transfers/{code}/history?after={after}&wait=10");
            let events = self.get(&path, token).body;
            after = events.as_array().and_then(|e| e.last()?["position"].as_i64()).unwrap_or(after);
        }
        panic!("{code} never came to {state}");
    }
}

const CREATE: &str = r#"{"title":"shot 010","project":"film","category":"plates"}"#;

#[test]
fn the_main_job() {
    let daemon = start();
    let admin = daemon.admin();
    let artist = daemon.person(&admin, "artist", "artist");
    let code = daemon.post("/transfers", &artist, serde_json::from_str(CREATE).unwrap()).body;
    let code = code["code"].as_str().unwrap().to_owned();
    let files = format!("/transfers/{code}/files");
    for (path, body) in [("a%20b.exr", &b"frame"[..]), ("notes/t.txt", b"note"), ("zero", b"")] {
        let answer = daemon.send("PUT", &format!("{files}/{path}"), &artist, body, &[]);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    daemon.post(&format!("/transfers/{code}/submit"), &artist, json!({}));
    daemon.wait_for(&admin, &code, "team_lead_review");
    for (username, role) in [("lead", "team_lead"), ("sup", "supervisor"), ("lp", "line_producer")]
    {
        let token = daemon.person(&admin, username, role);
        let waiting = daemon.get("/approvals", &token).body;
        assert_eq!(waiting[0]["code"], code);
        daemon.post(&format!("/approvals/{code}/approve"), &token, json!({}));
    }
    let data = daemon.person(&admin, "data", "data_team");
    daemon.post(&format!("/scanning/{code}/start"), &data, json!({}));
    daemon.wait_for(&admin, &code, "undecided");
    let decision = json!({ "decision": "accept", "reason": "looked at by hand" });
    daemon.post(&format!("/scanning/{code}/decide"), &data, decision);
    let it = daemon.person(&admin, "it", "it_team");
    daemon.post(&format!("/transfer-ops/{code}/start"), &it, json!({}));
    let shown = daemon.wait_for(&admin, &code, "delivered");
    let payload = Path::new(shown["destination"].as_str().unwrap()).to_owned();
    assert_eq!(std::fs::read(payload.join("a b.exr")).unwrap(), b"frame");
    let receipt = daemon.get(&format!("/transfers/{code}/receipt"), &artist).body;
    assert_eq!(receipt["payloadType"], "application/vnd.in-toto+json");
    let report = daemon.post("/activity/verify", &admin, json!({})).body;
    assert_eq!(report["findings"], json!([]), "{report}");
}

#[test]
fn who_is_not_signed_in_gets_nothing() {
    let daemon = start();
    let none = daemon.get("/transfers", "");
    daemon.refuses(&none, 401, "identity.no_token");
    assert_eq!(none.headers["www-authenticate"], "Bearer");
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIwIn0.";
    for token in ["garbage", unsigned, "dbk_0000"] {
        daemon.refuses(&daemon.get("/transfers", token), 401, "identity.bad_token");
    }
    let login = |password: &str| {
        daemon.post("/auth/login", "", json!({ "username": "admin", "password": password }))
    };
    daemon.refuses(&login("wrong"), 401, "identity.wrong_credentials");
    daemon.refuses(&login(&daemon.one_time), 401, "identity.must_change_password");
    let unknown = json!({ "username": "nobody", "password": "wrong" });
    daemon.refuses(&daemon.post("/auth/login", "", unknown), 401, "identity.wrong_credentials");
    let admin = daemon.admin();
    assert_eq!(daemon.get("/auth/me", &admin).body["username"], "admin");
    // Good claims without a signature (alg none), and with another's signature.
    let [header, claims, signature] = admin.split('.').collect::<Vec<_>>()[..] else {
        panic!("{admin} is no JWT");
    };
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    let bare = format!("{header}.{claims}.");
    let swapped = {
        let artist = daemon.person(&admin, "artist", "artist");
        format!("{}.{signature}", artist.rsplit_once('.').unwrap().0)
    };
    for token in [&unsigned, &bare, &swapped] {
        daemon.refuses(&daemon.get("/auth/me", token), 401, "identity.bad_token");
    }
    assert_eq!(daemon.post("/auth/logout", &admin, json!({})).status, 200);
    daemon.refuses(&daemon.get("/auth/me", &admin), 401, "identity.bad_token");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let daemon = start();
    let admin = daemon.admin();
    let artist = daemon.person(&admin, "artist", "artist");
    let other = daemon.person(&admin, "other", "artist");
    let send = |body: &str| daemon.send("POST", "/transfers", &artist, body.as_bytes(), &[]);
    for body in ["{", "[]", "{\"title\":1}", "{\"oops\":1}", &CREATE.replace('}', ",\"oops\":1}")] {
        daemon.refuses(&send(body), 400, "http.bad_request");
    }
    let traversal = CREATE.replace("film", "../film");
    daemon.refuses(&send(&traversal), 422, "transfer.bad_field");
    daemon.refuses(&daemon.get("/nothing", &artist), 404, "http.no_route");
    daemon.refuses(&daemon.send("PATCH", "/transfers", &artist, b"", &[]), 405, "http.no_method");
    let code = send(CREATE).body["code"].as_str().unwrap().to_owned();
    daemon.refuses(&daemon.get("/transfers/TRF-99999", &artist), 404, "transfer.not_found");
    daemon.refuses(&daemon.get(&format!("/transfers/{code}"), &other), 404, "transfer.not_found");
    assert_eq!(daemon.get("/transfers", &other).body, json!([]));
    let roles = daemon.post(&format!("/scanning/{code}/start"), &artist, json!({}));
    daemon.refuses(&roles, 403, "identity.forbidden");
    assert_eq!(roles.headers["x-required-roles"], "data_team, admin");
    let start = daemon.post(&format!("/transfer-ops/{code}/start"), &admin, json!({}));
    daemon.refuses(&start, 409, "workflow.illegal_state");
    assert_eq!(start.body["kind"], "illegal_state");
    assert!(start.body["hint"].is_string(), "{}", start.body);
    let early = daemon.post(&format!("/transfers/{code}/submit"), &artist, json!({}));
    assert_eq!(early.status, 409, "{}", early.body);
    assert!(early.body["hint"].is_string());
}

#[test]
fn uploads_keep_to_their_folder_and_their_size() {
    let daemon = start();
    let admin = daemon.admin();
    let artist = daemon.person(&admin, "artist", "artist");
    let code =
        daemon.send("POST", "/transfers", &artist, CREATE.as_bytes(), &[]).body["code"].clone();
    let put = |path: &str, body: &[u8], extra: &[(&str, &str)]| {
        let path = format!("/transfers/{}/files/{path}", code.as_str().unwrap());
        daemon.send("PUT", &path, &artist, body, extra)
    };
    let long = "x".repeat(300);
    for path in ["..%2f..%2fetc%2fpasswd", "a/..%2fb", "%2fetc%2fpasswd", "a%00b", "a%0Ab", &long] {
        daemon.refuses(&put(path, b"x", &[]), 422, "storage.path");
    }
    assert_eq!(put("Frame.exr", b"x", &[]).status, 200);
    daemon.refuses(&put("frame.EXR", b"x", &[]), 422, "transfer.collision");
    daemon.refuses(&put("big", &vec![0; 100_001], &[]), 413, "http.too_large");
    // Without a Content-Length the limit is found while the body comes in.
    let answer = daemon
        .agent
        .put(format!("{}/transfers/{}/files/big", daemon.url, code.as_str().unwrap()))
        .header("authorization", format!("Bearer {artist}"))
        .send(ureq::SendBody::from_reader(&mut std::io::repeat(0).take(100_001)))
        .unwrap();
    assert_eq!(answer.status(), 413);
    let files = daemon.get(&format!("/transfers/{}/files", code.as_str().unwrap()), &artist);
    assert_eq!(files.body.as_array().unwrap().len(), 1, "{}", files.body);
    let wrong = [("content-digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")];
    daemon.refuses(&put("sum", b"x", &wrong), 400, "http.bad_request");
    let right = [("content-digest", "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:")];
    assert_eq!(put("sum", b"x", &right).status, 200);
}

#[test]
fn a_command_sent_twice_is_done_once() {
    let daemon = start();
    let admin = daemon.admin();
    let artist = daemon.person(&admin, "artist", "artist");
    let key = [("idempotency-key", "make-it-once")];
    let create = |body: &str| daemon.send("POST", "/transfers", &artist, body.as_bytes(), &key);
    let first = create(CREATE);
    assert_eq!(create(CREATE).body, first.body);
    assert_eq!(daemon.get("/transfers", &artist).body.as_array().unwrap().len(), 1);
    daemon.refuses(&create(&CREATE.replace("010", "020")), 409, "command.key_reused");
    let path = format!("/transfers/{}/cancel", first.body["code"].as_str().unwrap());
    let elsewhere = daemon.send("POST", &path, &artist, b"{}", &key);
    daemon.refuses(&elsewhere, 409, "command.key_reused");
}

#[test]
fn who_waits_for_events_is_told_when_one_comes() {
    let daemon = start();
    let admin = daemon.admin();
    let artist = daemon.person(&admin, "artist", "artist");
    let made = daemon.send("POST", "/transfers", &artist, CREATE.as_bytes(), &[]).body;
    let code = made["code"].as_str().unwrap();
    let history = format!("/transfers/{code}/history");
    let seen = daemon.get(&history, &artist).body;
    let last = &seen.as_array().unwrap().last().unwrap()["position"];
    let events = std::thread::scope(|scope| {
        let waits =
            scope.spawn(|| daemon.get(&format!("{history}?after={last}&wait=60"), &artist).body);
        let cancelled = daemon.post(&format!("/transfers/{code}/cancel"), &artist, json!({}));
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        waits.join().unwrap()
    });
    assert_eq!(events[0]["kind"], "transfer.cancelled", "{events}");
}

#[test]
fn one_daemon_has_a_data_folder_and_ends_when_asked() {
    let mut daemon = start();
    let second = self::daemon(daemon._data.path()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another databridged"));
    let pid = daemon.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

/// Asks until it is refused, at most as often as two windows let through: the minute
/// may end while we ask. Answers the refusal.
fn ask_until_limited(limit: usize, ask: impl Fn() -> Answer) -> Answer {
    for _ in 0..=2 * limit {
        let answer = ask();
        assert_eq!(answer.headers["x-ratelimit-limit"], limit.to_string().as_str());
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("{limit} a minute is no limit");
}

fn header(answer: &Answer, name: &str) -> i64 {
    answer.headers[name].to_str().unwrap().parse().unwrap()
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let daemon = start();
    let admin = daemon.admin();
    let viewer = daemon.person(&admin, "viewer", "viewer");
    let other = daemon.person(&admin, "other", "viewer");
    let first = daemon.get("/lots", &viewer);
    assert_eq!(first.status, 200);
    assert!((1..=200).contains(&header(&first, "x-ratelimit-remaining")));
    assert!((1..=60).contains(&header(&first, "x-ratelimit-reset")));
    let limited = ask_until_limited(200, || daemon.get("/lots", &viewer));
    daemon.refuses(&limited, 429, "limits.exceeded");
    assert_eq!(header(&limited, "x-ratelimit-remaining"), 0);
    assert!((1..=60).contains(&header(&limited, "retry-after")));
    assert_eq!(header(&limited, "retry-after"), header(&limited, "x-ratelimit-reset"));
    // Neither another part of the interface nor anybody else is held up by that.
    assert_eq!(daemon.get("/traceability/access", &viewer).status, 200);
    assert_eq!(daemon.get("/lots", &other).status, 200);
    // What acts has a limit of its own; also what is refused counts.
    let write = || daemon.post("/lots", &viewer, json!({ "lot_type": "RAW" }));
    assert_eq!(write().status, 403);
    daemon.refuses(&ask_until_limited(100, write), 429, "limits.exceeded");
    let guess = || daemon.get("/lots", "guessed");
    daemon.refuses(&ask_until_limited(200, guess), 429, "limits.exceeded");
}

/// A connection that is closed under its sender loses the next request.
#[test]
fn what_is_refused_before_its_body_came_leaves_the_connection_whole() {
    let daemon = start_with(&[("DATABRIDGE_LIMITS__READS_PER_MINUTE", "0")]);
    let it = daemon.person(&daemon.admin(), "it", "it_team");
    let address = daemon.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    for (path, status) in [("/api/v1/lots", "401"), ("/api/v1/nowhere", "404")] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = vec![b' '; 100_000];
        let length = body.len();
        write!(stream, "POST {path} HTTP/1.1\r\nHost: {address}\r\n").unwrap();
        write!(stream, "Authorization: Bearer guessed\r\nContent-Type: application/json\r\n")
            .unwrap();
        write!(stream, "Content-Length: {length}\r\n\r\n").unwrap();
        // It is answered as far as that goes without the body.
        daemon.has_answered(&it, "POST", status);
        stream.write_all(&body).unwrap();
        write!(stream, "GET /api/health HTTP/1.1\r\nHost: {address}\r\n").unwrap();
        write!(stream, "Connection: close\r\n\r\n").unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        let places = [status, "200 OK"].map(|said| answers.find(&format!("HTTP/1.1 {said}")));
        assert!(places[0] == Some(0) && places[1] > places[0], "{answers}");
    }
}

#[test]
fn passwords_are_not_guessed_faster_than_ten_a_minute() {
    let daemon = start();
    let wrong = json!({ "username": "admin", "password": "a guess" });
    let limited = ask_until_limited(10, || daemon.post("/auth/login", "", wrong.clone()));
    daemon.refuses(&limited, 429, "limits.exceeded");
    let unlimited = start_with(&[("DATABRIDGE_LIMITS__LOGIN_PER_MINUTE", "0")]);
    for _ in 0..12 {
        let answer = unlimited.post("/auth/login", "", wrong.clone());
        unlimited.refuses(&answer, 401, "identity.wrong_credentials");
        assert!(answer.headers.get("x-ratelimit-limit").is_none());
    }
}

#[test]
fn a_line_is_traced_over_rest() {
    let daemon = start();
    let admin = daemon.admin();
    let operator = daemon.person(&admin, "operator", "operator");
    let manager = daemon.person(&admin, "manager", "manager");
    let auditor = daemon.person(&admin, "auditor", "auditor");
    let viewer = daemon.person(&admin, "viewer", "viewer");
    let ok = |answer: Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    ok(daemon.post("/flows/profiles/food/install", &manager, json!({})));
    let version = "/flows/food/versions/1/status";
    ok(daemon.post(version, &manager, json!({ "action": "request review" })));
    let own = daemon.post(version, &manager, json!({ "action": "publish" }));
    daemon.refuses(&own, 403, "lineage.separation_of_duties");
    ok(daemon.post(version, &admin, json!({ "action": "publish", "notes": "as in the plant" })));
    let run = ok(daemon.post("/runs", &operator, json!({ "flow": "food" })))["run_code"].clone();
    let run = run.as_str().unwrap();
    let path = format!("/runs/{run}/advance");
    ok(daemon.post(&path, &operator, json!({ "to": 0 })));
    let raw = json!({ "lot_code": "RAW-1", "lot_type": "RAW", "weight_kg": 100.0, "run": run });
    ok(daemon.post("/lots", &operator, raw));
    let forbidden = daemon.post("/lots", &auditor, json!({ "lot_type": "RAW" }));
    daemon.refuses(&forbidden, 403, "identity.forbidden");
    assert_eq!(forbidden.headers["x-required-roles"], "admin, manager, operator");
    let blocked = daemon.post(&path, &operator, json!({ "to": 1 }));
    daemon.refuses(&blocked, 409, "lineage.blocked");
    ok(daemon.post("/lots/RAW-1/status", &operator, json!({ "status": "QUARANTINE" })));
    let decision = json!({
        "lot_code": "RAW-1", "gate": "receiving", "decision": "PASS",
        "answers": { "temperature": 2.5, "documents": true },
    });
    ok(daemon.post("/qc-gates/decisions", &auditor, decision));
    ok(daemon.post(&path, &operator, json!({ "to": 1 })));
    let bone = json!({
        "lot_code": "DEB-1", "lot_type": "DEB", "weight_kg": 80.0, "run": run, "parents": ["RAW-1"],
    });
    ok(daemon.post("/lots", &operator, bone));
    let up = ok(daemon.get("/traceability/DEB-1/ancestors?limit=10&max_depth=5", &viewer));
    assert_eq!(
        (up["items"][0]["lot_code"].as_str(), up["total"].as_i64()),
        (Some("RAW-1"), Some(1))
    );
    let drawn = ok(daemon.get("/traceability/RAW-1/graph?format=mermaid&direction=down", &viewer));
    assert!(drawn["text"].as_str().unwrap().contains(" --> "), "{drawn}");
    let history = ok(daemon.get("/lots/RAW-1/history?after=-1", &viewer));
    assert!(history.as_array().unwrap().iter().any(|e| e["kind"] == "qc.decided"), "{history}");
    daemon.refuses(&daemon.get("/runs", &viewer), 403, "identity.forbidden");
    let lots = ok(daemon.get("/lots?status=RELEASED&limit=1", &viewer));
    assert_eq!(lots["items"][0]["lot_code"], "RAW-1");
    daemon.refuses(&daemon.get("/lots?status=EATEN", &viewer), 400, "http.bad_request");
    assert_eq!(ok(daemon.get(&format!("/runs/{run}"), &auditor))["current_step_index"], 1);
}
