//! What is wrong with a request is said in one way, whatever it is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::desk::{Desk, Kind, read};

on_both!(what_is_malformed_is_a_problem_with_its_code, no_field_takes_what_it_should_not);

fn json_headers(desk: &Desk, who: &str) -> Vec<(&'static str, String)> {
    vec![
        ("authorization", format!("Bearer {}", desk.people.token(who))),
        ("content-type", "application/json".into()),
    ]
}

fn what_is_malformed_is_a_problem_with_its_code(kind: Kind) {
    let desk = Desk::open(kind);
    let post =
        |body: &[u8]| desk.raw("POST", "/api/v1/transfers", &json_headers(&desk, "artist"), body);
    for body in [
        &b"{"[..],
        b"nonsense",
        b"[]",
        b"1",
        b"null",
        b"\"text\"",
        b"{\"title\": }",
        b"{\"title\":\"a\",\"title\":\"b\",\"project\":\"p\",\"category\":\"c\",\"x\":1}",
        b"\xff\xfe",
        b"{\"title\":\"\\ud800\",\"project\":\"p\",\"category\":\"c\"}",
        b"{\"title\":1,\"project\":\"p\",\"category\":\"c\"}",
        b"{\"title\":\"a\",\"project\":[],\"category\":\"c\"}",
        b"{\"title\":\"a\",\"project\":\"p\",\"category\":\"c\",\"oops\":1}",
        b"{\"title\":\"a\",\"project\":\"p\",\"category\":\"c\",\"op\":\"user_list\"}",
        b"{\"project\":\"p\",\"category\":\"c\"}",
    ] {
        post(body).refused(400, "http.bad_request");
    }
    // Nested: within the limit of bytes the parser's own bound says so, beyond it ours.
    let nest = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    post(&nest(100_000)).refused(400, "http.bad_request");
    post(&nest(5_000_000)).refused(413, "http.too_large");
    let objects = format!("{}1{}", "{\"a\":".repeat(1_700_000), "}".repeat(1_700_000));
    post(objects.as_bytes()).refused(413, "http.too_large");
    let text = [("authorization", json_headers(&desk, "artist")[0].1.clone())];
    desk.raw("POST", "/api/v1/transfers", &text, b"{}").refused(415, "http.media_type");
    // Addresses.
    for path in ["/transfers/%", "/transfers/%zz", "/transfers/%ff", "/transfers?project=%C3%28"] {
        desk.ask("artist", "GET", path, Value::Null).refused(400, "http.bad_escape");
    }
    for path in ["/transfers?oops=1", "/transfers?limit=x", "/transfers?limit=1&limit=2"] {
        desk.ask("artist", "GET", path, Value::Null).refused(400, "http.bad_request");
    }
    desk.ask("artist", "GET", "/approvals?oops=1", Value::Null).refused(400, "http.bad_request");
    desk.ask("artist", "GET", "/nowhere", Value::Null).refused(404, "http.no_route");
    desk.ask("artist", "PUT", "/transfers", Value::Null).refused(405, "http.no_method");
    // Heads.
    let long = "x".repeat(20_000);
    let with = |headers: &[(&str, &str)]| {
        desk.ask_with("artist", "GET", "/transfers", headers, Value::Null)
    };
    with(&[("x-long", &long)]).refused(431, "http.headers_too_large");
    let many: Vec<(String, &str)> = (0..150).map(|i| (format!("x-{i}"), "1")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    with(&many).refused(431, "http.headers_too_large");
    let path = format!("/transfers?project={long}");
    desk.ask("artist", "GET", &path, Value::Null).refused(431, "http.headers_too_large");
    with(&[("if-match", "\"1\"")]).refused(400, "http.bad_request");
    // Nothing of it reached the store.
    assert_eq!(desk.ok("admin", "GET", "/transfers", Value::Null), json!([]));
}

/// Every text of every call, as the interface describes itself.
fn texts(document: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, told) in methods.as_object().unwrap() {
            for parameter in told["parameters"].as_array().unwrap() {
                if parameter["schema"]["type"] == "string" {
                    let name = parameter["name"].as_str().unwrap();
                    found.push((method.clone(), path.clone(), format!("?{name}")));
                }
            }
            let body = &told["requestBody"]["content"]["application/json"]["schema"];
            let mut within = Vec::new();
            walk(document, body, String::new(), &mut within);
            within.sort();
            within.dedup();
            found.extend(within.into_iter().map(|at| (method.clone(), path.clone(), at)));
        }
    }
    found
}

