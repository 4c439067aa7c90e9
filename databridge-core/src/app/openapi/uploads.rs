//! Uploads in pieces, as tus 1.0 has them: what is said is in headers.

use serde_json::{Map, Value, json};

use super::super::routes::PREFIX;

/// The versions and extensions that are spoken, as `Tus-Version` and `Tus-Extension` say.
const PROTOCOL: &str = "https://tus.io/protocols/resumable-upload";

/// What may be refused, beside what every operation may be refused for.
const REFUSALS: &[(&str, &str)] = &[
    ("400", "A header is missing or malformed, or the piece ended early."),
    ("401", "Nobody is signed in, or the token is not accepted."),
    ("403", "Known, but not allowed."),
    ("404", "There is no such transfer or upload, or none that the caller may see."),
    ("405", "This address does not take that method."),
    ("408", "The piece did not arrive in time; what came is kept."),
    ("409", "The piece begins elsewhere than the upload goes on, or the state does not allow it."),
    ("410", "The upload waited too long for its next piece."),
    ("412", "Tus-Resumable names another version than Tus-Version does."),
    ("413", "Longer than announced, than a file may be, or than a quota allows."),
    ("415", "The piece is not application/offset+octet-stream."),
    ("422", "A field is not acceptable."),
    ("423", "Somebody else is sending this upload."),
    ("429", "More requests than the limit."),
    ("431", "The headers are larger than this daemon takes."),
    ("460", "The piece does not have the checksum that was sent with it; nothing is kept."),
    ("500", "Reading or writing failed, or a defect; the log has more."),
    ("503", "Something that is needed does not answer now."),
    ("507", "Staging is full."),
];

