//! Uploads in pieces, as the tus protocol 1.0 has them, with its extensions creation,
//! creation-defer-length, creation-with-upload, checksum, termination and expiration
//! (<https://tus.io/protocols/resumable-upload>).

mod headers;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use axum::{Router, middleware};
use databridge_core::app::routes::{self, PREFIX};
use databridge_core::app::{App, fields};
use databridge_core::control::ctx::Ctx;
use databridge_core::control::limits::Class;
use databridge_core::domains::transfer::{NewUpload, Piece, UploadError, UploadView};
use databridge_core::media::storage::RelPath;
use tokio_util::io::{StreamReader, SyncIoBridge};
use uuid::Uuid;

use super::limits::{self, Asked};
use super::problem::Problem;
use super::{Fields, Served, Within, body};

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const SPOKEN: HeaderName = HeaderName::from_static("tus-version");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const DEFERRED: HeaderName = HeaderName::from_static("upload-defer-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

pub(super) fn routes() -> Router<Served> {
    let one = head(look).patch(send).delete(terminate).post(instead).options(spoken);
    Router::new()
        .route(&format!("{PREFIX}/transfers/{{code}}/uploads"), post(begin).options(spoken))
        .route(&format!("{PREFIX}/transfers/{{code}}/uploads/{{id}}"), one)
        .route_layer(middleware::map_response(stamp))
}

/// What every answer says of the protocol.
async fn stamp(mut answer: Response) -> Response {
    let version = HeaderValue::from_static(headers::VERSION);
    if answer.status() == StatusCode::PRECONDITION_FAILED {
        answer.headers_mut().insert(SPOKEN, version.clone());
    }
    answer.headers_mut().insert(RESUMABLE, version);
    answer
}

/// `OPTIONS`: nobody needs to be signed in to learn what is spoken.
async fn spoken(State(served): State<Served>, Within(path): Within<Fields>) -> Response {
    if let Err(error) = fields::check(&serde_json::json!(path)) {
        return Problem::from(databridge_core::Error::from(error)).into_response();
    }
    let named = HeaderName::from_static;
    let told = [
        (SPOKEN, headers::VERSION.to_owned()),
        (named("tus-extension"), headers::EXTENSIONS.to_owned()),
        (named("tus-max-size"), served.app.config().max_upload_bytes.to_string()),
        (named("tus-checksum-algorithm"), headers::ALGORITHMS.to_owned()),
    ];
    (StatusCode::NO_CONTENT, told).into_response()
}

/// `POST /transfers/{code}/uploads`: an upload begins; a body is its first piece.
async fn begin(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within(code): Within<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answered(&served.app, peer, Class::Upload, &headers, async |ctx| {
        let app = &served.app;
        named(&code)?;
        let length = headers::length(&headers)?;
        let metadata = headers::text(&headers, &METADATA)?.unwrap_or_default();
        let path =
            RelPath::parse(&headers::path(metadata)?).map_err(databridge_core::Error::from)?;
        let first = headers::piece(&headers, Some(0))?;
        let (ctx, metadata) = (ctx, metadata.to_owned());
        let new = NewUpload { path, length_bytes: length, metadata };
        let mut upload = app.transfers().begin_upload(&ctx, &code, new).await?;
        if let Some(first) = first {
            upload = match take_in(&served, &ctx, (&code, upload.id), first, body).await {
                Ok(upload) => upload,
                Err(problem) => {
                    // Its sender does not know what it is called.
                    let _ = app.transfers().end_upload(&ctx, &code, upload.id).await;
                    return Err(problem);
                }
            };
        }
        let address = format!("{}/{}", routes::uploads_path(&code), upload.id);
        let place = [(header::LOCATION, address)];
        Ok((StatusCode::CREATED, place, kept(&upload)).into_response())
    })
    .await
}

/// `HEAD`: where the upload goes on.
async fn look(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within((code, id)): Within<(String, Uuid)>,
    headers: HeaderMap,
) -> Response {
    answered(&served.app, peer, Class::Read, &headers, async |ctx| {
        named(&code)?;
        let upload = served.app.transfers().look_at_upload(&ctx, &code, id).await?;
        let length = match upload.deferred {
            true => [(DEFERRED, "1".to_owned())],
            false => [(LENGTH, upload.length_bytes.to_string())],
        };
        let metadata = (!upload.metadata.is_empty()).then(|| [(METADATA, upload.metadata.clone())]);
        let answer = (StatusCode::OK, length, kept(&upload));
        Ok(match metadata {
            Some(metadata) => (metadata, answer).into_response(),
            None => answer.into_response(),
        })
    })
    .await
}

/// `PATCH`: the next piece.
async fn send(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within((code, id)): Within<(String, Uuid)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answered(&served.app, peer, Class::Upload, &headers, async |ctx| {
        named(&code)?;
        let piece = headers::piece(&headers, headers::number(&headers, &OFFSET)?)?
            .ok_or_else(|| Problem::input(&"Upload-Offset is missing"))?;
        let upload = take_in(&served, &ctx, (&code, id), piece, body).await?;
        Ok((StatusCode::NO_CONTENT, kept(&upload)).into_response())
    })
    .await
}

/// `DELETE`: the upload is given up.
async fn terminate(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within((code, id)): Within<(String, Uuid)>,
    headers: HeaderMap,
) -> Response {
    answered(&served.app, peer, Class::Write, &headers, async |ctx| {
        named(&code)?;
        served.app.transfers().end_upload(&ctx, &code, id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `POST` to an upload: what `X-HTTP-Method-Override` says.
async fn instead(
    served: State<Served>,
    peer: ConnectInfo<SocketAddr>,
    upload: Within<(String, Uuid)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let meant = headers.get("x-http-method-override").map(HeaderValue::as_bytes);
    match meant {
        Some(b"PATCH") => send(served, peer, upload, headers, body).await,
        Some(b"DELETE") => terminate(served, peer, upload, headers).await,
        _ => Problem::no_method().into_response(),
    }
}

/// Answers who speaks the protocol, is signed in and has requests left.
async fn answered(
    app: &App,
    peer: SocketAddr,
    class: Class,
    headers: &HeaderMap,
    answer: impl AsyncFnOnce(Ctx) -> Result<Response, Problem>,
) -> Response {
    let asked = Asked { class, part: "transfers", peer };
    limits::admit(app, asked, headers, async |ctx| {
        headers::check_version(headers)?;
        answer(ctx).await
    })
    .await
}

fn named(code: &str) -> Result<(), Problem> {
    let fields = serde_json::json!({ "code": code });
    Ok(fields::check(&fields).map_err(databridge_core::Error::from)?)
}

/// The body as a piece of an upload.
async fn take_in(
    Served { app, senders, .. }: &Served,
    ctx: &Ctx,
    (code, id): (&str, Uuid),
    piece: Piece,
    body: Body,
) -> Result<UploadView, Problem> {
    let sending = senders.admit(ctx)?;
    let service = app.transfers().clone();
    let Some(writer) = service.take_up(ctx, code, id, piece).await? else {
        return Ok(service.look_at_upload(ctx, code, id).await?);
    };
    let seconds = app.config().http.body_seconds;
    let stream = body::patient(body, Duration::from_secs(seconds));
    let reader = SyncIoBridge::new(StreamReader::new(stream));
    let ctx = ctx.clone();
    // What came is kept although the connection, and with it whoever waits here, is gone.
    let taken = tokio::spawn(async move {
        let _sending = sending;
        service.append(&ctx, writer, reader).await
    });
    match taken.await {
        Ok(Err(error)) if paused(&error) => Err(Problem::too_slow(seconds)),
        Ok(upload) => Ok(upload?),
        Err(error) => {
            let source = std::io::Error::other(error);
            let path = "the upload".to_owned();
            let error = databridge_core::domains::transfer::Error::Io { path, source };
            Err(databridge_core::Error::from(error).into())
        }
    }
}

/// Whether the sender did not go on.
fn paused(error: &databridge_core::Error) -> bool {
    let Some(UploadError::Interrupted { source }) = error.downcast_ref() else { return false };
    source.kind() == std::io::ErrorKind::TimedOut
}

/// How much is durable, and until when the rest is waited for.
fn kept(upload: &UploadView) -> [(HeaderName, String); 2] {
    let expires = SystemTime::from(upload.expires_at.to_datetime());
    [(OFFSET, upload.offset_bytes.to_string()), (EXPIRES, httpdate::fmt_http_date(expires))]
}
