//! The device model and what registers with it (drivers/base, lib/kobject.c, drivers/char/misc.c, …).

pub(crate) mod bare;
pub mod bus;
pub mod calls;
pub mod class;
pub mod core;
pub mod devres;
pub mod fake;
pub mod foreign;
pub mod i2c;
pub mod input;
pub mod kobject;
mod kset;
pub mod misc;
pub mod pci;
pub(crate) mod pci_calls;
pub mod platform;
mod platform_resource;
mod refcount;
pub mod resource;

pub(crate) use kset::ROWS as KSET_ROWS;
pub(crate) use platform_resource::ROWS as PLATFORM_RESOURCE_ROWS;
pub(crate) use refcount::ROWS as REFCOUNT_ROWS;
