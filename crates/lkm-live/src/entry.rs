//! The C entry of the small program: `main` without what Rust's runtime does
//! before its own.
//!
//! That (a handler for stack overflow with a stack of its own, which reads
//! /proc/self/maps first, and SIGPIPE ignored) takes a twentieth of a short
//! modprobe. The standard streams are looked after by
//! [`lkm_tree::host::Process`], and a reader who goes away ends the program by
//! SIGPIPE, as it does kmod's tools.

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStringExt;

/// Programs that are this one, dynamically linked, in the order in which they are
/// looked for in its directory.
const DYNAMIC: [&str; 2] = ["lkm-kmod-dynamic", "lkm"];

/// Runs the tool that the process was called as. Rust's library takes the
/// arguments from the C library's start-up code, which gives them to all its
/// initializers.
// SAFETY: no other symbol has this name; the linker makes it the program's
// `main`, and it has that signature.
#[unsafe(export_name = "lkm_kmod_main")]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    hand_over(argv);
    dynamic_main(argc, argv)
}

/// The same for the program that is dynamically linked.
// SAFETY: as for `main`.
#[unsafe(export_name = "lkm_kmod_dynamic_main")]
pub extern "C" fn dynamic_main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let code = lkm_tree::tools::main(&crate::kernel::LiveKernel, crate::shell::system)
        .unwrap_or_else(|| {
            eprintln!(
                "lkm-kmod: call it as insmod, rmmod, modprobe, lsmod, modinfo, depmod or kmod"
            );
            1
        });
    // SAFETY: ends the process. All threads are joined, all output is written, and
    // nothing is registered to be done at exit.
    unsafe { libc::_exit(code) }
}

/// Becomes the dynamically linked program where a library is to be preloaded,
/// which needs a loader (ld.so(8), LD_PRELOAD): fakeroot, eatmydata, and test
/// suites that replace the C library's calls do that.
fn hand_over(argv: *const *const c_char) {
    // SAFETY: reads the vector that the kernel gave to the process. No AT_BASE
    // means that no loader was mapped; AT_SECURE, that ld.so would not listen.
    let (loader, secure) = unsafe {
        (
            libc::getauxval(libc::AT_BASE),
            libc::getauxval(libc::AT_SECURE),
        )
    };
    if loader != 0 || secure != 0 {
        return;
    }
    if std::env::var_os("LD_PRELOAD").is_none_or(|list| list.is_empty()) {
        return;
    }
    let here = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    for name in DYNAMIC {
        let path = here.with_file_name(name);
        let Ok(path) = CString::new(path.into_os_string().into_vec()) else {
            continue;
        };
        // SAFETY: `path` ends in NUL, `argv` is the array of `main`, which a null
        // pointer ends; both are there until the call replaces the process. It
        // returns only when it failed: then the next name is tried.
        unsafe { libc::execv(path.as_ptr(), argv) };
    }
    eprintln!(
        "lkm-kmod: LD_PRELOAD has no effect: this program is statically linked, \
         and neither lkm-kmod-dynamic nor lkm is beside it"
    );
}
