//! The REST interface as a table: one row a [`Call`](super::Call). The daemon
//! serves it and the client walks it, so that they cannot disagree.

use serde::Serialize;
use serde_json::{Map, Value};

/// An HTTP method (RFC 9110).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Method {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Changes.
    Patch,
    /// Takes away.
    Delete,
}

/// Where a call is served.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Route {
    /// The call's name.
    pub op: &'static str,
    /// How.
    pub method: Method,
    /// Below `/api/v1`; `{name}` is a field of the call, `{*name}` one with slashes.
    pub path: &'static str,
}

/// The root of all paths.
pub const PREFIX: &str = "/api/v1";

impl Route {
    /// Whether it answers a version that `If-Match` can name.
    pub fn has_etag(&self) -> bool {
        matches!(self.op, "transfer_show" | "user_show" | "user_change")
    }

    /// Whether it changes only the version that `If-Match` names, where it names one.
    pub fn takes_if_match(&self) -> bool {
        self.op == "user_change" || (self.method != Method::Get && CONDITIONAL.contains(&self.op))
    }
}

/// Calls on a transfer that can be bound to the version that was looked at.
const CONDITIONAL: &[&str] = &[
    "transfer_submit",
    "transfer_cancel",
    "approve",
    "reject",
    "override_approval",
    "scan",
    "decide",
    "start",
    "retry",
    "transfer_priority",
    "transfer_pause",
    "transfer_resume",
    "transfer_recall",
];

const fn route(method: Method, path: &'static str, op: &'static str) -> Route {
    Route { op, method, path }
}

use Method::{Delete, Get, Patch, Post};

