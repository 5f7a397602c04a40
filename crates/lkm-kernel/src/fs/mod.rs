//! Files and file systems (fs/).

pub mod files;
