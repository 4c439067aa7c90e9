//! Counting requests before they are answered. Whoever is signed in is counted as
//! themselves, everybody else by their address.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use databridge_core::Error;
use databridge_core::app::App;
use databridge_core::app::routes::{Method, Route};
use databridge_core::control::ctx::Ctx;
use databridge_core::control::limits::{Class, Window};

use super::authenticate;
use super::problem::Problem;

/// What is asked for, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub class: Class,
    /// The part of the interface: its paths' first word.
    pub part: &'static str,
    pub peer: SocketAddr,
}

impl Asked {
    pub fn of(route: &Route, peer: SocketAddr) -> Self {
        let class = if route.method == Method::Get { Class::Read } else { Class::Write };
        Self { class, part: route.part(), peer }
    }
}

/// Answers who is signed in and has requests left.
pub(super) async fn admit<R: IntoResponse>(
    app: &App,
    asked: Asked,
    headers: &HeaderMap,
    answer: impl AsyncFnOnce(Ctx) -> Result<R, Problem>,
) -> Response {
    match authenticate(app, headers).await {
        Ok(ctx) => {
            let caller = ctx.actor.user_id.to_string();
            counted(app, asked, &caller, async || answer(ctx).await).await
        }
        // Guessing tokens is no cheaper than asking.
        Err(problem) => {
            let asked = Asked { class: Class::Read, part: "unknown", ..asked };
            count(app, asked, async || Err::<R, _>(problem)).await
        }
    }
}

/// Answers who has requests left, by their address.
pub(super) async fn count<R: IntoResponse>(
    app: &App,
    asked: Asked,
    answer: impl AsyncFnOnce() -> Result<R, Problem>,
) -> Response {
    let caller = asked.peer.ip().to_string();
    counted(app, asked, &caller, answer).await
}

async fn counted<R: IntoResponse>(
    app: &App,
    asked: Asked,
    caller: &str,
    answer: impl AsyncFnOnce() -> Result<R, Problem>,
) -> Response {
    let window = match app.limits().count(asked.class, asked.part, caller).await {
        Ok(window) => window,
        Err(error) => return Problem::from(error).into_response(),
    };
    let answered = match window.and_then(|window| window.exceeded()) {
        Some(exceeded) => Err(Problem::from(Error::from(exceeded))),
        None => answer().await,
    };
    let mut response = answered.into_response();
    if let Some(window) = window {
        stamp(response.headers_mut(), &window);
    }
    response
}

fn stamp(headers: &mut HeaderMap, window: &Window) {
    let mut set = |name: &'static str, value: i64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    };
    set("x-ratelimit-limit", window.limit);
    set("x-ratelimit-remaining", window.remaining);
    set("x-ratelimit-reset", window.reset_seconds);
    if !window.admitted {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(window.reset_seconds));
    }
}
