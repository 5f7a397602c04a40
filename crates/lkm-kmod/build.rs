//! How the small program is linked: it is started thousands of times while a
//! machine boots, and most of a start is mapping and relocating.
//!
//! It is a static PIE where the C library can be had as an archive: the loader
//! and a shared C library are a fifth of a short modprobe. And `main` is not
//! Rust's (`lkm-live/src/entry.rs`).
//!
//! `lkm-kmod-dynamic` is the same program, linked as any other is: for those who
//! preload a library.

use std::path::Path;
use std::process::{Command, Stdio};

/// Archives, by the names by which Rust's standard library asks for the shared
/// libraries. The unwinder is in two.
const ARCHIVES: [(&str, &[&str]); 7] = [
    ("gcc_s", &["gcc_eh", "gcc"]),
    ("c", &["c", "gcc_eh", "gcc"]),
    ("m", &["m"]),
    ("util", &["util"]),
    ("rt", &["rt"]),
    ("pthread", &["pthread"]),
    ("dl", &["dl"]),
];

/// Passes `arg` to the linker of the small program, and of no other.
fn small(arg: &str) {
    println!("cargo:rustc-link-arg-bin=lkm-kmod={arg}");
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Whether the linker's driver has this file in its directories.
fn driver_has(file: &str) -> bool {
    let driver = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let out = Command::new(driver)
        .arg(format!("-print-file-name={file}"))
        .stderr(Stdio::null())
        .output();
    // A file that it does not have is printed as it was asked for.
    out.is_ok_and(|o| {
        let path = String::from_utf8_lossy(&o.stdout);
        Path::new(path.trim()).is_absolute() && Path::new(path.trim()).exists()
    })
}

/// Whether a static PIE can be linked. Rust may make one by itself; a build for
/// another machine, with sanitizers or for coverage is left as it is asked for;
/// and some distributions have the C library's archives in a package apart.
fn can_be_static() -> bool {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    variable("CARGO_CFG_TARGET_ENV") == "gnu"
        && variable("HOST") == variable("TARGET")
        && !variable("CARGO_CFG_TARGET_FEATURE").contains("crt-static")
        && ![
            "sanitizer",
            "instrument",
            "prefer-dynamic",
            "relocation-model",
        ]
        .iter()
        .any(|other| flags.contains(other))
        && driver_has("rcrt1.o")
        && ARCHIVES
            .iter()
            .flat_map(|(_, archives)| *archives)
            .all(|archive| driver_has(&format!("lib{archive}.a")))
}

/// Writes a linker script for each library into `directory`, which names its
/// archives and is found before the shared library: only the small program's
/// linker looks there.
fn as_archives(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (library, archives) in ARCHIVES {
        let named: Vec<String> = archives.iter().map(|a| format!("-l:lib{a}.a")).collect();
        let script = format!("GROUP ( {} )\n", named.join(" "));
        std::fs::write(directory.join(format!("lib{library}.so")), script)?;
    }
    Ok(())
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    small("-Wl,--defsym=main=lkm_kmod_main");
    println!("cargo:rustc-link-arg-bin=lkm-kmod-dynamic=-Wl,--defsym=main=lkm_kmod_dynamic_main");
    if !can_be_static() {
        return;
    }
    let directory = Path::new(&variable("OUT_DIR")).join("archives");
    match as_archives(&directory) {
        Ok(()) => {
            small(&format!("-L{}", directory.display()));
            small("-static-pie");
        }
        Err(e) => println!("cargo:warning={}: {e}", directory.display()),
    }
}
