//! Locks (kernel/locking/).

use crate::Cx;
use crate::abi::R;
use crate::sched::Tid;

/// A task ends: what it still holds stays held for ever, and is told.
pub(crate) fn on_exit(_: &mut Cx, _: Tid) -> R<()> {
    Ok(())
}

/// Memory goes: a held lock in it is told.
pub(crate) fn on_free(_: &mut Cx, _: u64) -> R<()> {
    Ok(())
}

/// A module's memory goes: a held static lock in it is told.
pub(crate) fn on_module_free(_: &mut Cx, _: usize) -> R<()> {
    Ok(())
}
