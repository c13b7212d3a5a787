//! The engine library of `flowhouse store` takes symbols from our executable (`src/store/python.rs`); and who lacks the library
//! that captures is told what to install, not only what the linker could not find.
use std::path::Path;

fn main() {
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBPCAP_LIBDIR");
    let named = std::env::var("LIBPCAP_LIBDIR").is_ok();
    let multiarch = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|m| format!("/usr/lib/{m}"));
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(String::from);
    let mut folders = multiarch.iter().chain(&usual);
    if !named && !folders.any(|f| Path::new(f).join("libpcap.so").exists()) {
        println!(
            "cargo:warning=libpcap is not where it usually is: `apt install libpcap-dev` (Debian), or name its folder in LIBPCAP_LIBDIR"
        );
    }
}