fn header(description: &str, schema: Value) -> Value {
    json!({ "description": description, "schema": schema })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// A success without a body, with these headers.
fn done(description: &str, headers: &[&str]) -> Value {
    let text = || json!({ "type": "string" });
    let known = [
        ("Tus-Resumable", header("The version that is spoken.", json!({ "const": "1.0.0" }))),
        ("Tus-Version", header("All of them.", text())),
        ("Tus-Extension", header("What is spoken beside the core.", text())),
        ("Tus-Max-Size", header("Bytes of the longest file.", whole())),
        ("Tus-Checksum-Algorithm", header("Checksums that are known.", text())),
        ("Location", header("The upload's own address.", text())),
        ("Upload-Offset", header("Bytes that are durable.", whole())),
        ("Upload-Length", header("Bytes that the file will have.", whole())),
        (
            "Upload-Defer-Length",
            header("In its place, where that is not known yet.", json!({ "const": "1" })),
        ),
        ("Upload-Metadata", header("As it was given.", text())),
        ("Upload-Expires", header("Until when it waits for its next piece.", text())),
    ];
    let mut all = Map::new();
    for (name, schema) in known {
        if name == "Tus-Resumable" || headers.contains(&name) {
            all.insert(name.to_owned(), schema);
        }
    }
    json!({ "description": description, "headers": all })
}

fn parameter(name: &str, required: bool, description: &str, schema: Value) -> Value {
    json!({
        "name": name, "in": "header", "required": required, "description": description,
        "schema": schema,
    })
}

fn operation(
    id: &str,
    summary: &str,
    headers: Vec<Value>,
    (status, outcome): (&str, Value),
    refused: &[&str],
) -> Value {
    let mut responses = Map::new();
    responses.insert(status.to_owned(), outcome);
    for (status, description) in REFUSALS.iter().filter(|(status, _)| refused.contains(status)) {
        let mut refusal = json!({ "description": description });
        // What is answered to HEAD has no body.
        if id != "upload_offset" {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            refusal["content"] = json!({ "application/problem+json": { "schema": schema } });
        }
        responses.insert((*status).to_owned(), refusal);
    }
    json!({
        "operationId": id, "tags": ["transfers"], "summary": summary, "parameters": headers,
        "externalDocs": { "url": PROTOCOL, "description": "The tus resumable upload protocol" },
        "responses": responses,
    })
}

fn within(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// Path, method and operation.
pub(super) fn operations() -> Vec<(String, &'static str, Value)> {
    let code = || within("code", json!({ "type": "string", "maxLength": 64 }));
    let id = || within("id", json!({ "type": "string", "format": "uuid" }));
    let version = || parameter("Tus-Resumable", true, "The version.", json!({ "const": "1.0.0" }));
    let checksum = || {
        let schema =
            json!({ "type": "string", "pattern": "^(sha1|sha256) [A-Za-z0-9+/]{27,43}=$" });
        parameter("Upload-Checksum", false, "Of the piece: its kind, and it in Base64.", schema)
    };
    let all: Vec<&str> = REFUSALS.iter().map(|(status, _)| *status).collect();
    let but = |not: &[&str]| -> Vec<&str> {
        all.iter().copied().filter(|status| !not.contains(status)).collect()
    };
    let body = json!({ "required": false, "content": {
        "application/offset+octet-stream": { "schema": { "type": "string", "format": "binary" } },
    } });
    let length = |description: &str| {
        let schema = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
        parameter("Upload-Length", false, description, schema)
    };
    let deferred = parameter(
        "Upload-Defer-Length",
        false,
        "In place of Upload-Length: a later piece tells it.",
        json!({ "type": "string", "const": "1" }),
    );
    let metadata = parameter(
        "Upload-Metadata",
        true,
        "Names with values in Base64; `path` (or `filename`) is where the file belongs.",
        json!({ "type": "string", "maxLength": 8192 }),
    );
    let offset = parameter(
        "Upload-Offset",
        true,
        "Where the piece begins.",
        json!({
            "type": "integer", "minimum": 0, "maximum": i64::MAX,
        }),
    );
    let begun = done("Begun.", &["Location", "Upload-Offset", "Upload-Expires"]);
    let told = ["Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"];
    let where_it_is = done(
        "Here.",
        &[
            "Upload-Offset",
            "Upload-Length",
            "Upload-Defer-Length",
            "Upload-Metadata",
            "Upload-Expires",
        ],
    );
    let kept = done("Kept.", &["Upload-Offset", "Upload-Expires"]);
    let uploads = format!("{PREFIX}/transfers/{{code}}/uploads");
    let one = format!("{uploads}/{{id}}");
    let know = |id: &str, parameters: Vec<Value>| {
        let told = done("This.", &told);
        operation(
            id,
            "What of tus is spoken here.",
            parameters,
            ("204", told),
            &["400", "422", "431"],
        )
    };
    let mut begin = operation(
        "upload_begin",
        "Begins an upload in pieces (tus 1.0, creation); a body is its first piece.",
        vec![
            code(),
            version(),
            length("Bytes that the file will have; or else Upload-Defer-Length."),
            deferred,
            metadata,
            checksum(),
        ],
        ("201", begun),
        &but(&["410"]),
    );
    begin["requestBody"] = body.clone();
    let piece = "The next piece (tus 1.0); the last one makes the file part of the transfer.";
    let late = length("Bytes that the file will have, where that was deferred.");
    let parameters = vec![code(), id(), version(), offset, late, checksum()];
    let mut send = operation("upload_piece", piece, parameters, ("204", kept.clone()), &all);
    send["requestBody"] = body.clone();
    let instead = parameter(
        "X-HTTP-Method-Override",
        true,
        "What is meant, for networks that let nothing else through.",
        json!({ "type": "string", "enum": ["PATCH", "DELETE"] }),
    );
    let mut overridden = operation(
        "upload_override",
        "As PATCH or DELETE.",
        vec![code(), id(), version(), instead],
        ("204", kept),
        &all,
    );
    overridden["requestBody"] = body;
    let look = operation(
        "upload_offset",
        "Where an upload goes on: so much of it is durable.",
        vec![code(), id(), version()],
        ("200", where_it_is),
        &but(&["408", "413", "415", "423", "460", "507"]),
    );
    let end = operation(
        "upload_terminate",
        "Gives an upload up (tus 1.0, termination).",
        vec![code(), id(), version()],
        ("204", done("Gone.", &[])),
        &but(&["408", "410", "413", "415", "423", "460", "507"]),
    );
    vec![
        (uploads.clone(), "post", begin),
        (uploads, "options", know("uploads_options", vec![code()])),
        (one.clone(), "head", look),
        (one.clone(), "patch", send),
        (one.clone(), "delete", end),
        (one.clone(), "post", overridden),
        (one, "options", know("upload_options", vec![code(), id()])),
    ]
}
