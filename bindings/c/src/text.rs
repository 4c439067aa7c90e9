//! Texts, in and out.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use databridge_core::Error as AnyError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Status};
use super::guard::guard;

/// A text as C has it. A NUL in it would end it early.
pub fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes: Vec<u8> = text.into();
    bytes.retain(|byte| *byte != 0);
    CString::new(bytes).unwrap_or_default()
}

/// A path: any bytes.
///
/// # Safety
/// `text` is NULL, or ends with a NUL and stays as it is for the whole call.
pub unsafe fn path<'a>(name: &'static str, text: *const c_char) -> Result<&'a Path, Error> {
    if text.is_null() {
        return Err(Error::Null { name });
    }
    // SAFETY: not NULL; the rest is promised by the caller.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(Path::new(OsStr::from_bytes(text.to_bytes())))
}

/// A text in UTF-8.
///
/// # Safety
/// As [`path`].
pub unsafe fn utf8<'a>(name: &'static str, text: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: promised by the caller.
    let text = unsafe { path(name, text)? };
    text.to_str().ok_or(Error::NotUtf8 { name })
}

/// A text that may be left out.
///
/// # Safety
/// As [`path`].
pub unsafe fn maybe<'a>(name: &'static str, text: *const c_char) -> Result<Option<&'a str>, Error> {
    match text.is_null() {
        true => Ok(None),
        // SAFETY: promised by the caller.
        false => unsafe { utf8(name, text).map(Some) },
    }
}

/// Options as a JSON object; the usual ones where it is left out.
///
/// # Safety
/// As [`path`].
pub unsafe fn options<T: DeserializeOwned>(text: *const c_char) -> Result<T, Error> {
    let name = "options";
    // SAFETY: promised by the caller.
    let text = unsafe { maybe(name, text)? }.unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| Error::Argument { name, reason: error.to_string() })
}

/// Where an answer goes. Holds NULL until there is one.
pub struct Out<T>(*mut *mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL, or can be written for the whole call.
    pub unsafe fn at(place: *mut *mut T) -> Result<Self, Error> {
        if place.is_null() {
            return Err(Error::Null { name: "out" });
        }
        // SAFETY: not NULL; the rest is promised by the caller.
        unsafe { place.write(ptr::null_mut()) };
        Ok(Self(place))
    }

    fn give(self, answer: *mut T) {
        // SAFETY: `at` was promised that it can be written.
        unsafe { self.0.write(answer) };
    }

    /// Hands over a handle, which comes back through [`taken`].
    pub fn put(self, handle: T) {
        self.give(Box::into_raw(Box::new(handle)));
    }
}

impl Out<c_char> {
    /// Hands over a text, which comes back through [`databridge_string_free`].
    pub fn text(self, text: &str) {
        self.give(c_string(text).into_raw());
    }

    /// The same as JSON.
    pub fn json(self, value: impl Serialize) -> Result<(), AnyError> {
        let text = serde_json::to_string(&value)
            .map_err(|error| Error::Argument { name: "out", reason: error.to_string() })?;
        self.text(&text);
        Ok(())
    }
}

/// A handle that its owner is done with.
///
/// # Safety
/// `handle` is NULL, or came from [`Out::put`] and is used by nobody any more.
pub unsafe fn taken<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: promised by the caller.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// A handle that is in use.
///
/// # Safety
/// `handle` is NULL, or came from [`Out::put`] and lives for the whole call.
pub unsafe fn borrowed<'a, T>(name: &'static str, handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: promised by the caller.
    unsafe { handle.as_ref() }.ok_or(Error::Null { name })
}

/// Frees a text that was handed over as `out`; NULL does no harm. From any thread.
///
/// # Safety
/// `text` is NULL or such a text, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_string_free(text: *mut c_char) {
    guard(|| {
        if !text.is_null() {
            // SAFETY: promised by the caller; it came from `Out::text`.
            drop(unsafe { CString::from_raw(text) });
        }
        Ok(())
    });
}

/// One value of a JSON text: the text, or the JSON, at `pointer` (RFC 6901), such as
/// `/state` or `/digests/sha256`. DATABRIDGE_STATUS_NOT_FOUND where there is none, or null.
/// From any thread.
///
/// # Safety
/// `json` and `pointer` are NULL or end with a NUL; `out` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn databridge_json_text(
    json: *const c_char,
    pointer: *const c_char,
    out: *mut *mut c_char,
) -> Status {
    // SAFETY: promised by the caller.
    guard(|| unsafe {
        let out = Out::at(out)?;
        let (json, pointer) = (utf8("json", json)?, utf8("pointer", pointer)?);
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Error::Argument { name: "json", reason: error.to_string() })?;
        match value.pointer(pointer) {
            None | Some(Value::Null) => {
                return Err(Error::NoValue { pointer: pointer.to_owned() }.into());
            }
            Some(Value::String(text)) => out.text(text),
            Some(other) => out.json(other)?,
        }
        Ok(())
    })
}
