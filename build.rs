//! The engine library of `flowhouse store` takes symbols from our executable (`src/store/python.rs`).
fn main() {
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
}
