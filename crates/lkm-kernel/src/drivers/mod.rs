//! The device model and what registers with it (drivers/base, lib/kobject.c, drivers/char/misc.c, …).

pub(crate) mod bare;
pub mod bus;
pub mod calls;
pub mod class;
pub mod core;
pub mod devres;
pub mod foreign;
pub mod input;
pub mod kobject;
pub mod misc;
pub mod platform;
mod refcount;
pub mod resource;

pub(crate) use refcount::ROWS as REFCOUNT_ROWS;
