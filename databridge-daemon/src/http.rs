//! REST: every [`Route`](databridge_core::app::routes::Route) of the library served as
//! it stands in the table, and beside it what is no call: signing in, uploads, streams,
//! health, metrics.

mod body;
mod docs;
mod events;
mod export;
mod guard;
mod limits;
mod metrics;
mod problem;
mod senders;
pub mod server;
pub mod tls;
mod tus;
mod uploads;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router, middleware};
use databridge_core::app::App;
use databridge_core::app::config::Role;
use databridge_core::app::routes::{self, Method, PREFIX, ROUTES, Route};
use databridge_core::control::ctx::{Ctx, Expected};
use databridge_core::control::identity::{self, Attempt};
use databridge_core::control::limits::Class;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use limits::Asked;
use problem::Problem;

type Fields = HashMap<String, String>;

/// What handlers work with.
#[derive(Clone)]
struct Served {
    app: App,
    metrics: Arc<metrics::Metrics>,
    senders: Arc<senders::Senders>,
}

/// Serves `app`; the second, where metrics have an address of their own, serves these.
pub fn routers(app: App) -> (Router, Option<Router>) {
    let (metrics, senders) = (metrics::Metrics::new(), Arc::default());
    let served = Served { app: app.clone(), metrics, senders };
    let mut router =
        Router::new().route("/api/health", get(health)).route("/api/ready", get(ready));
    // A host that only works tells how it is, and nothing else.
    if app.config().role != Role::Work {
        router = router.merge(interface());
    }
    let config = app.config().http.clone();
    if config.metrics_listen.is_none() {
        router = router.route("/metrics", get(metrics::own));
    }
    let mut router = router
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::no_method() });
    if let Some(origins) = guard::origins(&config) {
        router = router.layer(middleware::from_fn_with_state(origins, guard::cross));
    }
    let router = router
        .layer(middleware::from_fn_with_state(served.clone(), guard::guard))
        .with_state(served.clone());
    (router, config.metrics_listen.is_some().then(|| metrics::apart(served)))
}

/// What people and programs ask of it.
fn interface() -> Router<Served> {
    let mut router = Router::new()
        .route(&format!("{PREFIX}/auth/login"), post(login))
        .route(&format!("{PREFIX}/auth/refresh"), post(refresh))
        .route(&format!("{PREFIX}/activity/export"), get(export::activity))
        .route(&format!("{PREFIX}/events"), get(events::mine))
        .route(&format!("{PREFIX}/transfers/{{code}}/events"), get(events::of_transfer))
        .route(&format!("{PREFIX}/transfers/{{code}}/files/{{*path}}"), put(uploads::put))
        .merge(docs::routes())
        .merge(tus::routes());
    for route in ROUTES {
        router = router.route(&format!("{PREFIX}{}", route.path), handler(*route));
    }
    router
}

/// What stands in a path; what cannot be read of it is a problem like any other.
struct Within<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Within<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(within) =
            Path::from_request_parts(parts, state).await.map_err(|e| Problem::input(&e))?;
        Ok(Self(within))
    }
}

fn handler(route: Route) -> MethodRouter<Served> {
    let answer = move |State(served): State<Served>,
                       ConnectInfo(peer): ConnectInfo<SocketAddr>,
                       Within(path): Within<Fields>,
                       uri: Uri,
                       headers: HeaderMap,
                       body: Body| async move {
        let (app, asked) = (served.app, Asked::of(&route, peer));
        limits::admit(&app, asked, &headers, async |ctx| {
            call(&app, ctx, &route, path, &uri, &headers, body).await
        })
        .await
    };
    match route.method {
        Method::Get => get(answer),
        Method::Post => post(answer),
        Method::Patch => patch(answer),
        Method::Delete => delete(answer),
    }
}

