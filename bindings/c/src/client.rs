//! A daemon, from afar.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use databridge_core::Error as AnyError;
use databridge_core::app::{Call, routes};
use databridge_core::remote::Remote;
use serde_json::{Map, Value, json};

use super::error::{Error, Status};
use super::guard::guard;
use super::text::{Out, borrowed, maybe, path, taken, utf8};
use super::watch::{Listener, Progress, Stop, wish};

/// A daemon, and who we are to it. Several threads may use one at a time.
pub struct Client(Remote);

/// A daemon at `url` (`https://…`), used with a token or an API key; `token` may be NULL.
/// Nothing is sent yet. From any thread.
///
/// # Safety
/// Texts are NULL or end with a NUL; `out` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_client_new(
    url: *const c_char,
    token: *const c_char,
    out: *mut *mut Client,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (url, token) = (utf8("url", url)?, maybe("token", token)?);
        out.put(Client(Remote::new(url, token.map(str::to_owned))));
        Ok(())
    })
}

/// Frees it; NULL does no harm. From any thread, once no call uses it.
///
/// # Safety
/// `client` is NULL or came from databridge_client_new, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_client_free(client: *mut Client) {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        taken(client);
        Ok(())
    });
}

fn ask(
    client: &Client,
    op: &str,
    fields: Map<String, Value>,
    key: Option<&str>,
) -> Result<Value, AnyError> {
    let call: Call =
        routes::call(op, fields).map_err(|source| Error::Call { op: op.to_owned(), source })?;
    Ok(client.0.call(&call, key)?)
}

/// Any call of docs/rest.md by its name, with its fields as a JSON object; `fields` may be
/// NULL. With `key` (may be NULL) a call that is made twice is done once. Lost connections
/// and answers of 5xx are tried again twice. From any thread.
///
/// # Safety
/// Texts are NULL or end with a NUL, `client` is NULL or lives, `out` is NULL or can be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_client_call(
    client: *const Client,
    op: *const c_char,
    fields: *const c_char,
    key: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let (out, client) = (Out::at(out)?, borrowed("client", client)?);
        let (op, key) = (utf8("op", op)?, maybe("key", key)?);
        let fields = maybe("fields", fields)?.unwrap_or("{}");
        let fields = serde_json::from_str(fields)
            .map_err(|source| Error::Call { op: op.to_owned(), source })?;
        out.json(ask(client, op, fields, key)?)
    })
}

/// Makes a transfer and answers its code (`TRF-00042`). `key` as for
/// databridge_client_call. From any thread.
///
/// # Safety
/// As databridge_client_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_create(
    client: *const Client,
    title: *const c_char,
    project: *const c_char,
    category: *const c_char,
    key: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let (out, client) = (Out::at(out)?, borrowed("client", client)?);
        let fields = [
            ("title".to_owned(), json!(utf8("title", title)?)),
            ("project".to_owned(), json!(utf8("project", project)?)),
            ("category".to_owned(), json!(utf8("category", category)?)),
        ];
        let made = ask(client, "transfer_create", Map::from_iter(fields), maybe("key", key)?)?;
        out.text(made["code"].as_str().unwrap_or_default());
        Ok(())
    })
}

/// Adds a file, or everything in a folder, to a transfer; answers the transfer. From any
/// thread.
///
/// # Safety
/// As databridge_client_call; `stop` is NULL or lives, `progress` is NULL or may be called
/// with `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_add(
    client: *const Client,
    code: *const c_char,
    source: *const c_char,
    progress: Progress,
    context: *mut c_void,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let (out, client) = (Out::at(out)?, borrowed("client", client)?);
        let (code, source) = (utf8("code", code)?, path("source", source)?);
        let answer = Listener::of(progress, context, stop)
            .run(&[], |watch| client.0.add(code, source, watch))?;
        out.json(answer)
    })
}

/// A call whose only field is the transfer's code.
///
/// # Safety
/// As databridge_client_call.
unsafe fn about(
    op: &str,
    client: *const Client,
    code: *const c_char,
    key: *const c_char,
    out: *mut *mut c_char,
) -> Result<(), AnyError> {
    // SAFETY: promised by the caller.
    unsafe {
        let (out, client) = (Out::at(out)?, borrowed("client", client)?);
        let fields = [("code".to_owned(), json!(utf8("code", code)?))];
        out.json(ask(client, op, Map::from_iter(fields), maybe("key", key)?)?)
    }
}

/// Asks for review; answers the transfer. `key` as for databridge_client_call. From any
/// thread.
///
/// # Safety
/// As databridge_client_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_submit(
    client: *const Client,
    code: *const c_char,
    key: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe { about("transfer_submit", client, code, key, out) })
}

/// Everything about a transfer; `/state` says where it stands (docs/transfer.md). From any
/// thread.
///
/// # Safety
/// As databridge_client_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_status(
    client: *const Client,
    code: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe { about("transfer_show", client, code, std::ptr::null(), out) })
}

/// The signed receipt of a delivered transfer, as a DSSE envelope. From any thread.
///
/// # Safety
/// As databridge_client_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_receipt(
    client: *const Client,
    code: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe { about("transfer_receipt", client, code, std::ptr::null(), out) })
}

/// Waits until a transfer waits for a person, stands still or is at its end; answers it.
/// After `timeout_seconds` (INFINITY waits for ever), or once `stop` (may be NULL) is
/// raised: DATABRIDGE_STATUS_CANCELLED, and the daemon's work goes on. A step that failed
/// is a state, and no failure of this call. From any thread.
///
/// # Safety
/// As databridge_client_call; `stop` is NULL or lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_transfer_wait(
    client: *const Client,
    code: *const c_char,
    timeout_seconds: f64,
    stop: *const Stop,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let (out, client) = (Out::at(out)?, borrowed("client", client)?);
        let code = utf8("code", code)?;
        let timeout = match timeout_seconds == f64::INFINITY {
            true => None,
            false => Some(Duration::try_from_secs_f64(timeout_seconds).map_err(|error| {
                Error::Argument { name: "timeout_seconds", reason: error.to_string() }
            })?),
        };
        let shown = client.0.settle(code, -1, timeout, &wish(stop), |_, _| {})?;
        out.json(shown)
    })
}
