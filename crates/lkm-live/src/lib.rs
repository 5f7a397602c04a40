//! The running kernel: its module system calls, /proc, /sys, /proc/kcore and types, tracefs,
//! and the rescue module. What it finds out is said in the shapes of `lkm_judge::why`.

pub mod entry;
pub mod kernel;
pub mod memory;
pub mod netlink;
pub mod proc;
pub mod rescue;
pub mod scan;
pub mod shell;
pub mod symbols;
pub mod sys;
pub mod target;
pub mod trace;
pub mod trees;
pub mod types;
pub mod unload;
pub mod walk;
pub mod why;

pub use why::why;

/// The boot parameter that makes the kernel record references taken before anybody looks.
pub const BOOT_TRACE: &str = "trace_event=module:module_get,module:module_put";
