//! lkm-judge

#![forbid(unsafe_code)]
pub mod why;
