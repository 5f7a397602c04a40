//! A module directory: its configuration and indexes, depmod, the plan that a
//! name leads to, and the six tools that work on it through the trait
//! [`kernel::Kernel`].
//!
//! Everything is read through [`fs::Files`] and done through
//! [`kernel::Kernel`], so the same modprobe drives the running kernel and the
//! lab's. Formats and behaviour follow kmod; what differs on purpose is in
//! `docs/undocumented-kmod-behavior.md`.

#![forbid(unsafe_code)]

pub mod args;
pub mod catalog;
pub mod config;
pub mod depmod;
pub mod docs;
pub mod ere;
pub mod errno;
pub mod fnmatch;
pub mod fs;
pub mod fs_memory;
pub mod graph;
pub mod host;
pub mod index;
pub mod insert;
pub mod json;
pub mod kernel;
pub mod log;
pub mod modinfo;
pub mod plan;
pub mod sparse;
pub mod symbols;
pub mod text;
pub mod tools;
