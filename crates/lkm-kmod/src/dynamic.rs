//! The small program once more, dynamically linked.
//!
//! `lkm-kmod` is a static PIE, into which no library can be preloaded: where one
//! is asked for, it hands over to this program, which lies beside it.

#![forbid(unsafe_code)]
#![no_main]

use std::ffi::{c_char, c_int};

/// Brings the function into the program; the build script makes it `main`.
#[used]
static MAIN: extern "C" fn(c_int, *const *const c_char) -> c_int = lkm_live::entry::dynamic_main;
