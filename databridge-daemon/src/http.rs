//! REST: every [`Route`](databridge_core::app::routes::Route) of the library served as
//! it stands in the table, and beside it what is no call: signing in, uploads, health.

mod limits;
mod problem;
mod uploads;

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use databridge_core::app::App;
use databridge_core::app::routes::{self, Method, PREFIX, ROUTES, Route};
use databridge_core::control::ctx::Ctx;
use databridge_core::control::identity::{self, Attempt};
use databridge_core::control::limits::Class;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use limits::Asked;
use problem::Problem;

type Fields = HashMap<String, String>;

/// Serves `app`.
pub fn router(app: App) -> Router {
    let mut router = Router::new()
        .route("/api/health", get(health))
        .route(&format!("{PREFIX}/auth/login"), post(login))
        .route(&format!("{PREFIX}/auth/refresh"), post(refresh))
        .route(&format!("{PREFIX}/transfers/{{code}}/files/{{*path}}"), put(uploads::put));
    for route in ROUTES {
        router = router.route(&format!("{PREFIX}{}", route.path), handler(*route));
    }
    router
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .with_state(app)
}

/// Of a host that only works: whether it is well, and nothing else.
pub fn health_only(app: App) -> Router {
    Router::new()
        .route("/api/health", get(health))
        .fallback(|| async { Problem::no_route() })
        .with_state(app)
}

fn handler(route: Route) -> MethodRouter<App> {
    let answer = move |State(app): State<App>,
                       ConnectInfo(peer): ConnectInfo<SocketAddr>,
                       Path(path): Path<Fields>,
                       Query(query): Query<Fields>,
                       headers: HeaderMap,
                       body: Bytes| async move {
        let asked = Asked::of(&route, peer);
        limits::admit(&app, asked, &headers, async |ctx| {
            call(&app, &ctx, route.op, path, query, &headers, &body).await
        })
        .await
    };
    match route.method {
        Method::Get => get(answer),
        Method::Post => post(answer),
        Method::Delete => delete(answer),
    }
}

async fn call(
    app: &App,
    ctx: &Ctx,
    op: &str,
    path: Fields,
    query: Fields,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Json<Value>, Problem> {
    let call = routes::call(op, fields(path, query, body)?).map_err(|e| Problem::input(&e))?;
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    Ok(Json(app.call(ctx, call, key).await?))
}

/// Path, query and body as the fields of one call.
fn fields(path: Fields, query: Fields, body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let mut fields = match body {
        [] => Map::new(),
        body => serde_json::from_slice(body).map_err(|e| Problem::input(&e))?,
    };
    for (name, value) in query.into_iter().chain(path) {
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(Problem::input(&format!("{name} is given twice")));
        }
    }
    Ok(fields)
}

/// Who asks.
async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Ctx, Problem> {
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .filter(|token| !token.is_empty());
    match bearer {
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
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Response {
    let asked = Asked { class: Class::Login, part: "auth", peer };
    limits::count(&app, asked, async || {
        let login: Login = serde_json::from_slice(&body).map_err(|e| Problem::input(&e))?;
        let Login { username, password, new_password } = login;
        let address = Some(peer.ip().to_string());
        let session = app.sign_in(Attempt { username, password, new_password, address }).await?;
        // A token must not stay in any cache on the way (RFC 6749, 5.1).
        Ok((StatusCode::OK, [("cache-control", "no-store")], Json(session)))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

async fn refresh(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Response {
    // By the address, as for a sign-in, but beside it: clients renew by themselves.
    let asked = Asked { class: Class::Write, part: "refresh", peer };
    limits::count(&app, asked, async || {
        let asked: Refresh = serde_json::from_slice(&body).map_err(|e| Problem::input(&e))?;
        let session = app.refresh(&asked.refresh_token).await?;
        Ok((StatusCode::OK, [("cache-control", "no-store")], Json(session)))
    })
    .await
}

async fn health(State(app): State<App>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let asked = Asked { class: Class::Read, part: "health", peer };
    limits::count(&app, asked, async || {
        Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })))
    })
    .await
}
