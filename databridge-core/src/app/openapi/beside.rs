//! What is no call: signing in, uploads, streams, health; and what all operations have
//! in common: refusals, headers.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::app::answers::Health;
use crate::app::routes::{Method, PREFIX, Route};
use crate::control::identity::Session;
use crate::domains::transfer::TransferView;

/// Status, name and meaning of every refusal.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("400", "Malformed", "The request is not understood: its JSON, a field, an escape."),
    ("401", "Unauthenticated", "Nobody is signed in, or the token is not accepted."),
    ("403", "Forbidden", "Known, but not allowed; X-Required-Roles names who is."),
    ("404", "NotFound", "There is no such thing, or none that the caller may see."),
    ("405", "MethodNotAllowed", "This address does not take that method."),
    ("408", "TooSlow", "The request did not arrive in time."),
    ("409", "Conflict", "Somebody was first, or the state does not allow it."),
    ("412", "Stale", "If-Match names an older version."),
    ("413", "TooLarge", "The body is larger than this daemon takes."),
    ("415", "NotJson", "The body is not application/json."),
    ("422", "Invalid", "A field is not acceptable."),
    ("428", "Unconditional", "This change takes If-Match."),
    ("429", "TooMany", "More requests than the limit; Retry-After says when to come back."),
    ("431", "HeadersTooLarge", "The headers are larger than this daemon takes."),
    ("500", "Failed", "Reading or writing failed, or a defect; the log has more."),
    ("503", "Unavailable", "Something that is needed does not answer now; Retry-After."),
];

fn name(status: &str) -> &'static str {
    REFUSALS.iter().find(|(known, ..)| *known == status).map_or("Failed", |(_, name, _)| name)
}

/// The refusals as components.
pub(super) fn responses() -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let mut all = Map::new();
    for (status, name, description) in REFUSALS {
        let mut headers = Map::new();
        let extra: &[&str] = match *status {
            "401" => &["WWW-Authenticate"],
            "403" => &["X-Required-Roles"],
            "429" => {
                &["Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
            }
            "503" => &["Retry-After"],
            _ => &[],
        };
        for header in extra {
            headers.insert(
                (*header).into(),
                json!({ "$ref": format!("#/components/headers/{header}") }),
            );
        }
        all.insert(
            (*name).into(),
            json!({
                "description": description, "headers": headers,
                "content": { "application/problem+json": { "schema": schema } },
            }),
        );
    }
    all.into()
}

/// Headers of answers.
pub(super) fn headers() -> Value {
    let whole =
        |description: &str| json!({ "description": description, "schema": { "type": "integer" } });
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "X-RateLimit-Limit": whole("Requests in a window of a minute."),
        "X-RateLimit-Remaining": whole("How many are left."),
        "X-RateLimit-Reset": whole("Seconds until the next window."),
        "Retry-After": whole("Seconds to wait."),
        "X-Required-Roles": text("Roles that would have been allowed, by commas."),
        "WWW-Authenticate": text("Bearer"),
        "ETag": text("The version of what is answered; give it as If-Match to change just that."),
    })
}

/// Headers of requests.
pub(super) fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "The same key twice is one command, answered twice.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$" },
        },
        "IfMatch": {
            "name": "If-Match", "in": "header", "required": false,
            "description": "The ETag that was looked at; where the version is another now, 412.",
            "schema": { "type": "string", "pattern": "^\"[0-9]{1,18}\"$" },
        },
    })
}