/// A schema, and those that it allows instead of one another.
fn schemas<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return schemas(document, document.pointer(&reference[1..]).unwrap());
    }
    match schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        Some(any) => any.iter().flat_map(|one| schemas(document, one)).collect(),
        None => vec![schema],
    }
}

fn is(schema: &Value, kind: &str) -> bool {
    let found = &schema["type"];
    found == kind || found.as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
}

/// The texts in what a schema describes, as JSON pointers. Flows nest no deeper.
fn walk(document: &Value, schema: &Value, at: String, found: &mut Vec<String>) {
    const DEEPEST: usize = 6;
    if at.matches('/').count() > DEEPEST {
        return;
    }
    for schema in schemas(document, schema) {
        if is(schema, "string") && !schema["enum"].is_array() && schema["const"].is_null() {
            found.push(at.clone());
        }
        if schema["items"].is_object() {
            walk(document, &schema["items"], format!("{at}/0"), found);
        }
        if schema["additionalProperties"].is_object() {
            walk(document, &schema["additionalProperties"], format!("{at}/some"), found);
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            walk(document, below, format!("{at}/{name}"), found);
        }
    }
}

/// Puts a text where a pointer leads, and whatever else has to be there on the way.
fn put(document: &Value, schema: &Value, at: &str, text: &str, value: &mut Value) {
    let Some(at) = at.strip_prefix('/') else {
        *value = text.into();
        return;
    };
    let (name, rest) = at.split_once('/').map_or((at, ""), |(name, _)| (name, &at[name.len()..]));
    let below = schemas(document, schema).into_iter().find_map(|schema| {
        let below = match &schema["properties"][name] {
            Value::Null if name == "0" => &schema["items"],
            Value::Null => &schema["additionalProperties"],
            below => below,
        };
        below.is_object().then_some((is(schema, "array"), below))
    });
    let (in_array, below) = below.unwrap_or_else(|| panic!("{at} leads nowhere"));
    if in_array {
        *value = json!([plain(document, below)]);
        return put(document, below, rest, text, &mut value[0]);
    }
    if !value.is_object() {
        *value = json!({});
    }
    if value[name].is_null() {
        value[name] = plain(document, below);
    }
    put(document, below, rest, text, &mut value[name]);
}

/// Something that a field of that schema takes.
pub fn plain(document: &Value, schema: &Value) -> Value {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    if let Some(first) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return plain(document, &first[0]);
    }
    match kind.as_str() {
        _ if !schema["const"].is_null() => schema["const"].clone(),
        _ if schema["enum"].is_array() => schema["enum"][0].clone(),
        Some("string") if schema["format"] == "date-time" => json!("2030-01-01T00:00:00Z"),
        Some("string") if schema["format"] == "uuid" => {
            json!("00000000-0000-7000-8000-000000000000")
        }
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => {
            let mut object = serde_json::Map::new();
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                object.insert(name.to_owned(), plain(document, &schema["properties"][name]));
            }
            Value::Object(object)
        }
        _ => json!("x"),
    }
}

