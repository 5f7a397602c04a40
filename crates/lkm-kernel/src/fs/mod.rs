//! Files and file systems (fs/).

pub mod chrdev;
pub mod file_calls;
pub mod files;
pub mod open;
pub mod ops;
pub mod sysfs;
pub mod sysfs_calls;
