//! What holds for every request and every answer: bounds of the head, a name in the
//! log, headers that keep browsers from harm, origins.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use databridge_core::app::config::HttpConfig;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{Instrument, info, info_span};

use super::Served;
use super::body::{self, is_escaped_well};
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Headers of a request, whatever their length.
const MOST_HEADERS: usize = 100;

/// Lets well-formed requests through, counts them, and stamps what they are answered.
pub(super) async fn guard(State(served): State<Served>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let id = name_of(request.headers());
    // The query may hold what is nobody else's business.
    let span = info_span!("request", id, %method, path = request.uri().path());
    let (request, rest) = body::lend(request);
    let answer = async {
        match check(&served.app.config().http, &request) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let mut answer = answer.instrument(span.clone()).await;
    let took = began.elapsed();
    let status = answer.status();
    span.in_scope(|| info!(status = status.as_u16(), ms = took.as_millis(), "answered"));
    served.metrics.answered(route.as_deref().unwrap_or("none"), &method, status.as_u16(), took);
    stamp(answer.headers_mut(), &id);
    // Who was too slow has had the time.
    if status != StatusCode::REQUEST_TIMEOUT {
        rest.drain().await;
    }
    answer
}

/// The caller's name for the request, if it has one that a log can take; else ours.
fn name_of(headers: &HeaderMap) -> String {
    let fine = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(fine);
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn check(config: &HttpConfig, request: &Request) -> Result<(), Problem> {
    let uri = request.uri();
    let head: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>()
        + uri.path_and_query().map_or(0, |whole| whole.as_str().len());
    let most = usize::try_from(config.max_header_bytes).unwrap_or(usize::MAX);
    if head > most || request.headers().len() > MOST_HEADERS {
        return Err(Problem::headers_too_large(config.max_header_bytes));
    }
    let query = uri.query().unwrap_or_default();
    if !is_escaped_well(uri.path()) || !is_escaped_well(query) {
        return Err(Problem::bad_escape());
    }
    Ok(())
}

fn stamp(headers: &mut HeaderMap, id: &str) {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages say themselves what they load, and what may be kept.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Says to browsers who may ask. A preflight names the method that is meant; any other
/// `OPTIONS` (RFC 9110, 9.3.7; tus 1.0) asks something of its own, which `CorsLayer` takes
/// for one, too, unless it is shown a `GET`.
pub(super) async fn cross(
    State(cors): State<CorsLayer>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asks = request.method() == Method::OPTIONS && !is_preflight;
    if asks {
        *request.method_mut() = Method::GET;
    }
    let mut next = Some(next);
    let inner = tower::service_fn(move |mut request: Request| {
        if asks {
            *request.method_mut() = Method::OPTIONS;
        }
        let next = next.take();
        async move {
            Ok::<_, std::convert::Infallible>(match next {
                Some(next) => next.run(request).await,
                None => Problem::no_route().into_response(),
            })
        }
    });
    match cors.layer(inner).oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The origins that may ask, as the configuration names them; `None` where it names none.
pub(super) fn origins(config: &HttpConfig) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        config.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let named = HeaderName::from_static;
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                named("content-digest"),
                named("idempotency-key"),
                named("last-event-id"),
                named("tus-resumable"),
                named("upload-checksum"),
                named("upload-defer-length"),
                named("upload-length"),
                named("upload-metadata"),
                named("upload-offset"),
                named("x-http-method-override"),
                REQUEST_ID,
            ])
            .expose_headers([
                header::ETAG,
                header::LOCATION,
                header::RETRY_AFTER,
                named("tus-checksum-algorithm"),
                named("tus-extension"),
                named("tus-max-size"),
                named("tus-resumable"),
                named("tus-version"),
                named("upload-defer-length"),
                named("upload-expires"),
                named("upload-length"),
                named("upload-metadata"),
                named("upload-offset"),
                named("x-ratelimit-limit"),
                named("x-ratelimit-remaining"),
                named("x-ratelimit-reset"),
                named("x-required-roles"),
                REQUEST_ID,
            ])
            .max_age(std::time::Duration::from_secs(600)),
    )
}
