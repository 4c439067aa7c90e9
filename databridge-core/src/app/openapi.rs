//! The REST interface as an OpenAPI 3.1 document, made from the same table that the
//! daemon serves: what a call takes and answers is the JSON Schema of its own types.

mod answers;
mod beside;
mod uploads;

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Method, PREFIX, ROUTES, Route};
use super::{Call, fields};

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

/// The document.
pub fn document() -> Value {
    let mut answers = settings().for_serialize().into_generator();
    let mut asks = settings().for_deserialize().into_generator();
    let calls = calls(&mut asks);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let answer = answers::answer(route.op, &mut answers).to_value();
        let (path, operation) = operation(route, &calls, answer);
        paths.entry(path).or_default().insert(method(route.method).to_owned(), operation);
    }
    for (path, verb, operation) in
        beside::operations(&mut answers).into_iter().chain(uploads::operations())
    {
        paths.entry(path).or_default().insert(verb.to_owned(), operation);
    }
    answers.subschema_for::<super::answers::Problem>();
    let mut schemas = answers.take_definitions(true);
    let mut paths = json!(paths);
    for (name, mut schema) in calls.definitions {
        // What is asked may have less to it than what is answered under the same name.
        let taken = schemas.get(&name).is_some_and(|other| *other != schema);
        let unique = if taken { format!("{name}Asked") } else { name.clone() };
        if taken {
            rename(&mut paths, &name, &unique);
            rename(&mut schema, &name, &unique);
        }
        schemas.insert(unique, schema);
    }
    unmark(&mut paths);
    let mut schemas = Value::Object(schemas);
    unmark(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "DataBridge",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Moves media across networks through approvals, scan and verified copy.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": beside::responses(),
            "headers": beside::headers(),
            "parameters": beside::parameters(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token of POST /auth/login, or an API key.",
                },
            },
        },
    })
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = SCHEMAS.into();
        s.meta_schema = None;
    })
}

/// What every call takes, by its name, and the types within.
struct Calls {
    asks: BTreeMap<String, Map<String, Value>>,
    definitions: Map<String, Value>,
}

/// Marks a reference to what is asked until it is known under which name that stands.
const MARK: &str = "asked:";

fn calls(generator: &mut SchemaGenerator) -> Calls {
    generator.subschema_for::<Call>();
    let mut definitions = generator.take_definitions(true);
    let call = definitions.remove("Call").unwrap_or_default();
    let mut asks = BTreeMap::new();
    for variant in call["oneOf"].as_array().into_iter().flatten() {
        let mut variant = variant.clone();
        // A call that is a type of its own refers to it.
        if let Some(name) = variant["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
            let within = definitions.get(name).cloned().unwrap_or_default();
            merge(&mut variant, &within);
        }
        let Some(fields) = variant.as_object_mut() else { continue };
        let op = fields["properties"]["op"]["const"].as_str().unwrap_or_default().to_owned();
        mark(&mut fields["properties"]);
        asks.insert(op, std::mem::take(fields));
    }
    for schema in definitions.values_mut() {
        limit_all(schema);
        mark(schema);
    }
    Calls { asks, definitions }
}

/// Adds a type's fields to those of the call that consists of it.
fn merge(variant: &mut Value, within: &Value) {
    if let Some(fields) = within["properties"].as_object() {
        for (name, schema) in fields {
            variant["properties"][name] = schema.clone();
        }
    }
    let mut required = variant["required"].as_array().cloned().unwrap_or_default();
    required.extend(within["required"].as_array().cloned().unwrap_or_default());
    variant["required"] = required.into();
}

fn each_ref(value: &mut Value, change: &dyn Fn(&mut String)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if name == "$ref" => change(text),
                    other => each_ref(other, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_ref(item, change)),
        _ => {}
    }
}

fn mark(value: &mut Value) {
    each_ref(value, &|text| text.insert_str(0, MARK));
}

fn unmark(value: &mut Value) {
    each_ref(value, &|text| {
        if let Some(rest) = text.strip_prefix(MARK) {
            *text = rest.to_owned();
        }
    });
}

fn rename(value: &mut Value, from: &str, to: &str) {
    let from = format!("{MARK}#{SCHEMAS}/{from}");
    let to = format!("{MARK}#{SCHEMAS}/{to}");
    each_ref(value, &|text| {
        if *text == from {
            text.clone_from(&to);
        }
    });
}

