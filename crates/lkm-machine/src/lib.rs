//! lkm-machine
