//! Links the unwinder statically: the program is started thousands of times
//! while a machine boots, and loading libgcc_s takes a tenth of each start.
//! And names its `main`, which is not Rust's (`lkm-live/src/entry.rs`).

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--defsym=main=lkm_kmod_main");
    // Constants and code in one segment: less to map at each start.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,noseparate-code");
    let target = std::env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    let Some(out) = std::env::var_os("OUT_DIR") else {
        return;
    };
    if target != "gnu" {
        return;
    }
    // A linker script that is found before the shared library of that name.
    let script = Path::new(&out).join("libgcc_s.so");
    if std::fs::write(script, "GROUP ( -lgcc_eh -lgcc )\n").is_ok() {
        println!(
            "cargo:rustc-link-search=native={}",
            Path::new(&out).display()
        );
    }
}
