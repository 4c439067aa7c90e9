//! The interface's description, and a page to read it by: no script or style of
//! anybody else's.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use databridge_core::app::openapi;
use databridge_core::app::routes::PREFIX;

use super::Served;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Served> {
    Router::new()
        .route(
            &format!("{PREFIX}/openapi.json"),
            get(|| async { answer("application/json", &DOCUMENT) }),
        )
        .route(
            "/api/docs",
            get(|| async { answer("text/html; charset=utf-8", include_str!("docs/page.html")) }),
        )
        .route(
            "/api/docs/page.js",
            get(|| async { answer("text/javascript", include_str!("docs/page.js")) }),
        )
        .route(
            "/api/docs/page.css",
            get(|| async { answer("text/css", include_str!("docs/page.css")) }),
        )
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