/// Every call.
pub const ROUTES: &[Route] = &[
    route(Post, "/transfers", "transfer_create"),
    route(Get, "/transfers", "transfer_list"),
    route(Get, "/transfers/{code}", "transfer_show"),
    route(Get, "/transfers/{code}/explain", "transfer_explain"),
    route(Get, "/transfers/{code}/files", "transfer_files"),
    route(Post, "/transfers/{code}/files", "transfer_add"),
    route(Delete, "/transfers/{code}/files/{*path}", "transfer_remove_file"),
    route(Get, "/transfers/{code}/uploads", "upload_list"),
    route(Post, "/transfers/{code}/uploads/{id}/end", "upload_end"),
    route(Post, "/transfers/{code}/submit", "transfer_submit"),
    route(Post, "/transfers/{code}/cancel", "transfer_cancel"),
    route(Get, "/transfers/{code}/history", "transfer_history"),
    route(Get, "/transfers/{code}/receipt", "transfer_receipt"),
    route(Get, "/transfers/{code}/where", "transfer_where"),
    route(Get, "/transfers/{code}/recall", "transfer_recall_receipt"),
    route(Get, "/approvals", "approvals_waiting"),
    route(Post, "/approvals/{code}/approve", "approve"),
    route(Post, "/approvals/{code}/reject", "reject"),
    route(Post, "/approvals/{code}/override", "override_approval"),
    route(Post, "/approvals/absences", "absence_set"),
    route(Get, "/approvals/absences", "absence_list"),
    route(Delete, "/approvals/absences/{id}", "absence_end"),
    route(Get, "/approvals/chains", "chain_list"),
    route(Post, "/approvals/chains", "chain_define"),
    route(Get, "/scanning/engines", "scan_engines"),
    route(Get, "/scanning/{code}", "scan_report"),
    route(Post, "/scanning/{code}/start", "scan"),
    route(Post, "/scanning/{code}/decide", "decide"),
    route(Post, "/transfer-ops/{code}/start", "start"),
    route(Post, "/transfer-ops/{code}/retry", "retry"),
    route(Post, "/transfer-ops/{code}/priority", "transfer_priority"),
    route(Post, "/transfer-ops/{code}/pause", "transfer_pause"),
    route(Post, "/transfer-ops/{code}/resume", "transfer_resume"),
    route(Post, "/transfer-ops/uploads/collect", "upload_collect"),
    route(Post, "/transfer-ops/{code}/recall", "transfer_recall"),
    route(Post, "/transfer-ops/{code}/hooks/{hook}/retry", "hook_retry"),
    route(Get, "/transfer-ops/housekeeping", "housekeeping_plan"),
    route(Post, "/transfer-ops/housekeeping", "housekeeping_run"),
    route(Get, "/transfer-ops/bandwidth", "bandwidth_list"),
    route(Post, "/transfer-ops/bandwidth", "bandwidth_set"),
    route(Get, "/transfer-ops/hosts", "host_list"),
    route(Get, "/transfer-ops/jobs", "job_list"),
    route(Get, "/transfer-ops/receipt-key", "receipt_key"),
    route(Get, "/transfer-ops/translate", "path_translate"),
    route(Post, "/lots", "lot_register"),
    route(Post, "/lots/batch", "lot_register_all"),
    route(Get, "/lots", "lot_list"),
    route(Get, "/lots/{lot_code}", "lot_show"),
    route(Get, "/lots/{lot_code}/history", "lot_history"),
    route(Post, "/lots/{lot_code}/parents", "lot_link"),
    route(Post, "/lots/{lot_code}/status", "lot_move"),
    route(Get, "/traceability/access", "lineage_access"),
    route(Get, "/traceability/{lot_code}/ancestors", "trace_ancestors"),
    route(Get, "/traceability/{lot_code}/descendants", "trace_descendants"),
    route(Get, "/traceability/{lot_code}/blast-radius", "trace_blast"),
    route(Get, "/traceability/{lot_code}/common/{other}", "trace_common"),
    route(Get, "/traceability/{lot_code}/path/{other}", "trace_path"),
    route(Get, "/traceability/{lot_code}/graph", "trace_graph"),
    route(Post, "/runs", "run_create"),
    route(Get, "/runs", "run_list"),
    route(Get, "/runs/{run_code}", "run_show"),
    route(Get, "/runs/{run_code}/history", "run_history"),
    route(Post, "/runs/{run_code}/advance", "run_advance"),
    route(Post, "/runs/{run_code}/skip", "run_skip"),
    route(Post, "/runs/{run_code}/end", "run_end"),
    route(Post, "/runs/{run_code}/status", "run_move"),
    route(Get, "/qc-gates", "gate_list"),
    route(Post, "/qc-gates/decisions", "qc_decide"),
    route(Get, "/qc-gates/decisions", "qc_list"),
    route(Post, "/flows", "flow_draft"),
    route(Get, "/flows", "flow_list"),
    route(Get, "/flows/scenarios", "scenario_list"),
    route(Post, "/flows/scenarios", "scenario_define"),
    route(Get, "/flows/profiles", "profile_list"),
    route(Post, "/flows/profiles/{name}/install", "profile_install"),
    route(Get, "/flows/{flow}/versions", "flow_show"),
    route(Post, "/flows/{flow}/versions/{version_num}/graph", "flow_edit"),
    route(Post, "/flows/{flow}/versions/{version_num}/status", "flow_move"),
    route(Post, "/flows/{flow}/versions/{version_num}/notes", "flow_note"),
    route(Get, "/flows/{flow}/diff", "flow_diff"),
    route(Get, "/notifications", "notification_list"),
    route(Post, "/notifications/read", "notification_read"),
    route(Get, "/activity", "activity"),
    route(Post, "/activity/verify", "ledger_verify"),
    route(Get, "/activity/checkpoint", "ledger_checkpoint"),
    route(Get, "/activity/proof/{position}", "ledger_prove"),
    route(Get, "/users", "user_list"),
    route(Post, "/users", "user_create"),
    route(Get, "/users/{username}", "user_show"),
    route(Patch, "/users/{username}", "user_change"),
    route(Post, "/users/{username}/roles", "user_role"),
    route(Post, "/users/{username}/active", "user_active"),
    route(Post, "/users/{username}/password", "user_password"),
    route(Post, "/users/{username}/unlock", "user_unlock"),
    route(Get, "/auth/me", "me"),
    route(Post, "/auth/logout", "logout"),
    route(Get, "/auth/keys", "key_list"),
    route(Post, "/auth/keys", "key_create"),
    route(Delete, "/auth/keys/{name}", "key_revoke"),
];

