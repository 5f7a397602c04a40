//! lkm-object

#![forbid(unsafe_code)]