async fn call(
    app: &App,
    mut ctx: Ctx,
    route: &Route,
    path: Fields,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let config = &app.config().http;
    let body = match route.method {
        Method::Post | Method::Patch => body::json(config, headers, body).await?,
        Method::Get | Method::Delete => Map::new(),
    };
    let fields = fields(path, body::query(uri)?, body)?;
    let call = routes::call(route.op, fields).map_err(|e| Problem::input(&e))?;
    let key = text(headers, "idempotency-key")?;
    ctx.expected = expected(route, headers)?;
    let patience = Duration::from_secs(config.answer_seconds);
    let answer = tokio::time::timeout(patience, app.call(&ctx, call, key))
        .await
        .map_err(|_| Problem::too_late(config.answer_seconds))??;
    let etag = route.has_etag().then(|| answer["version"].as_i64()).flatten();
    let mut response = Json(answer).into_response();
    if let Some(tag) = etag.and_then(|version| HeaderValue::try_from(format!("\"{version}\"")).ok())
    {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A header that is text, if it is there.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let read = |value: &'a HeaderValue| {
        value.to_str().map_err(|_| Problem::input(&format!("{name} is not plain ASCII")))
    };
    headers.get(name).map(read).transpose()
}

/// The version that `If-Match` names (RFC 9110, 13.1.1): one of our tags, or any.
fn expected(route: &Route, headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let Some(tag) = text(headers, "if-match")? else { return Ok(None) };
    if !route.takes_if_match() {
        return Err(Problem::input(&"this call takes no If-Match"));
    }
    if tag == "*" {
        return Ok(Some(Expected::Any));
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let version = version.and_then(|version| version.parse().ok());
    version
        .map(|v| Some(Expected::Version(v)))
        .ok_or_else(|| Problem::input(&"If-Match is no ETag of ours"))
}

/// Path, query and body as the fields of one call.
fn fields(
    path: Fields,
    query: Vec<(String, String)>,
    body: Map<String, Value>,
) -> Result<Map<String, Value>, Problem> {
    let mut fields = body;
    for (name, value) in query.into_iter().chain(path) {
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(Problem::input(&format!("{name} is given twice")));
        }
    }
    if fields.contains_key("op") {
        return Err(Problem::input(&"there is no field op"));
    }
    Ok(fields)
}

/// The token or key that a request brings.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .filter(|token| !token.is_empty())
}

/// Who asks.
async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Ctx, Problem> {
    match bearer(headers) {
        Some(token) => Ok(app.authenticate(token).await?),
        None => Err(databridge_core::Error::from(identity::Error::NoToken).into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
    #[serde(default)]
    new_password: Option<String>,
}

async fn login(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (app, asked) = (served.app, Asked { class: Class::Login, part: "auth", peer });
    limits::count(&app, asked, async || {
        let fields = Value::Object(body::json(&app.config().http, &headers, body).await?);
        databridge_core::app::fields::check(&fields).map_err(databridge_core::Error::from)?;
        let login: Login = serde_json::from_value(fields).map_err(|e| Problem::input(&e))?;
        let Login { username, password, new_password } = login;
        let address = Some(peer.ip().to_string());
        let session = app.sign_in(Attempt { username, password, new_password, address }).await?;
        Ok(Json(session))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

async fn refresh(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // By the address, as for a sign-in, but beside it: clients renew by themselves.
    let (app, asked) = (served.app, Asked { class: Class::Write, part: "refresh", peer });
    limits::count(&app, asked, async || {
        let fields = Value::Object(body::json(&app.config().http, &headers, body).await?);
        databridge_core::app::fields::check(&fields).map_err(databridge_core::Error::from)?;
        let asked: Refresh = serde_json::from_value(fields).map_err(|e| Problem::input(&e))?;
        Ok(Json(app.refresh(&asked.refresh_token).await?))
    })
    .await
}

async fn health(State(served): State<Served>) -> Response {
    // Nothing is counted: a database that is gone is not the process's death.
    Json(served.app.health()).into_response()
}

async fn ready(State(served): State<Served>) -> Response {
    let found = served.app.readiness().await;
    if found.ready {
        return Json(found).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], Json(found)).into_response()
}
