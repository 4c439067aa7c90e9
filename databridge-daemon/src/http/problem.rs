//! Every refusal as a problem document (RFC 9457).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use databridge_core::ErrorKind;
use serde_json::json;
use tracing::error;

/// Where a protocol has a status of its own for what the kind says in general: tus 1.0,
/// RFC 9110 and RFC 4918.
const STATUSES: &[(&str, u16)] = &[
    ("storage.full", 507),
    ("upload.busy", 423),
    ("upload.checksum", 460),
    ("upload.expired", 410),
    ("upload.interrupted", 400),
    ("upload.lost", 410),
    ("upload.too_long", 413),
    ("upload.transfer_quota", 413),
    ("upload.user_quota", 413),
];

/// A refusal on its way out.
#[derive(Debug)]
pub struct Problem {
    status: u16,
    kind: ErrorKind,
    code: String,
    detail: String,
    hint: Option<String>,
    required_roles: Vec<String>,
}

impl Problem {
    fn new(status: u16, kind: ErrorKind, code: &str, detail: String, hint: &str) -> Self {
        let hint = Some(hint.to_owned());
        Self { status, kind, code: code.into(), detail, hint, required_roles: Vec::new() }
    }

    /// The request itself is malformed.
    pub fn input(error: &dyn std::fmt::Display) -> Self {
        let detail = format!("the request is not understood: {error}");
        Self::new(
            400,
            ErrorKind::Invalid,
            "http.bad_request",
            detail,
            "check the fields and their types",
        )
    }

    /// More than this daemon takes.
    pub fn too_large(limit: u64, setting: &str) -> Self {
        let detail = format!("the body is larger than {limit} bytes");
        let hint = format!("{setting} is the limit");
        Self::new(413, ErrorKind::Invalid, "http.too_large", detail, &hint)
    }

    /// The body is something else than JSON.
    pub(super) fn media_type() -> Self {
        let detail = "the body is not application/json".to_owned();
        let hint = "send JSON with Content-Type: application/json";
        Self::new(415, ErrorKind::Invalid, "http.media_type", detail, hint)
    }

    /// The body is no piece of an upload.
    pub(super) fn no_piece(kind: &str) -> Self {
        let detail = format!("the body is not {kind}");
        let hint = "send the bytes of the file as they are, under that Content-Type";
        Self::new(415, ErrorKind::Invalid, "http.media_type", detail, hint)
    }

    /// The client speaks another tus.
    pub(super) fn tus_version(spoken: &str) -> Self {
        let detail = format!("Tus-Resumable is not {spoken}");
        let hint = "use a client of the tus protocol 1.0";
        Self::new(412, ErrorKind::Invalid, "http.tus_version", detail, hint)
    }

    /// The head of the request is out of bounds.
    pub(super) fn headers_too_large(limit: u64) -> Self {
        let detail = format!("address and headers are more than {limit} bytes, or 100 headers");
        let hint = "http.max_header_bytes is the limit";
        Self::new(431, ErrorKind::Invalid, "http.headers_too_large", detail, hint)
    }

    /// An escape in the address is none.
    pub(super) fn bad_escape() -> Self {
        let detail = "the address has an escape that is not %XX, or not UTF-8".to_owned();
        let hint = "percent-encode the address's parts as UTF-8";
        Self::new(400, ErrorKind::Invalid, "http.bad_escape", detail, hint)
    }

    /// The body did not arrive in time.
    pub(super) fn too_slow(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} s");
        let hint = "send it again; http.body_seconds is the limit";
        Self::new(408, ErrorKind::Invalid, "http.too_slow", detail, hint)
    }

    /// The answer took too long.
    pub(super) fn too_late(seconds: u64) -> Self {
        let detail = format!("the answer took longer than {seconds} s");
        let hint = "ask again, under the same idempotency key; http.answer_seconds is the limit";
        Self::new(503, ErrorKind::Unavailable, "http.too_late", detail, hint)
    }

    /// So many files come in already.
    pub(super) fn crowded(most: usize, how: &str) -> Self {
        let detail = format!("{most} files {how}, and no more are taken at a time");
        let hint = "send it again in a moment; let one end before the next begins";
        Self::new(503, ErrorKind::Unavailable, "http.crowded", detail, hint)
    }

    pub(super) fn no_route() -> Self {
        let detail = "there is nothing at this address".to_owned();
        Self::new(
            404,
            ErrorKind::NotFound,
            "http.no_route",
            detail,
            "the interface is below /api/v1",
        )
    }

    pub(super) fn no_method() -> Self {
        let detail = "this address does not take that method".to_owned();
        Self::new(405, ErrorKind::Invalid, "http.no_method", detail, "see the Allow header")
    }
}

impl From<databridge_core::Error> for Problem {
    fn from(error: databridge_core::Error) -> Self {
        let kind = error.kind();
        let named = STATUSES.iter().find(|(code, _)| *code == error.code());
        let status = named.map_or(kind.http_status(), |(_, status)| *status);
        // What went wrong inside is for the log; the caller learns that it did.
        let detail = if kind == ErrorKind::Internal {
            error!(code = error.code(), error = error.chain(), "internal error");
            "something went wrong inside DataBridge; its log has the details".to_owned()
        } else {
            if status >= 500 {
                error!(code = error.code(), error = error.chain(), "request failed");
            }
            error.to_string()
        };
        Self {
            status,
            kind,
            code: error.code().to_owned(),
            detail,
            hint: error.hint().map(Into::into),
            required_roles: error.required_roles(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "type": format!("urn:databridge:error:{}", self.code),
            "title": status.canonical_reason().unwrap_or("Refused"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "kind": self.kind,
            "hint": self.hint,
            "required_roles": self.required_roles,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            401 => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            403 => {
                if let Ok(roles) = HeaderValue::from_str(&self.required_roles.join(", ")) {
                    headers.insert(HeaderName::from_static("x-required-roles"), roles);
                }
            }
            503 => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}
