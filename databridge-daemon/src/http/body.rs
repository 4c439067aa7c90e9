//! What comes in, within its bounds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Uri, header};
use databridge_core::app::config::HttpConfig;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Map, Value};

use super::problem::Problem;

/// What is read on of a body that was refused: a connection that is closed under a
/// sender loses the answer that says why, or the next request.
const DRAINED: usize = 16 << 20;
const DRAINING: Duration = Duration::from_secs(5);

/// A JSON object, as one that came whole and in time; none at all is an empty one.
pub(super) async fn json(
    config: &HttpConfig,
    headers: &HeaderMap,
    body: Body,
) -> Result<Map<String, Value>, Problem> {
    let bytes = whole(config, body).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::media_type());
    }
    serde_json::from_slice(&bytes).map_err(|e| Problem::input(&e))
}

async fn whole(config: &HttpConfig, body: Body) -> Result<Bytes, Problem> {
    let most = usize::try_from(config.max_json_bytes).unwrap_or(usize::MAX);
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| Problem::input(&e))?;
            if bytes.len() + chunk.len() > most {
                return Err(Problem::too_large(config.max_json_bytes, "http.max_json_bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let patience = Duration::from_secs(config.body_seconds);
    match tokio::time::timeout(patience, read).await {
        Err(_) => Err(Problem::too_slow(config.body_seconds)),
        Ok(Ok(())) => Ok(bytes.into()),
        Ok(Err(problem)) => Err(problem),
    }
}

/// What whoever answers leaves of a body.
pub(super) struct Rest(Arc<Mutex<BodyDataStream>>);

/// A request as it was, and what will be left of its body.
pub(super) fn lend(request: Request) -> (Request, Rest) {
    let (head, body) = request.into_parts();
    let rest = Arc::new(Mutex::new(body.into_data_stream()));
    let lent = rest.clone();
    let body = stream::poll_fn(move |context| {
        lent.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    });
    (Request::from_parts(head, Body::from_stream(body)), Rest(rest))
}

impl Rest {
    /// Reads on for a while what nobody wants, unless somebody is still at it.
    pub async fn drain(self) {
        let Some(stream) = Arc::into_inner(self.0) else { return };
        let mut stream = stream.into_inner().unwrap_or_else(PoisonError::into_inner);
        let read = async {
            let mut left = DRAINED;
            while let Some(Ok(chunk)) = stream.next().await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAINING, read).await;
    }
}

/// A body as it streams in; one that pauses for longer than `patience` has ended.
pub(super) fn patient(
    body: Body,
    patience: Duration,
) -> impl Stream<Item = std::io::Result<Bytes>> + Unpin + Send {
    let parts = Some(body.into_data_stream());
    Box::pin(stream::unfold(parts, move |parts| async move {
        let mut parts = parts?;
        match tokio::time::timeout(patience, parts.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(parts))),
            Ok(Some(Err(error))) => Some((Err(std::io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    }))
}

/// The fields of a query, in their order.
pub(super) fn query(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    axum::extract::Query::try_from_uri(uri)
        .map(|axum::extract::Query(fields)| fields)
        .map_err(|e| Problem::input(&e))
}

/// Whether every escape is two hex digits, and all together UTF-8 (RFC 3986, 2.1 and 2.5).
pub(super) fn is_escaped_well(text: &str) -> bool {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => plain.push(u8::try_from(high * 16 + low).unwrap_or(0)),
            _ => return false,
        }
    }
    String::from_utf8(plain).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_whole_and_text() {
        for fine in ["/a%20b", "/%C3%A9", "", "/a?b=%00"] {
            assert!(is_escaped_well(fine), "{fine}");
        }
        for wrong in ["/%", "/%4", "/%zz", "/%ff", "/%C3", "/%C3%28", "/%+1"] {
            assert!(!is_escaped_well(wrong), "{wrong}");
        }
    }
}
