//! How the small program is linked: it is started thousands of times while a
//! machine boots, and most of a start is mapping and touching pages.
//!
//! The unwinder is linked statically, for loading libgcc_s takes a tenth of
//! each start. What a short modprobe needs stands together (`often.ld`), in few
//! segments. And `main` is not Rust's (`lkm-live/src/entry.rs`).

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether the linker is the compiler driver's, or what `-fuse-ld` can change:
/// mold, gold and wild take no linker script, and whoever asks for one of them
/// gets it.
fn takes_a_script() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_default();
    !["mold", "gold", "wild"]
        .iter()
        .any(|other| flags.contains(other) || linker.contains(other))
}

/// Whether this machine has GNU ld, and builds for itself.
fn has_gnu_ld() -> bool {
    let same = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    let quiet = Command::new("ld.bfd")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    same && quiet.is_ok_and(|s| s.success())
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=often.ld");
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
    if takes_a_script() {
        if has_gnu_ld() {
            // Two segments, where lld makes four.
            println!("cargo:rustc-link-arg-bins=-fuse-ld=bfd");
        }
        if let Ok(here) = std::env::var("CARGO_MANIFEST_DIR") {
            println!("cargo:rustc-link-arg-bins=-T{here}/often.ld");
        }
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
