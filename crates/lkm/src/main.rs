//! `lkm`: arguments and printing, one row per command.

#![forbid(unsafe_code)]

fn main() {}