pub fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Too long, SQL, paths out of the tree, control characters, and what belongs to nobody
/// here: never a 5xx, never a success for what must not be.
fn no_field_takes_what_it_should_not(kind: Kind) {
    let desk = Desk::open(kind);
    let document = desk.ok("", "GET", "/openapi.json", Value::Null);
    let long = "a".repeat(10_001);
    let bad = [
        long.as_str(),
        "'; DROP TABLE users; --",
        "' OR '1'='1",
        "../../../../etc/passwd",
        "/etc/passwd",
        "nul\0",
        "bell\u{7}",
        "%s%n${jndi:ldap://x}",
        "00000000-0000-7000-8000-00000000000a",
        "\u{202e}\u{feff}",
    ];
    let texts = texts(&document);
    assert!(texts.len() > 150, "{}", texts.len());
    let deep = texts.iter().filter(|(.., at)| at.matches('/').count() > 1).count();
    assert!(deep > 15, "{deep} of them are not at the top");
    for (method, path, field) in texts {
        // Whoever asks would be signed out, and a password would be another.
        if path.ends_with("/auth/logout") || field == "?Idempotency-Key" || field == "?If-Match" {
            continue;
        }
        let told = &document["paths"][&path][&method];
        for text in bad {
            let (mut address, mut query) = (path.clone(), Vec::new());
            for parameter in told["parameters"].as_array().unwrap() {
                let Some(name) = parameter["name"].as_str() else { continue };
                let value = match field == format!("?{name}") {
                    true => text.to_owned(),
                    false => "1".into(),
                };
                if parameter["in"] == "path" {
                    address = address.replace(&format!("{{{name}}}"), &encode(&value));
                } else if parameter["in"] == "query"
                    && (value == text || parameter["required"] == true)
                {
                    query.push(format!("{name}={}", encode(&value)));
                }
            }
            if !query.is_empty() {
                address = format!("{address}?{}", query.join("&"));
            }
            let schema = &told["requestBody"]["content"]["application/json"]["schema"];
            let mut body = match schema.is_object() {
                true => plain(&document, schema),
                false => Value::Null,
            };
            if field.starts_with('/') {
                put(&document, schema, &field, text, &mut body);
            }
            if path.ends_with("/events") {
                address = address.replace("/events", "/history");
            }
            let answer = desk.ask("admin", &method.to_uppercase(), &address, body);
            assert!(answer.status < 500, "{method} {path} {field} {text:.40}: {answer:?}");
            if text.len() > 10_000 || text.contains(['\0', '\u{7}']) {
                assert!(answer.status >= 400, "{method} {path} {field} {text:.40}: {answer:?}");
            }
            if answer.status >= 400 {
                let kind = answer.header("content-type");
                assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
            }
        }
    }
    // All of it is still there.
    assert!(desk.ok("admin", "GET", "/users", Value::Null).as_array().unwrap().len() >= 6);
}

#[test]
fn slow_clients_are_cut() {
    let settings = vec![("HTTP__HEADER_SECONDS", "1".into()), ("HTTP__BODY_SECONDS", "1".into())];
    let desk = Desk::open_with(Kind::Sqlite, &settings);
    let token = desk.people.token("artist");
    let code = desk.transfer();
    let post = "POST /api/v1/transfers HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let began = Instant::now();
    // Nothing at all, half a head, half a body, half an upload.
    let mut silent = desk.connect();
    let mut head = desk.connect();
    head.write_all(post.as_bytes()).unwrap();
    let mut body = desk.connect();
    write!(body, "{post}authorization: Bearer {token}\r\ncontent-length: 100\r\n\r\n{{").unwrap();
    let mut upload = desk.connect();
    write!(
        upload,
        "PUT /api/v1/transfers/{code}/files/b.exr HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {token}\r\ncontent-length: 100\r\n\r\nhalf"
    )
    .unwrap();
    let mut left = Vec::new();
    assert_eq!(silent.read_to_end(&mut left).unwrap_or(0), 0);
    let _ = head.read_to_end(&mut left);
    assert!(!String::from_utf8_lossy(&left).contains(" 200 "));
    read(body).refused(408, "http.too_slow");
    read(upload).refused(408, "http.too_slow");
    // Not timed but bounded: the reads above would have ended after a minute each.
    assert!(began.elapsed() < Duration::from_secs(50));
    // Nothing of it is in the transfer, and the others are served.
    let files = desk.ok("artist", "GET", &format!("/transfers/{code}/files"), Value::Null);
    assert_eq!(files.as_array().unwrap().len(), 1);
}

#[test]
fn many_slow_clients_do_not_keep_others_out() {
    let desk = Desk::open(Kind::Sqlite);
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = desk.connect();
        stream.write_all(b"GET /api/health HTTP/1.1\r\nhost:").unwrap();
        slow.push(stream);
    }
    assert_eq!(desk.ok("", "GET", "/api/health", Value::Null)["status"], "ok");
}
