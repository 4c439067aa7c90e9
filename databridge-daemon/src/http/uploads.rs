//! Files as they stream in: hashed on the way, durable before the answer.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use databridge_core::app::{App, fields};
use databridge_core::base::cancel::Cancel;
use databridge_core::control::ctx::Ctx;
use databridge_core::control::limits::Class;
use databridge_core::domains::transfer::{Error, Room, Upload, UploadedFile};
use databridge_core::media::checksum::Sha256;
use databridge_core::media::storage::RelPath;
use serde_json::Value;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::limits::{self, Asked};
use super::problem::Problem;
use super::senders::Sending;
use super::{Served, Within, body};

const SETTING: &str = "max_upload_bytes";

/// `PUT /transfers/{code}/files/{path}`: the body becomes the file; with
/// `?kind=empty_dir` it is a folder with nothing in it. A `Content-Digest: sha-256=:…:`
/// (RFC 9530) is checked.
pub(super) async fn put(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Within((code, path)): Within<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = Asked { class: Class::Upload, part: "transfers", peer };
    limits::admit(&served.app, asked, &headers, async |ctx| {
        take_in(&served, &ctx, (&code, &path), &uri, &headers, body).await
    })
    .await
}

async fn take_in(
    Served { app, senders, .. }: &Served,
    ctx: &Ctx,
    (code, path): (&str, &str),
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked = body::query(uri)?;
    let kind = match &asked[..] {
        [] => None,
        [(name, kind)] if name == "kind" => Some(kind.as_str()),
        _ => return Err(Problem::input(&"only kind goes into the query")),
    };
    let named = serde_json::json!({ "code": code });
    fields::check(&named).map_err(databridge_core::Error::from)?;
    let path = RelPath::parse(path).map_err(databridge_core::Error::from)?;
    let upload = match kind {
        Some("empty_dir") => Upload::EmptyDir(path),
        None | Some("file") => {
            let room = app.transfers().room_for(ctx, code, &path).await?;
            refuse_too_large(app, &room, headers)?;
            let sending = senders.admit(ctx)?;
            Upload::File(receive(app, path, &room, headers, (body, sending)).await?)
        }
        Some(other) => {
            return Err(Problem::input(&format!("kind {other:?} is not file or empty_dir")));
        }
    };
    let view = app.transfers().add(ctx, code, vec![upload]).await?;
    Ok(Json(serde_json::to_value(view).map_err(|e| Problem::input(&e))?))
}

fn refuse_too_large(app: &App, room: &Room, headers: &HeaderMap) -> Result<(), Problem> {
    let limit = app.config().max_upload_bytes;
    let announced =
        headers.get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit => Err(Problem::too_large(limit, SETTING)),
        Some(length) => Ok(room.hold(length).map_err(databridge_core::Error::from)?),
        None => Ok(()),
    }
}

async fn receive(
    app: &App,
    path: RelPath,
    room: &Room,
    headers: &HeaderMap,
    (body, sending): (Body, Sending),
) -> Result<UploadedFile, Problem> {
    let limit = app.config().max_upload_bytes;
    let seconds = app.config().http.body_seconds;
    let stream = body::patient(body, Duration::from_secs(seconds));
    let reader = SyncIoBridge::new(StreamReader::new(stream));
    let service = app.transfers().clone();
    // One more than there may be, so that too much is noticed.
    let most = limit.min(room.left()).saturating_add(1);
    let received = tokio::task::spawn_blocking(move || {
        let _sending = sending;
        service.receive(path, reader.take(most), &Cancel::new())
    });
    let file = received
        .await
        .map_err(|e| Error::Io { path: "the upload".into(), source: std::io::Error::other(e) })
        .map_err(databridge_core::Error::from)?;
    let file = match file {
        Err(error) if paused(&error) => return Err(Problem::too_slow(seconds)),
        file => file?,
    };
    let refuse = |problem| {
        app.transfers().forget(&file.blob);
        Err(problem)
    };
    if file.size_bytes > limit {
        return refuse(Problem::too_large(limit, SETTING));
    }
    if let Err(error) = room.hold(file.size_bytes) {
        return refuse(databridge_core::Error::from(error).into());
    }
    match content_digest(headers) {
        Some(Err(())) => refuse(Problem::input(&"Content-Digest holds no sha-256=:base64:")),
        Some(Ok(expected)) if expected != file.sha256 => refuse(Problem::input(&format!(
            "the content is {}, Content-Digest says {expected}",
            file.sha256
        ))),
        _ => Ok(file),
    }
}

/// Whether the sender did not go on.
fn paused(error: &databridge_core::Error) -> bool {
    let Some(Error::Io { source, .. }) = error.downcast_ref::<Error>() else { return false };
    source.kind() == std::io::ErrorKind::TimedOut
}

fn content_digest(headers: &HeaderMap) -> Option<Result<Sha256, ()>> {
    use base64::Engine;
    let text = headers.get("content-digest")?.to_str().ok()?;
    let digest = text.split(',').find_map(|part| {
        let value = part.trim().strip_prefix("sha-256=:")?.strip_suffix(':')?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        <[u8; 32]>::try_from(bytes).ok()
    });
    Some(digest.map(Sha256).ok_or(()))
}
