//! The name by which programs find the shared library: it goes with the ABI version.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdatabridge.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
