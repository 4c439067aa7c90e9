//! The entries as C calls them: whatever comes in, a status comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// These tests are C programs that happen to be written in Rust.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};

use databridge_c::Status;
use databridge_c::error::{databridge_error_code, databridge_error_hint, databridge_error_message};
use databridge_c::files::{databridge_checksum_file, databridge_copy};
use databridge_c::{databridge_json_text, databridge_string_free};
use proptest::prelude::*;

/// What was handed over, taken back.
fn answer(out: *mut c_char) -> Option<String> {
    if out.is_null() {
        return None;
    }
    // SAFETY: not NULL, so an entry handed it over, and it is freed once.
    unsafe {
        let text = CStr::from_ptr(out).to_str().unwrap().to_owned();
        databridge_string_free(out);
        Some(text)
    }
}

fn said(text: *const c_char) -> String {
    assert!(!text.is_null());
    // SAFETY: a text of this thread, copied before the next call.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

unsafe extern "C-unwind" fn panics(_: *mut c_void, _: u64, _: u64, _: u64, _: u64) -> bool {
    panic!("in the listener")
}

#[test]
fn a_panic_in_the_midst_of_the_work_becomes_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| CString::new(folder.path().join(name).to_str().unwrap()).unwrap();
    std::fs::write(folder.path().join("a"), vec![1; 1 << 20]).unwrap();
    let slow = c"{\"limit_bytes_per_second\": 1000, \"resume\": false}";
    let mut out = null_mut();
    // SAFETY: all texts end with a NUL, `out` can be written.
    let status = unsafe {
        databridge_copy(
            path("a").as_ptr(),
            path("b").as_ptr(),
            slow.as_ptr(),
            Some(panics),
            null_mut(),
            null(),
            &mut out,
        )
    };
    assert_eq!(status, Status::Internal);
    assert_eq!(answer(out), None);
    assert_eq!(said(databridge_error_code()), "c.panicked");
    assert!(said(databridge_error_message()).contains("in the listener"));
    assert!(said(databridge_error_hint()).contains("report"));
    // The work was stopped with its listener, and left nothing.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

fn value(json: &CStr, pointer: &CStr) -> (Status, Option<String>) {
    let mut out = null_mut();
    // SAFETY: both end with a NUL, `out` can be written.
    let status = unsafe { databridge_json_text(json.as_ptr(), pointer.as_ptr(), &mut out) };
    (status, answer(out))
}

#[test]
fn values_of_json_are_texts_or_json() {
    let json = c"{\"state\": \"draft\", \"n\": 3, \"none\": null, \"a/b\": [true]}";
    assert_eq!(value(json, c"/state"), (Status::Ok, Some("draft".into())));
    assert_eq!(value(json, c"/n"), (Status::Ok, Some("3".into())));
    assert_eq!(value(json, c"/a~1b"), (Status::Ok, Some("[true]".into())));
    assert_eq!(value(json, c"/none"), (Status::NotFound, None));
    assert_eq!(value(json, c"/state/x"), (Status::NotFound, None));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(
        path in proptest::collection::vec(1..=255_u8, 0..40),
        options in proptest::collection::vec(1..=255_u8, 0..40),
        pointer in proptest::collection::vec(1..=255_u8, 0..10),
    ) {
        let text = |bytes: &Vec<u8>| CString::new(bytes.clone()).unwrap();
        let (name, options) = (text(&[b"/nowhere/".to_vec(), path].concat()), text(&options));
        let mut out = null_mut();
        // SAFETY: all texts end with a NUL, `out` can be written.
        let status = unsafe {
            databridge_checksum_file(
                name.as_ptr(), options.as_ptr(), None, null_mut(), null(), &mut out,
            )
        };
        prop_assert!(status != Status::Ok && status != Status::Internal);
        prop_assert_eq!(answer(out), None);
        let (status, _) = value(&options, &text(&pointer));
        prop_assert_ne!(status, Status::Internal);
    }
}