/// Says how long the texts in a type's fields may be.
fn limit_all(schema: &mut Value) {
    if let Some(fields) = schema["properties"].as_object_mut() {
        for (name, field) in fields {
            limit(name, field);
        }
    }
}

fn limit(name: &str, schema: &mut Value) {
    let is_text = |kind: &Value| kind == "string";
    let text = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(is_text),
        kind => is_text(kind),
    };
    let free = ["enum", "const", "format", "pattern", "maxLength"]
        .iter()
        .all(|known| schema.get(known).is_none());
    if text && free {
        schema["maxLength"] = fields::longest(name).into();
    }
    if let Some(items) = schema.get_mut("items") {
        limit(name, items);
    }
}

const fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

/// The path as OpenAPI writes it, and the operation.
fn operation(route: &Route, calls: &Calls, answer: Value) -> (String, Value) {
    let ask = calls.asks.get(route.op).cloned().unwrap_or_default();
    let mut fields = ask.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    fields.remove("op");
    let required: Vec<String> = ask
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().filter(|name| *name != "op").map(str::to_owned))
        .collect();
    for (name, schema) in &mut fields {
        limit(name, schema);
    }
    let mut parameters = Vec::new();
    for name in named(route.path) {
        let schema = parameter(fields.remove(name).unwrap_or_default());
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let mut operation = json!({
        "operationId": route.op,
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "summary": ask.get("description").cloned().unwrap_or_default(),
        "responses": beside::outcomes(route, &answer),
    });
    if matches!(route.method, Method::Post | Method::Patch) && !fields.is_empty() {
        let required: Vec<&String> = required.iter().filter(|n| fields.contains_key(*n)).collect();
        let body = json!({
            "type": "object", "properties": fields, "required": required,
            "additionalProperties": false,
        });
        operation["requestBody"] = json!({
            "required": !required.is_empty(), "content": { "application/json": { "schema": body } },
        });
    } else {
        for (name, schema) in fields {
            let is_required = required.contains(&name);
            parameters.push(json!({
                "name": name, "in": "query", "required": is_required, "schema": parameter(schema),
            }));
        }
    }
    if route.method != Method::Get {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    if route.takes_if_match() {
        parameters.push(json!({ "$ref": "#/components/parameters/IfMatch" }));
    }
    operation["parameters"] = parameters.into();
    let path = route.path.replace("{*", "{");
    (format!("{PREFIX}{path}"), operation)
}

/// The fields that stand in a path.
fn named(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

/// A field as it stands in a path or a query, where nothing is null.
fn parameter(mut schema: Value) -> Value {
    if let Some(kinds) = schema["type"].as_array() {
        let kinds: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        if let [one] = kinds[..] {
            schema["type"] = one.clone();
        }
    }
    if let Some(variants) = schema["anyOf"].as_array() {
        let mut variants: Vec<Value> =
            variants.iter().filter(|v| v["type"] != "null").cloned().collect();
        if variants.len() == 1 {
            let description = schema.get("description").cloned();
            schema = variants.remove(0);
            if let Some(description) = description {
                schema["description"] = description;
            }
        }
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("default");
    }
    schema
}

fn tags() -> Value {
    let mut tags: Vec<&str> = Vec::new();
    for route in ROUTES {
        let tag = route.path.split('/').nth(1).unwrap_or_default();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags.push("events");
    tags.push("operations");
    tags.into_iter().map(|name| json!({ "name": name })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_dangles() {
        let text = document().to_string();
        for route in ROUTES {
            let known = answers::ANSWERS.iter().filter(|(op, _)| *op == route.op).count();
            assert_eq!(known, 1, "{} has no answer", route.op);
            assert!(text.contains(&format!("\"operationId\":\"{}\"", route.op)), "{}", route.op);
        }
        assert_eq!(answers::ANSWERS.len(), ROUTES.len());
        assert!(!text.contains(MARK), "a reference was not resolved");
        let document = document();
        let mut dangling = Vec::new();
        let mut refs = document.clone();
        let found = std::cell::RefCell::new(Vec::new());
        each_ref(&mut refs, &|text| found.borrow_mut().push(text.clone()));
        for reference in found.into_inner() {
            if document.pointer(reference.trim_start_matches('#')).is_none() {
                dangling.push(reference);
            }
        }
        assert!(dangling.is_empty(), "{dangling:?}");
    }
}
