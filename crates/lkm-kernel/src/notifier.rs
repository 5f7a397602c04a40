//! Notifier chains (kernel/notifier.c).

use crate::Cx;
use crate::abi::R;

/// Calls the module notifier chain; a veto is returned as a negative errno.
pub(crate) fn call_module_chain(_: &mut Cx, _: u64, _: u64) -> R<i32> {
    Ok(0)
}
