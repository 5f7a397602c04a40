//! Facts of modules, remembered from one run to the next.
