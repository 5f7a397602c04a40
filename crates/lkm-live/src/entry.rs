//! The C entry of the small program: `main` without what Rust's runtime does
//! before its own.
//!
//! That (a handler for stack overflow with a stack of its own, which reads
//! /proc/self/maps first, and SIGPIPE ignored) takes a twentieth of a short
//! modprobe. The standard streams are looked after by
//! [`lkm_tree::host::Process`], and a reader who goes away ends the program by
//! SIGPIPE, as it does kmod's tools.

use std::ffi::{c_char, c_int};

/// Runs the tool that the process was called as. Rust's library takes the
/// arguments from the C library's start-up code, which gives them to all its
/// initializers.
// SAFETY: no other symbol has this name; the linker makes it the program's
// `main`, and it has that signature.
#[unsafe(export_name = "lkm_kmod_main")]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
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
