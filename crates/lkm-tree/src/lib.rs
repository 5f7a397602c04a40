//! lkm-tree

#![forbid(unsafe_code)]