impl Route {
    /// The part of the interface: its path's first word, by which requests are counted
    /// and API keys limited.
    pub fn part(&self) -> &'static str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

/// The parts of the interface, each once.
pub fn parts() -> Vec<&'static str> {
    let mut parts: Vec<_> = ROUTES.iter().map(Route::part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// Where a call is served.
pub fn of(call: &super::Call) -> Option<&'static Route> {
    let Ok(Value::Object(fields)) = serde_json::to_value(call) else { return None };
    let op = fields.get("op")?;
    ROUTES.iter().find(|route| op == route.op)
}

/// A call as an HTTP request: method, path with query, body.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Below the server's address, percent-encoded.
    pub path: String,
    /// For [`Method::Post`] and [`Method::Patch`].
    pub body: Option<Value>,
}

/// Percent-encodes what RFC 3986 does not leave unreserved; slashes stay where the
/// field is a path.
fn encode(text: &str, keep_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            b'/' if keep_slashes => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The path below the server's address where a file of a transfer is put.
pub fn upload_path(code: &str, path: &str) -> String {
    format!("{PREFIX}/transfers/{}/files/{}", encode(code, false), encode(path, true))
}

/// The path below the server's address where uploads of a transfer begin; each goes on at
/// its own name below.
pub fn uploads_path(code: &str) -> String {
    format!("{PREFIX}/transfers/{}/uploads", encode(code, false))
}

/// The request that carries a call to a daemon; `None` where there is no such call.
pub fn request(call: &super::Call) -> Option<Request> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(call) else { return None };
    let op = fields.remove("op")?;
    let route = ROUTES.iter().find(|route| op == route.op)?;
    let mut path = PREFIX.to_owned();
    for part in route.path.split('/').skip(1) {
        path.push('/');
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            None => path.push_str(part),
            Some(name) => {
                let rest = name.strip_prefix('*');
                let value = fields.remove(rest.unwrap_or(name))?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                path.push_str(&encode(&text, rest.is_some()));
            }
        }
    }
    fields.retain(|_, value| !value.is_null());
    let body = match route.method {
        Method::Post | Method::Patch => Some(Value::Object(fields)),
        Method::Get | Method::Delete => {
            path.push_str(&query(&fields));
            None
        }
    };
    Some(Request { method: route.method, path, body })
}

fn query(fields: &Map<String, Value>) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", encode(&text, false))
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// The call that a request's fields (path, query and body together) make.
///
/// # Errors
/// What is wrong with the fields.
pub fn call(op: &str, mut fields: Map<String, Value>) -> Result<super::Call, serde_json::Error> {
    fields.insert("op".into(), op.into());
    serde_json::from_value(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Call;
    use super::super::call::Code;
    use super::*;

    #[test]
    fn a_call_becomes_a_request_and_a_call_again() {
        let call = Call::TransferRemoveFile { code: "TRF-00001".into(), path: "a b/c#.exr".into() };
        let made = request(&call).unwrap();
        assert_eq!(made.method, Method::Delete);
        assert_eq!(made.path, "/api/v1/transfers/TRF-00001/files/a%20b/c%23.exr");
        let history = Call::TransferHistory {
            code: "TRF-00001".into(),
            after: Some(3),
            limit: None,
            wait: Some(5),
        };
        assert_eq!(
            request(&history).unwrap().path,
            "/api/v1/transfers/TRF-00001/history?after=3&wait=5"
        );
        let fields = [("code", "TRF-00001"), ("after", "3")];
        let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
        assert!(super::call("transfer_history", fields).is_ok());
    }

    #[test]
    fn every_route_is_a_call_and_unknown_fields_are_refused() {
        for route in ROUTES {
            let error = super::call(route.op, Map::new()).err().map(|e| e.to_string());
            assert!(!error.is_some_and(|e| e.contains("unknown variant")), "{}", route.op);
        }
        let code = Call::TransferShow(Code { code: "x".into() });
        assert!(request(&code).is_some());
        let fields =
            Map::from_iter([("code".to_owned(), "x".into()), ("oops".to_owned(), 1.into())]);
        assert!(super::call("transfer_show", fields).is_err());
    }
}
