//! Modules hold addresses in 32 sign-extended bits, so what they are relocated to must lie low: the program is linked
//! at its fixed low address, and its arena with it.

fn main() {
    println!("cargo:rustc-link-arg=-no-pie");
    println!("cargo:rerun-if-changed=build.rs");
}
