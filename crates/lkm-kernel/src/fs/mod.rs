//! Files and file systems (fs/).

pub mod chrdev;
pub mod debugfs;
pub mod file_calls;
pub mod files;
pub mod filesystems;
pub mod kernel_sysctl;
pub mod open;
pub mod ops;
pub mod proc;
pub mod seq_file;
pub mod superblock;
pub mod sysctl;
pub mod sysfs;
pub mod sysfs_calls;
