//! lkm-kernel

#![forbid(unsafe_code)]
