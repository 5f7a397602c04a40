//! Memory: guarded allocations, slab, task structures (mm/).

pub(crate) mod cpu;
pub(crate) mod dma;
pub mod guard;
pub mod memory;
pub(crate) mod mempool;
pub mod mmap;
pub mod page_table;
pub(crate) mod pages;
pub(crate) mod percpu;
pub(crate) mod remap;
pub mod slab;
pub mod task_struct;
pub mod uaccess;

use crate::Cx;
use crate::abi::R;

/// A zeroed object that the kernel makes for itself; never freed, not in any ledger.
pub fn kernel_object(cx: &mut Cx, size: u64) -> R {
    crate::data::alloc(cx, size, 64)
}

/// A zeroed object that the kernel makes for itself and gives back: guarded, so that a late use faults, and
/// in no ledger.
pub fn kalloc(cx: &mut Cx, size: u64) -> R {
    guard::alloc(cx, size.max(1), 8, true)
        .ok_or_else(|| crate::abi::Stop::Bug("out of memory".into()))
}

/// Gives back what [`kalloc`] made.
pub fn kfree(cx: &mut Cx, addr: u64) {
    if addr != 0 {
        guard::free(cx, addr);
    }
}

/// A NUL-terminated copy of a text in kernel memory of its own.
pub fn kstrdup(cx: &mut Cx, text: &[u8]) -> R {
    let at = kalloc(cx, text.len() as u64 + 1)?;
    cx.write(at, text)?;
    Ok(at)
}
