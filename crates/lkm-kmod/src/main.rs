//! The six tools and `kmod` alone: what a distribution puts in an initramfs.
//!
//! `lkm-kmod` is called by a symbolic link that has a tool's name, or with the
//! tool's name as the first argument. It is started thousands of times while a
//! machine boots: its `main` is a C one, see [`lkm_live::entry`].

#![forbid(unsafe_code)]
#![no_main]

use std::ffi::{c_char, c_int};

/// Brings the function into the program; the build script makes it `main`.
#[used]
static MAIN: extern "C" fn(c_int, *const *const c_char) -> c_int = lkm_live::entry::main;
