//! lkm-judge

#![forbid(unsafe_code)]
