//! Which library this is.

use std::ffi::c_char;

/// Grows when a program that was compiled against an earlier header would no longer
/// work; functions and fields of JSON texts are added without that.
pub const ABI_VERSION: u32 = 1;

/// The ABI version of the library that is loaded: compare it with
/// DATABRIDGE_ABI_VERSION of the header. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn databridge_abi_version() -> u32 {
    ABI_VERSION
}

/// The library's version, such as `0.1.0`; not to be freed. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn databridge_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
