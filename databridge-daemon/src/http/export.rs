//! What happened, as a file that is written while it is read.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use databridge_core::app::{Export, Wanted, Written};
use databridge_core::control::limits::Class;
use futures_util::stream;
use serde_json::{Map, Value};

use super::limits::{self, Asked};
use super::problem::Problem;
use super::{Served, body};

/// `GET /activity/export?format=csv`: the filters are those of `GET /activity`.
pub(super) async fn activity(
    State(served): State<Served>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let asked = Asked { class: Class::Read, part: "activity", peer };
    limits::admit(&served.app, asked, &headers, async |ctx| {
        let fields: Map<String, Value> =
            body::query(&uri)?.into_iter().map(|(name, value)| (name, value.into())).collect();
        let wanted: Wanted =
            serde_json::from_value(fields.into()).map_err(|e| Problem::input(&e))?;
        let format = wanted.format;
        let export = served.app.export(ctx, wanted).await?;
        Ok(sent(export, format))
    })
    .await
}

fn sent(export: Export, format: Written) -> Response {
    let (kind, name) = match format {
        Written::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"activity.csv\""),
        Written::Json => ("application/x-ndjson", "attachment; filename=\"activity.ndjson\""),
    };
    let lines = stream::unfold(export, |mut export| async move {
        match export.next().await {
            Ok(lines) => lines.map(|lines| (Ok(lines), export)),
            // Cut off in the middle, so that nobody takes it for the whole.
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), export)),
        }
    });
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
    (headers, Body::from_stream(lines)).into_response()
}
