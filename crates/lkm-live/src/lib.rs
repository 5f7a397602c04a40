//! lkm-live
