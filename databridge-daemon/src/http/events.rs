//! What happens, as a stream of events (server-sent events): each has its position in
//! the ledger as its id, so that a reader who comes back names the last one.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use databridge_core::app::{Listener, Note};
use databridge_core::control::limits::Class;
use futures_util::stream;

use super::limits::{self, Asked};
use super::problem::Problem;
use super::{Served, Within, bearer};

/// Milliseconds after which a reader comes back.
const RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// Of everything that the caller may see.
pub(super) async fn mine(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    open(served, peer, headers, None).await
}

/// Of one transfer.
pub(super) async fn of_transfer(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within(code): Within<String>,
    headers: HeaderMap,
) -> Response {
    open(served, peer, headers, Some(code)).await
}

async fn open(
    served: Served,
    peer: SocketAddr,
    headers: HeaderMap,
    code: Option<String>,
) -> Response {
    let asked = Asked { class: Class::Read, part: "events", peer };
    let app = served.app.clone();
    limits::admit(&app, asked, &headers, async |ctx| {
        let after = last(&headers)?;
        let token = bearer(&headers).unwrap_or_default().to_owned();
        let listener = served.app.listen(ctx, token, code.as_deref(), after).await?;
        Ok(sent(served.clone(), listener))
    })
    .await
}

fn last(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(text) = headers.get("last-event-id") else { return Ok(None) };
    let position = text.to_str().ok().and_then(|text| text.parse().ok());
    let fine = position.filter(|position| *position >= 0);
    fine.map(Some).ok_or_else(|| Problem::input(&"Last-Event-ID is no position"))
}

/// Counts a stream as long as it is open.
struct Open(Served);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.streams.dec();
    }
}

fn sent(served: Served, listener: Listener) -> Response {
    served.metrics.streams.inc();
    let state = Some((listener, Open(served), true));
    let events = stream::unfold(state, |state| async move {
        let (mut listener, open, first) = state?;
        // At once, so that a reader knows that it listens.
        if first {
            let hello = Event::default().comment("listening").retry(RETRY);
            return Some((Ok::<_, Infallible>(hello), Some((listener, open, false))));
        }
        match listener.next().await {
            Ok(note) => Some((Ok(event(note)), Some((listener, open, false)))),
            // The reader comes back and is told then what is wrong.
            Err(error) => {
                let end = Event::default().event("end").data(error.code());
                Some((Ok(end), None))
            }
        }
    });
    Sse::new(events).into_response()
}

fn event(note: Note) -> Event {
    let json = |data| serde_json::to_string(data).unwrap_or_default();
    match note {
        Note::Event(page) => {
            let text = serde_json::to_string(&*page).unwrap_or_default();
            Event::default().id(page.position.to_string()).data(text)
        }
        Note::Progress(job) => Event::default().event("progress").data(json(&job)),
        Note::Beat => Event::default().comment("beat"),
    }
}
