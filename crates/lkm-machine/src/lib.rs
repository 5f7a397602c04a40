//! The lab's hardware: a low address space with guards, the gates between guest and host, tasks,
//! traps, and the confined child that all of it runs in. One of the two rooms with `unsafe`: it executes
//! foreign machine code, so each block says why the host stays whole.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("the lab executes x86-64 Linux modules natively");

pub mod choice;
mod confine;
mod cx;
pub mod fork;
pub mod gate;
pub mod leaf;
pub mod map;
mod mem;
pub mod session;
mod sys;
mod trap;

pub use cx::{Cx, GUEST_STACK, TaskId, World, start};
pub use mem::Fault;
pub use sys::{Failure, Prot};
pub use trap::{Cause, Regs, Trap, ticks};
