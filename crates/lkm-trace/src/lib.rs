//! lkm-trace

#![forbid(unsafe_code)]
