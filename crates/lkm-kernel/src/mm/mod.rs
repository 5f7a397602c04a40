//! Memory: guarded allocations, slab, task structures (mm/).

pub mod guard;
pub mod slab;
pub mod task_struct;

use crate::Cx;
use crate::abi::R;

/// A zeroed object that the kernel makes for itself; never freed, not in any ledger.
pub fn kernel_object(cx: &mut Cx, size: u64) -> R {
    crate::data::alloc(cx, size, 64)
}