/// Statuses of an operation that is a call.
pub(super) fn outcomes(route: &Route, answer: &Value) -> Value {
    let mut also =
        vec!["400", "401", "403", "404", "409", "413", "422", "429", "431", "500", "503"];
    if matches!(route.method, Method::Post | Method::Patch) {
        also.extend(["408", "415"]);
    }
    if route.takes_if_match() {
        also.extend(["412", "428"]);
    }
    let mut done = done(json!({ "application/json": { "schema": answer } }));
    if route.has_etag() {
        done["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
    }
    with(done, "200", &also)
}

fn done(content: Value) -> Value {
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    json!({
        "description": "Done.",
        "content": content,
        "headers": {
            "X-RateLimit-Limit": header("X-RateLimit-Limit"),
            "X-RateLimit-Remaining": header("X-RateLimit-Remaining"),
            "X-RateLimit-Reset": header("X-RateLimit-Reset"),
        },
    })
}

fn with(done: Value, status: &str, also: &[&str]) -> Value {
    let mut outcomes = Map::new();
    outcomes.insert(status.into(), done);
    for status in also {
        let reference = format!("#/components/responses/{}", name(status));
        outcomes.insert((*status).into(), json!({ "$ref": reference }));
    }
    outcomes.into()
}

/// Path, method and operation of what is no call.
pub(super) fn operations(generator: &mut SchemaGenerator) -> Vec<(String, &'static str, Value)> {
    let of = |schema: schemars::Schema| json!({ "application/json": { "schema": schema } });
    let session = of(generator.subschema_for::<Session>());
    let transfer = of(generator.subschema_for::<TransferView>());
    let health = of(generator.subschema_for::<Health>());
    let ready = of(generator.subschema_for::<crate::app::Readiness>());
    let any = json!({ "application/json": { "schema": { "type": "object" } } });
    let code = path_text("code", 64);
    let stream = json!({ "text/event-stream": { "schema": { "type": "string" } } });
    let last = json!({
        "name": "Last-Event-ID", "in": "header", "required": false,
        "description": "The position after which to go on.",
        "schema": { "type": "string", "pattern": "^[0-9]{1,18}$" },
    });
    vec![
        (format!("{PREFIX}/auth/login"), "post", login(session.clone())),
        (format!("{PREFIX}/auth/refresh"), "post", refresh(session)),
        (format!("{PREFIX}/transfers/{{code}}/files/{{path}}"), "put", upload(transfer)),
        (
            format!("{PREFIX}/transfers/{{code}}/events"),
            "get",
            json!({
                "operationId": "transfer_events", "tags": ["events"],
                "summary": "What happens to a transfer, as it happens, and how far it is.",
                "parameters": [code, last],
                "responses": with(done(stream.clone()), "200", &["400", "401", "403", "404", "422", "429", "431", "500", "503"]),
            }),
        ),
        (
            format!("{PREFIX}/events"),
            "get",
            json!({
                "operationId": "events", "tags": ["events"],
                "summary": "What happens to everything that the caller may see, as it happens.",
                "parameters": [last],
                "responses": with(done(stream), "200", &["400", "401", "403", "404", "422", "429", "431", "500", "503"]),
            }),
        ),
        (format!("{PREFIX}/activity/export"), "get", export()),
        (
            "/api/health".into(),
            "get",
            open("health", "Whether the daemon lives.", health, &["429", "431", "503"]),
        ),
        ("/api/ready".into(), "get", readiness(ready)),
        (
            format!("{PREFIX}/openapi.json"),
            "get",
            open("openapi", "This document.", any, &["429", "431", "503"]),
        ),
    ]
}

fn export() -> Value {
    let field = |name: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "schema": schema });
    let text = |most: usize| json!({ "type": "string", "maxLength": most });
    let time = || json!({ "type": "string", "format": "date-time" });
    let content = json!({
        "text/csv": { "schema": { "type": "string" } },
        "application/x-ndjson": { "schema": { "type": "string" } },
    });
    json!({
        "operationId": "activity_export", "tags": ["activity"],
        "summary": "What happened, by filters, as a table or a JSON object a line.",
        "parameters": [
            field("format", json!({ "type": "string", "enum": ["csv", "json"] })),
            field("subject", text(64)), field("kind", text(64)), field("actor", text(128)),
            field("since", time()), field("until", time()),
        ],
        "responses": with(
            done(content), "200", &["400", "401", "403", "422", "429", "431", "500", "503"],
        ),
    })
}

fn path_text(name: &str, most: usize) -> Value {
    let schema = json!({ "type": "string", "maxLength": most });
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn open(id: &str, summary: &str, content: Value, also: &[&str]) -> Value {
    json!({
        "operationId": id, "tags": ["operations"], "summary": summary, "security": [],
        "parameters": [], "responses": with(done(content), "200", also),
    })
}

/// Not ready is an answer of its own, with what is wrong.
fn readiness(content: Value) -> Value {
    let summary = "Whether the daemon can work: database, ledger, disks, workers.";
    let mut operation = open("ready", summary, content.clone(), &["429", "431"]);
    operation["responses"]["503"] = json!({
        "description": "Not now; Retry-After says when to ask again.",
        "headers": { "Retry-After": { "$ref": "#/components/headers/Retry-After" } },
        "content": {
            "application/json": content["application/json"],
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    });
    operation
}

fn login(session: Value) -> Value {
    let text = |most: usize| json!({ "type": "string", "maxLength": most });
    json!({
        "operationId": "login", "tags": ["auth"], "security": [],
        "summary": "Signs somebody in; `new_password` changes it on the way.",
        "parameters": [],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object", "additionalProperties": false, "required": ["username", "password"],
            "properties": {
                "username": text(64), "password": text(1024),
                "new_password": { "type": ["string", "null"], "maxLength": 1024 },
            },
        } } } },
        "responses": with(done(session), "200", &["400", "401", "403", "408", "409", "413", "415", "422", "429", "431", "500", "503"]),
    })
}

fn refresh(session: Value) -> Value {
    json!({
        "operationId": "refresh", "tags": ["auth"], "security": [],
        "summary": "The next pair of tokens. A refresh token serves once: a second use ends its session.",
        "parameters": [],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object", "additionalProperties": false, "required": ["refresh_token"],
            "properties": { "refresh_token": { "type": "string", "maxLength": 1024 } },
        } } } },
        "responses": with(done(session), "200", &["400", "401", "408", "409", "413", "415", "422", "429", "431", "500", "503"]),
    })
}

fn upload(transfer: Value) -> Value {
    let kind = json!({
        "name": "kind", "in": "query", "required": false,
        "schema": { "type": "string", "enum": ["file", "empty_dir"] },
    });
    json!({
        "operationId": "upload", "tags": ["transfers"],
        "summary": "The body becomes a file of the transfer, hashed as it streams in.",
        "parameters": [path_text("code", 64), path_text("path", 4096), kind],
        "requestBody": { "required": false, "content": {
            "application/octet-stream": { "schema": { "type": "string", "format": "binary" } },
        } },
        "responses": with(done(transfer), "200", &["400", "401", "403", "404", "408", "409", "413", "422", "429", "431", "500", "503"]),
    })
}
